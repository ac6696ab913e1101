"""`openrek detect`: what the options ask the operations for, and what people read; answers come from a stand-in."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from openrek.cli import detect
from openrek.cli.main import app
from openrek.contract.errors import InvalidParameterException
from openrek.service import operation
from openrek.settings import Settings
from openrek.vision import protective_equipment

BOX = {"Left": 0.25, "Top": 0.25, "Width": 0.5, "Height": 0.5}
PLACE = "0.250, 0.250  0.500 x 0.500"
POINTS = [{"Type": "nose", "X": 0.5, "Y": 0.5}]
FACE = {
    "BoundingBox": BOX,
    "Confidence": 99.0,
    "Landmarks": POINTS,
    "Pose": {"Roll": 1.0, "Yaw": 2.0, "Pitch": 3.0},
    "Quality": {"Sharpness": 80.0, "Brightness": 60.0},
}


def flag(value: bool) -> dict[str, Any]:
    return {"Value": value, "Confidence": 97.0}


ATTRIBUTES = {
    "AgeRange": {"Low": 20, "High": 30},
    "Gender": {"Value": "Female", "Confidence": 98.6},
    "Emotions": [{"Type": "HAPPY", "Confidence": 88.4}, {"Type": "SAD", "Confidence": 3.0}],
    "Smile": flag(True),
    "Eyeglasses": flag(False),
    "Sunglasses": flag(False),
    "Beard": flag(False),
    "Mustache": flag(False),
    "EyesOpen": flag(False),
    "MouthOpen": flag(True),
    "FaceOccluded": flag(False),
}


class Operations:
    """Stands in for the handlers: one answer, and every request that came."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.homes: list[Path] = []

    def __getitem__(self, name: str) -> Any:
        def handler(request: Any, call: Any, services: Any) -> Any:
            self.requests.append((name, {key: value for key, value in request.items() if key != "Image"}))
            settings: Settings = services.settings
            self.homes.append(settings.home)
            if "Error" in self.answer:
                raise InvalidParameterException(self.answer["Error"])
            return self.answer

        return SimpleNamespace(handler=handler)


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Operations:
    operations = Operations()
    monkeypatch.setattr(operation, "load_operations", lambda: operations)
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return operations


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    Image.new("RGB", (400, 300), (90, 140, 90)).save(path)
    return str(path)


def call(*words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["detect", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def rows(result: Result) -> list[str]:
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_faces_with_and_without_attributes(operations: Operations, photo: str) -> None:
    operations.answer = {"FaceDetails": [FACE]}
    assert "HAPPY" not in call("faces", photo).stdout
    operations.answer = {"FaceDetails": [FACE | ATTRIBUTES]}
    said = rows(call("faces", photo, "--all"))
    assert "1 20 to 30 female 99 happy 88 smile, eyes closed, mouth open" in said
    assert operations.requests == [("DetectFaces", {}), ("DetectFaces", {"Attributes": ["ALL"]})]
    operations.answer = {"FaceDetails": []}
    assert "no face" in call("faces", photo, "--all").stdout


def test_who_wears_what_is_required(operations: Operations, photo: str) -> None:
    operations.answer = {"Persons": []}
    assert "required" not in call("ppe", photo).stdout
    operations.answer["Summary"] = {
        "PersonsWithRequiredEquipment": [0, 3],
        "PersonsWithoutRequiredEquipment": [1],
        "PersonsIndeterminate": [],
    }
    words = ("--require", "head_cover", "--require", "FACE_COVER", "--require", "HEAD_COVER")
    said = rows(call("ppe", photo, *words, "--min-confidence", "60"))
    assert {"worn 0, 3", "not worn 1", "cannot be told nobody"} <= set(said)
    asked = {"MinConfidence": 60.0, "RequiredEquipmentTypes": ["HEAD_COVER", "FACE_COVER"]}
    assert operations.requests == [
        ("DetectProtectiveEquipment", {}),
        ("DetectProtectiveEquipment", {"SummarizationAttributes": asked}),
    ]
    assert "FOOT" in call("ppe", photo, "--require", "FOOT_COVER", status=2).output


def test_people_of_the_gallery(operations: Operations, photo: str, tmp_path: Path) -> None:
    person = {"Id": "3Ab9xYz", "Name": "Ada [L.]", "Urls": ["example.org/ada"], "MatchConfidence": 99.6, "Face": FACE}
    operations.answer = {"CelebrityFaces": [person], "UnrecognizedFaces": [FACE, FACE]}
    drawn = tmp_path / "drawn.png"
    said = rows(call("celebrities", photo, "--home", str(tmp_path / "other"), "--draw", str(drawn)))
    assert " ".join(f"Ada [L.] 99.6 3Ab9xYz {PLACE} example.org/ada".split()) in said
    assert "2 others" in said
    assert operations.requests == [("RecognizeCelebrities", {})]
    assert operations.homes == [tmp_path / "other"]
    with Image.open(drawn) as picture:
        assert (np.asarray(picture.convert("RGB"))[:300, :400] != (90, 140, 90)).any()
    operations.answer = {"CelebrityFaces": [], "UnrecognizedFaces": [FACE]}
    assert "nobody of the gallery; 1 other face" in call("celebrities", photo).stdout
    assert json.loads(call("celebrities", photo, "--json").stdout) == {"File": photo, **operations.answer}


def test_numbers_are_those_of_the_server(operations: Operations, photo: str) -> None:
    operations.answer = {"FaceDetails": [{"Confidence": 99.9976577758789, "BoundingBox": {**BOX, "Left": 0.1}}]}
    line = call("faces", photo, "--json").stdout
    assert '"Confidence": 99.99766, "BoundingBox": {"Left": 0.1, "Top": 0.25' in line


def test_a_refusal_names_the_photo(operations: Operations, photo: str) -> None:
    operations.answer = {"Error": "each side must have at least 80"}
    result = call("faces", photo, status=1)
    assert f"{photo}: each side must have at least 80" in " ".join(result.stderr.split())
    assert "1 of 1 photos could not be read" in result.stderr


def test_drawing_goes_by_the_limit_of_the_settings_and_fails_photo_by_photo(
    operations: Operations, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handlers are stand-ins, so that only drawing decodes."""
    operations.answer = {"FaceDetails": [FACE]}
    other = tmp_path / "small.png"
    Image.new("RGB", (90, 90)).save(other)
    monkeypatch.setenv("OPENREK_MAX_IMAGE_PIXELS", "10000")
    result = call("faces", photo, str(other), "--draw", str(tmp_path / "out"), status=1)
    assert "400 x 300 = 120,000 pixels; at most 10,000" in " ".join(result.stderr.split())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.png"]
    monkeypatch.setenv("OPENREK_MAX_IMAGE_PIXELS", "130000")
    call("faces", photo, "--draw", str(tmp_path / "out"))


def test_the_covers_that_can_be_required_are_those_that_are_seen() -> None:
    assert {cover.value for cover in detect.Cover} == {cover.value for cover in protective_equipment.Cover}
