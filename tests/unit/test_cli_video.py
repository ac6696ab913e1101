"""`openrek video analyze` from files to files."""

import csv
import functools
import http.server
import json
import re
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from openrek.cli.main import app
from openrek.cli.video import find_videos, times_real_time
from openrek.cli.video_exports import edls_of
from openrek.cli.video_parts import PARTS
from openrek.cli.video_pictures import Layer, VideoMark, annotated_copy
from openrek.service.video_analysers.base import Looks
from openrek.settings import Settings
from openrek.vision.video import VideoReader
from openrek.vision.video.analysis import Interval
from openrek.vision.video.clock import regular_clock
from openrek.vision.video.segments import segments
from tests.video_kit import encode

NTSC = Fraction(30000, 1001)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    return tmp_path


def film() -> bytes:
    """45 black frames, 75 of one picture, 60 of another, at 29.97."""
    rng = np.random.default_rng(3)
    scenes = [np.kron(rng.integers(30, 230, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8) for _ in range(2)]
    black = np.zeros_like(scenes[0])
    return encode([black] * 45 + [scenes[0]] * 75 + [scenes[1]] * 60, rate=NTSC)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["video", "analyze", *arguments])
    return result.exit_code, result.output


def test_a_copy_that_cannot_be_written_is_told_in_a_sentence(home: Path) -> None:
    """MP4 has no room for frames days apart."""
    picture = np.full((64, 96, 3), 90, np.uint8)
    times = [n * 40 + 72_000_000 * (n > 10) for n in range(20)]
    (home / "film.mp4").write_bytes(
        encode([picture] * 20, times=times, time_base=Fraction(1, 1000), options={"bf": "0"})
    )
    code, said = run(str(home / "film.mp4"), "-o", str(home / "out"), "--annotate")
    assert code == 1
    assert "the annotated copy cannot be written" in said
    assert (home / "out" / "film" / "analysis.json").exists()
    assert not (home / "out" / "film" / "annotated.mp4").exists()


def test_every_file_of_the_result(home: Path) -> None:
    (home / "film.mp4").write_bytes(film())
    code, _ = run(str(home / "film.mp4"), "-o", str(home / "out"), "--annotate")
    assert code == 0
    out = home / "out" / "film"
    document = json.loads((out / "analysis.json").read_text())
    assert document["video"]["frame_rate_exact"] == "30000/1001"
    assert document["video"]["frames"] == 180
    rows = document["segments"]
    shots = [(row["start_frame"], row["end_frame"]) for row in rows if row["group"] == "shot"]
    assert shots == [(0, 44), (45, 119), (120, 179)]
    cues = [(row["kind"], row["start_frame"], row["end_frame"]) for row in rows if row["group"] == "cue"]
    assert cues[0] == ("BlackFrames", 0, 45)
    assert cues[-1][2] == 179
    with (out / "segments.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["group"], int(row["start_frame"]), row["start_timecode"]) for row in table] == [
        (row["group"], row["start_frame"], row["start_timecode"]) for row in rows
    ]
    assert (out / "shots.edl").read_bytes().decode().split("\r\n")[:5] == [
        "TITLE: film",
        "FCM: DROP FRAME",
        "",
        "001  AX       V     C        00:00:00;00 00:00:01;15 00:00:00;00 00:00:01;15",
        "* FROM CLIP NAME: film.mp4",
    ]
    assert (out / "chapters.vtt").read_text().split("\n\n")[:3] == [
        "WEBVTT",
        "1\n00:00:00.000 --> 00:00:01.501\nShot 1",
        "2\n00:00:01.501 --> 00:00:04.004\nShot 2",
    ]
    assert "BlackFrames" in (out / "cues.vtt").read_text()
    with Image.open(out / "shots.jpg") as sheet:
        assert sheet.width > 3 * 200
    with av.open(str(out / "annotated.mp4")) as copy:
        frames = list(copy.decode(video=0))
    assert len(frames) == 180
    assert [float(frame.time) for frame in frames[::60]] == pytest.approx(
        [n / float(NTSC) for n in (0, 60, 120)], abs=1e-3
    )
    black = frames[20].to_ndarray(format="rgb24")
    assert black[:20].max() > 150  # the caption
    assert black[60:].max() < 40


