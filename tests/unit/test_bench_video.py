"""The parts of `make bench-video` that need no media still run."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bench import video
from bench.video import ANALYSED_CLIP, SEE, people, ready

from openrek.cli.video_parts import PARTS
from tests.video_kit import encode


def clip(folder: Path, frames: int) -> Path:
    path = folder / "video" / f"{ANALYSED_CLIP}.mp4"
    path.parent.mkdir()
    path.write_bytes(encode([np.full((96, 160, 3), 90, np.uint8)] * frames))
    return path


def test_the_cost_of_following_people_can_be_measured() -> None:
    assert people(Fraction(1, 60)) == 2 * 5 * 60


def test_the_cost_of_analysers_can_be_measured(tmp_path: Path) -> None:
    found = ready(SEE + "shots+text", clip(tmp_path, 20))()
    assert {name: len(rows) for name, rows in found.items()} == {"shots": 1, "text": 0}


def test_speeds_of_analysers_are_multiples_of_real_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip(tmp_path, 50)
    asked: list[str] = []

    def measured(name: str, path: Path, cores: int) -> dict[str, float]:
        asked.append(name.removeprefix(SEE))
        return {"seconds": 4.0 / cores, "busy": 4.0, "peak": 100.0 * cores}

    monkeypatch.setattr(video, "measured", measured)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    lines = video.analysers(tmp_path).splitlines()
    assert {one for names in asked for one in names.split("+")} == set(PARTS)
    assert "| labels | 0.5 s | 0.5× | 1× | 100 MB | 200 MB |" in lines
    assert "| shots and cues | frame | 0.5× | 1× | 100 MB | 200 MB |" in lines
    assert "| all in one run | as above | 0.5× | 1× | 100 MB | 200 MB |" in lines
