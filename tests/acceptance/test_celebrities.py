"""RecognizeCelebrities and GetCelebrityInfo as an unmodified SDK meets them; the command line fills the gallery."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from PIL import Image, ImageEnhance, ImageOps

from openrek.cli.demo import boto3_client, running_server
from tests.acceptance.conftest import Server
from tests.acceptance.pictures import encoded
from tests.acceptance.test_server import openrek

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

FIVE = ["eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose"]
FACE = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
EXPRESSION = {"Smile", "Emotions"}

COLLINS = """
name = "Eileen Collins"
urls = ["https://www.example.org/collins", "http://example.org/astronauts/5"]
gender = "Female"
source = "NASA"
licence = "public domain"
"""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server whose gallery no other test fills."""
    with running_server() as (url, credentials):
        yield Server(url, credentials)


@pytest.fixture(scope="module")
def client(own_server: Server) -> "RekognitionClient":
    return boto3_client(own_server.url, own_server.credentials)


@pytest.fixture(scope="module")
def collins(photos: dict[str, Path]) -> Image.Image:
    return Image.open(photos["astronaut"]).convert("RGB").crop((80, 0, 380, 300))


@pytest.fixture(scope="module")
def hopper(photos: dict[str, Path]) -> Image.Image:
    return Image.open(photos["hopper"]).convert("RGB").crop((60, 20, 460, 470))


def gallery(server: Server, *words: str, status: int = 0) -> str:
    done = openrek("celebrities", *words, OPENREK_HOME=str(server.home))
    assert done.returncode == status, done.stderr
    return done.stdout


def add(server: Server, folder: Path, facts: str, picture: Image.Image, *options: str) -> str:
    """Import a person from a folder with one photo; the id."""
    person = folder / "people" / "person"
    person.mkdir(parents=True, exist_ok=True)
    (person / "person.toml").write_text(facts)
    picture.save(person / "portrait.png")
    outcome = json.loads(gallery(server, "import", str(person.parent), "--json", *options))
    return str(outcome["Id"])


@pytest.fixture(scope="module")
def collins_id(own_server: Server, tmp_path_factory: pytest.TempPathFactory, collins: Image.Image) -> str:
    return add(own_server, tmp_path_factory.mktemp("collins"), COLLINS, collins)


def side_by_side(*pictures: Image.Image, height: int = 360) -> bytes:
    scaled = [picture.resize((round(picture.width * height / picture.height), height)) for picture in pictures]
    sheet = Image.new("RGB", (sum(picture.width + 20 for picture in scaled), height + 40), (128, 128, 128))
    left = 10
    for picture in scaled:
        sheet.paste(picture, (left, 20))
        left += picture.width + 20
    return encoded(sheet)


def other_look(picture: Image.Image) -> Image.Image:
    """The portrait as another file shows it: mirrored, smaller, turned, darker."""
    turned = ImageOps.mirror(picture).resize((220, 220)).rotate(8, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90))
    return ImageEnhance.Brightness(turned).enhance(0.8)


