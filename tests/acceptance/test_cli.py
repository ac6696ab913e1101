"""The command line on real photos, without a server; the demo from start to stop."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.test_server import openrek


def answers(done: "subprocess.CompletedProcess[str]") -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_detect_faces_of_files_as_json_lines(photos: dict[str, Path]) -> None:
    found = answers(openrek("detect", "faces", str(photos["astronaut"]), str(photos["coffee"]), "--json"))
    assert [Path(str(item["File"])).stem for item in found] == ["astronaut", "coffee"]
    assert [len(item["FaceDetails"]) for item in found] == [1, 0]


def test_detect_faces_with_all_attributes(photos: dict[str, Path]) -> None:
    done = openrek("detect", "faces", str(photos["astronaut"]), "--all")
    assert done.returncode == 0, done.stderr
    assert re.search(r"1 +\d+ to \d+ +female \d+ +happy \d+ +smile", done.stdout)


def test_detect_labels_as_a_table_with_colours(photos: dict[str, Path]) -> None:
    done = openrek("detect", "labels", str(photos["chelsea"]), "--colors")
    assert done.returncode == 0, done.stderr
    assert "Cat" in done.stdout
    assert "Animals and Pets" in done.stdout
    assert "foreground" in done.stdout or "background" in done.stdout or "picture" in done.stdout


def test_detect_text_draws_an_annotated_picture(photos: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "page-read.png"
    done = openrek("detect", "text", str(photos["page"]), "--draw", str(target))
    assert done.returncode == 0, done.stderr
    with Image.open(photos["page"]) as original, Image.open(target) as drawn:
        assert drawn.width >= original.width
        assert drawn.convert("RGB").tobytes() != original.convert("RGB").tobytes()


def test_a_folder_with_formats_beyond_the_api_and_one_broken_file(photos: dict[str, Path], tmp_path: Path) -> None:
    with Image.open(photos["astronaut"]) as photo:
        photo.save(tmp_path / "astronaut.webp")
        photo.save(tmp_path / "astronaut.tiff")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    done = openrek("detect", "faces", str(tmp_path), "--json", "--draw", str(tmp_path / "drawn"))
    assert done.returncode == 1
    assert [len(json.loads(line)["FaceDetails"]) for line in done.stdout.splitlines()] == [1, 1]
    assert "broken.jpg" in done.stderr
    assert "1 of 3 photos could not be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["astronaut-2.png", "astronaut.png"]


def test_the_profile_aws_keeps_to_jpeg_and_png(photos: dict[str, Path], tmp_path: Path) -> None:
    with Image.open(photos["astronaut"]) as photo:
        photo.save(tmp_path / "a.webp")
    done = openrek("detect", "faces", str(tmp_path / "a.webp"), "--profile", "aws")
    assert done.returncode == 1
    assert "invalid image format" in done.stderr


def test_nothing_to_look_at_is_one_sentence(tmp_path: Path) -> None:
    done = openrek("detect", "labels", str(tmp_path / "none.jpg"))
    assert done.returncode == 1
    assert "none.jpg" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [(), ("detect",), ("models",), ("keys",), ("buckets",)])
def test_help_is_what_no_command_gives(words: tuple[str, ...]) -> None:
    done = openrek(*words)
    assert "Usage" in done.stdout + done.stderr


def test_doctor_finds_this_installation_sound(tmp_path: Path) -> None:
    done = openrek("doctor", OPENREK_HOME=str(tmp_path), OPENREK_OFFLINE="1", OPENREK_PORT="0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "onnxruntime" in done.stdout.lower()


def test_the_models_of_the_base_pack_are_whole() -> None:
    done = openrek("models", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_demo_of_a_photo_that_is_not_there(tmp_path: Path) -> None:
    done = openrek("demo", str(tmp_path / "none.jpg"), "--output", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no file, folder or match for" in done.stderr


def test_the_demo_runs_from_start_to_stop(photos: dict[str, Path], tmp_path: Path) -> None:
    """In another region, behind a proxy, and with a file that is no picture among the photos."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    elsewhere = {"OPENREK_REGION": "eu-west-1", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    done = subprocess.run(
        [sys.executable, "-m", "openrek", "demo", str(broken), str(photos["astronaut"]), "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, **elsewhere},
    )
    assert done.returncode == 1, done.stderr
    assert "broken.jpg: An error occurred (InvalidImageFormatException)" in done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"face (9\d|100)\.\d%", done.stdout)
    assert "Person" in done.stdout
    assert (tmp_path / "astronaut-annotated.png").stat().st_size > 10_000