def test_a_folder_that_cannot_be_written_costs_no_analysis(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openrek.vision.video

    analysed = []
    whole = openrek.vision.video.analyse

    def noted(reader: VideoReader, *rest: Any, **more: Any) -> dict[str, Any]:
        analysed.append(reader.info.frames)
        return whole(reader, *rest, **more)

    monkeypatch.setattr(openrek.vision.video, "analyse", noted)
    (home / "film.mp4").write_bytes(film())
    (home / "more.mp4").write_bytes(encode([np.zeros((64, 64, 3), np.uint8)] * 9))
    (home / "out").mkdir()
    (home / "out" / "film").write_text("a file stands where the folder should")
    code, output = run(str(home / "film.mp4"), str(home / "more.mp4"), "--shots", "-o", str(home / "out"))
    assert code == 1
    assert f"film.mp4: {home}/out/film cannot be written to: File exists" in output.replace("\n", "")
    assert analysed == [9]
    assert (home / "out" / "more" / "analysis.json").is_file()


def test_results_that_cannot_be_written_are_told_in_a_sentence(home: Path) -> None:
    (home / "film.mp4").write_bytes(encode([np.zeros((64, 64, 3), np.uint8)] * 9))
    (home / "out" / "film" / "analysis.json").mkdir(parents=True)
    result = CliRunner().invoke(app, ["video", "analyze", str(home / "film.mp4"), "-o", str(home / "out")])
    assert result.exit_code == 1
    assert f"film.mp4: {home}/out/film/analysis.json: Is a directory" in result.output.replace("\n", "")


def test_numbers_for_people_begin_with_one(home: Path) -> None:
    (home / "film.mp4").write_bytes(film())
    code, output = run(str(home / "film.mp4"), "--shots", "-o", str(home / "out"))
    assert code == 0
    assert re.findall(r"Shot (\d)", output) == ["1", "2", "3"]
    document = json.loads((home / "out" / "film" / "analysis.json").read_text())
    assert [row["index"] for row in document["segments"]] == [0, 1, 2]  # as ShotSegment's Index


@pytest.mark.parametrize(
    ("duration_ms", "took", "words"), [(10_840, 41.5, "0.26"), (60_000, 20.0, "3.0"), (60_000, 2.0, "30")]
)
def test_speed_in_words(duration_ms: int, took: float, words: str) -> None:
    assert times_real_time(duration_ms, took) == f"{words} times real time"


def test_edit_lists_number_events_with_three_digits() -> None:
    clock = regular_clock(Fraction(25), 60_000)
    shots = segments(clock, shots=[Interval("shot", 20 * n, 20 * n + 19, 1.0) for n in range(2500)])
    first, second, third = edls_of("film", "film.mp4", shots, Fraction(25))
    for edl, title, count in ((first, "film", 999), (second, "film (2)", 999), (third, "film (3)", 502)):
        lines = edl.split("\r\n")
        assert lines[0] == f"TITLE: {title}"
        events = [line for line in lines if re.match(r"\d", line)]
        assert [line.split()[0] for line in events] == [f"{n:03}" for n in range(1, count + 1)]
    assert events[-1].endswith(" 00:33:19:05 00:33:20:00 00:33:19:05 00:33:20:00")


def test_marks_stay_until_the_next_look_and_tracks_move_between() -> None:
    clock = regular_clock(Fraction(25), 100)
    here, there = VideoMark("a", "a", (0.0, 0.0, 0.2, 0.2)), VideoMark("a", "a", (0.4, 0.2, 0.2, 0.4))
    still = Layer(clock, Fraction(1, 2), [(0, here), (12, there)])
    assert [[mark.box for mark in still.at(frame)] for frame in (0, 11, 12, 24, 25, 99)] == [
        [here.box],
        [here.box],
        [there.box],
        [there.box],
        [],
        [],
    ]
    moving = Layer(clock, Fraction(1, 5), [(0, here), (5, there), (5, replace(here, key="b"))], tracked=True)
    assert moving.at(2)[0].box == pytest.approx((0.16, 0.08, 0.2, 0.28))
    assert [mark.key for mark in moving.at(4)] == ["a"]
    assert [mark.box for mark in moving.at(9)] == [there.box, here.box]  # the next look sees neither
    assert moving.at(10) == []


def test_what_one_analyser_found_does_not_hide_what_another_did(home: Path) -> None:
    grey = np.full((96, 128, 3), 90, np.uint8)
    (home / "film.mp4").write_bytes(encode([grey] * 20))
    box = (0.25, 0.25, 0.5, 0.5)
    with VideoReader.open(home / "film.mp4") as reader:
        clock = reader.info.clock
        layers = [
            Layer(clock, Fraction(1, 2), [(0, VideoMark("", "x", box))]),
            Layer(clock, Fraction(1, 5), [(n, VideoMark("", "face", (0.0, 0.8, 0.1, 0.1))) for n in (0, 5, 10, 15)]),
        ]
        annotated_copy(reader, home / "copy.mp4", lambda frame: "", layers, lambda frame: None)
    with av.open(str(home / "copy.mp4")) as copy:
        drawn = [frame.to_ndarray(format="rgb24").astype(int) for frame in copy.decode(video=0)]
    edge = [int(np.abs(picture[24, 60:70] - 90).max()) for picture in drawn]
    assert min(edge[:12]) > 40
    assert max(edge[12:]) < 40
    assert min(int(np.abs(picture[78, 5:10] - 90).max()) for picture in drawn) > 40


@pytest.mark.parametrize("name", [part.name for part in PARTS.values() if part.step])
def test_every_part_looks_as_often_as_its_setting_says(name: str) -> None:
    settings = Settings(label_step=1.5, text_step=2.5, face_step=3.5)
    looks = cast(Looks, SimpleNamespace(search_faces=lambda side: None))
    analyser = PARTS[name].analyser(looks, settings)
    step = getattr(analyser, "_every", analyser.step)  # people are looked at now and then, shots always
    assert step == settings.exact(PARTS[name].step)
    assert float(step) == {"text": 2.5, "faces": 3.5, "people": 3.5}.get(name, 1.5)


def test_only_what_was_asked_for(home: Path) -> None:
    (home / "film.mp4").write_bytes(film())
    code, _ = run(str(home / "film.mp4"), "--cues", "-o", str(home / "out"))
    assert code == 0
    assert sorted(path.name for path in (home / "out" / "film").iterdir()) == [
        "analysis.json",
        "cues.vtt",
        "segments.csv",
    ]


def test_a_folder_with_a_broken_file_is_analysed_but_fails(home: Path) -> None:
    folder = home / "films"
    (folder / "more").mkdir(parents=True)
    (folder / "film.mp4").write_bytes(film())
    (folder / "more" / "film.mov").write_bytes(encode([np.zeros((64, 64, 3), np.uint8)] * 9, format="mov"))
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0")
    (folder / "notes.txt").write_text("no film")
    code, output = run(str(folder), "--shots", "-o", str(home / "out"))
    assert code == 1
    assert "broken.mp4" in output
    assert "no video" in output
    assert sorted(path.name for path in (home / "out").iterdir()) == ["film", "more-film"]


def test_an_address_is_fetched(home: Path) -> None:
    served = home / "served"
    served.mkdir()
    (served / "my film.mp4").write_bytes(film())
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            base = f"http://127.0.0.1:{server.server_address[1]}"
            found = find_videos([f"{base}/my%20film.mp4"], home / "fetched")
            assert [(name, path.read_bytes() == film()) for name, path in found] == [("my film.mp4", True)]
            result = CliRunner().invoke(app, ["video", "analyze", f"{base}/none.mp4", "-o", str(home / "out")])
            assert "404" in str(result.exception)
        finally:
            server.shutdown()


def test_names_that_are_nothing(home: Path) -> None:
    for name, words in (("missing.mp4", "no file, folder or address"), (str(home), "no videos in")):
        result = CliRunner().invoke(app, ["video", "analyze", name, "-o", str(home / "out")])
        assert result.exit_code == 1
        assert words in str(result.exception)


@pytest.mark.media
def test_people_faces_and_labels_of_a_video(home: Path, media: Path) -> None:
    clip = media / "video" / "two-men-late-start.mp4"
    code, output = run(str(clip), "-o", str(home / "out"), "--labels", "--faces", "--people", "--moderation")
    assert code == 0, output
    document = json.loads((home / "out" / "two-men-late-start" / "analysis.json").read_text())
    assert "segments" not in document
    assert {"Person"} <= {item["Label"]["Name"] for item in document["labels"]}
    faces = [item for item in document["faces"] if item["Timestamp"] > 4000]
    assert faces
    assert all(item["Face"]["Emotions"] for item in faces)
    assert document["people"][0]["Person"]["Index"] == 0
    assert isinstance(document["moderation"], list)