def recognise(client: "RekognitionClient", data: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    answer: Any = client.recognize_celebrities(Image={"Bytes": data})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert set(answer) == {"CelebrityFaces", "UnrecognizedFaces", "ResponseMetadata"}
    return answer["CelebrityFaces"], answer["UnrecognizedFaces"]


def area(face: dict[str, Any]) -> float:
    return float(face["BoundingBox"]["Width"] * face["BoundingBox"]["Height"])


def code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_gallery_person_and_a_stranger(
    client: "RekognitionClient", collins_id: str, collins: Image.Image, hopper: Image.Image
) -> None:
    (known,), (stranger,) = recognise(client, side_by_side(hopper, other_look(collins)))
    assert known["Id"] == collins_id
    assert known["Id"].isalnum()
    assert known["Name"] == "Eileen Collins"
    assert known["KnownGender"] == {"Type": "Female"}
    assert 90 < known["MatchConfidence"] <= 100
    assert known["Urls"] == ["www.example.org/collins", "example.org/astronauts/5"]  # without scheme
    assert known["Face"]["BoundingBox"]["Left"] > 0.5 > stranger["BoundingBox"]["Left"]
    for face in (known["Face"], stranger):
        assert set(face) == FACE | EXPRESSION
        assert [point["Type"] for point in face["Landmarks"]] == FIVE
        assert face["Confidence"] > 90


@pytest.mark.usefixtures("collins_id")
def test_expressions_of_a_smiling_astronaut(client: "RekognitionClient", collins: Image.Image) -> None:
    (known,), _ = recognise(client, encoded(collins))
    assert known["Face"]["Smile"]["Value"] is True
    emotions = {emotion["Type"]: emotion["Confidence"] for emotion in known["Face"]["Emotions"]}
    assert max(emotions, key=lambda name: emotions[name]) == "HAPPY"


def test_the_command_line_knows_the_gallery(
    own_server: Server, collins_id: str, collins: Image.Image, tmp_path: Path
) -> None:
    photo, drawn = tmp_path / "collins.png", tmp_path / "drawn.png"
    collins.save(photo)
    home = {"OPENREK_HOME": str(own_server.home)}
    done = openrek("detect", "celebrities", str(photo), "--draw", str(drawn), **home)
    assert done.returncode == 0, done.stderr
    assert "Eileen Collins" in done.stdout
    assert collins_id in done.stdout
    with Image.open(drawn) as picture:
        assert picture.convert("RGB").tobytes() != collins.tobytes()


def test_info_of_a_recognised_person(client: "RekognitionClient", collins_id: str, collins: Image.Image) -> None:
    (known,), _ = recognise(client, encoded(collins))
    info: Any = client.get_celebrity_info(Id=known["Id"])
    del info["ResponseMetadata"]
    assert info == {name: known[name] for name in ("Name", "Urls", "KnownGender")}


def test_an_empty_gallery_recognises_nobody(
    rekognition: "RekognitionClient", collins: Image.Image, hopper: Image.Image
) -> None:
    known, strangers = recognise(rekognition, side_by_side(collins, hopper))
    assert known == []
    assert len(strangers) == 2


@pytest.mark.usefixtures("collins_id")
def test_a_picture_without_faces(client: "RekognitionClient", photos: dict[str, Path]) -> None:
    assert recognise(client, photos["china"].read_bytes()) == ([], [])


@pytest.mark.usefixtures("collins_id")
def test_an_unknown_id(client: "RekognitionClient") -> None:
    for unknown in ("zzzzzzz", ""):
        with pytest.raises(ClientError) as caught:
            client.get_celebrity_info(Id=unknown)
        assert code(caught) == ("ResourceNotFoundException", 400)


def test_an_id_that_cannot_be(client: "RekognitionClient") -> None:
    with pytest.raises(ClientError) as caught:
        client.get_celebrity_info(Id="abc-def")
    assert code(caught) == ("ValidationException", 400)
    with pytest.raises(ParamValidationError):
        client.get_celebrity_info()


def test_the_64_largest_of_70_faces(
    client: "RekognitionClient", collins_id: str, collins: Image.Image, hopper: Image.Image
) -> None:
    sheet = Image.new("RGB", (1400, 1050), (128, 128, 128))
    tiles = [collins.resize((130, 130)), hopper.resize((120, 135))]
    for number in range(70):
        sheet.paste(tiles[number % 2], (5 + 140 * (number % 10), 5 + 150 * (number // 10)))
    data = encoded(sheet)
    assert len(client.detect_faces(Image={"Bytes": data})["FaceDetails"]) == 70
    known, strangers = recognise(client, data)
    assert len(known) + len(strangers) == 64
    assert {celebrity["Id"] for celebrity in known} == {collins_id}
    for areas in ([area(celebrity["Face"]) for celebrity in known], [area(face) for face in strangers]):
        assert areas == sorted(areas, reverse=True)


def test_one_person_twice(client: "RekognitionClient", collins_id: str, collins: Image.Image) -> None:
    known, strangers = recognise(client, side_by_side(collins, other_look(collins)))
    assert [celebrity["Id"] for celebrity in known] == [collins_id] * 2
    assert strangers == []


def test_a_person_who_is_removed(
    client: "RekognitionClient", own_server: Server, tmp_path: Path, hopper: Image.Image
) -> None:
    data = encoded(hopper)
    facts = 'name = "Grace Hopper"'
    celebrity_id = add(own_server, tmp_path, facts, hopper)
    assert len(recognise(client, data)[0]) == 1
    gallery(own_server, "remove", celebrity_id)
    assert [len(faces) for faces in recognise(client, data)] == [0, 1]
    with pytest.raises(ClientError) as caught:
        client.get_celebrity_info(Id=celebrity_id)
    assert code(caught) == ("ResourceNotFoundException", 400)
    gallery(own_server, "import", str(tmp_path / "people"), status=1)
    assert recognise(client, data)[0] == []
    celebrity_id = add(own_server, tmp_path, facts, hopper, "--again")
    (known,), _ = recognise(client, data)
    assert (known["Id"], known["Urls"]) == (celebrity_id, [])
    assert "KnownGender" not in known
    gallery(own_server, "remove", celebrity_id, "--forget")


def test_photos_of_no_use_are_named(
    own_server: Server, tmp_path: Path, photos: dict[str, Path], collins: Image.Image, hopper: Image.Image
) -> None:
    person = tmp_path / "people" / "Nobody"
    person.mkdir(parents=True)
    (person / "two.jpg").write_bytes(side_by_side(collins, hopper))
    (person / "landscape.jpg").write_bytes(photos["china"].read_bytes())
    (person / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    (person / "tiny.png").write_bytes(b"")
    hopper.resize((60, 68)).save(person / "small.png")
    outcome = json.loads(gallery(own_server, "import", str(person.parent), "--json", status=1))
    reasons: Sequence[tuple[str, str]] = sorted(
        (Path(item["Photo"]).stem, item["Reason"]) for item in outcome["Skipped"]
    )
    assert [name for name, _ in reasons] == ["broken", "landscape", "small", "tiny", "two"]
    said = dict(reasons)
    assert "cannot be read" in said["broken"]
    assert said["landscape"] == "no face"
    assert "too small" in said["small"]
    assert "2 faces" in said["two"]
    assert "Id" not in outcome


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"no picture", "InvalidImageFormatException"),
        (encoded(Image.new("RGB", (79, 200))), "InvalidParameterException"),
    ],
)
def test_pictures_that_are_refused(client: "RekognitionClient", data: bytes, expected: str) -> None:
    with pytest.raises(ClientError) as caught:
        client.recognize_celebrities(Image={"Bytes": data})
    assert code(caught) == (expected, 400)
