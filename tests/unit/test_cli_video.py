"""`openrek video analyze` from files to files."""

import csv
import functools
import http.server
import json
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from openrek.cli.main import app
from openrek.cli.video import find_videos
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
