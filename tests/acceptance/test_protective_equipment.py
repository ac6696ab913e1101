"""DetectProtectiveEquipment through an unmodified boto3 client: every acceptance statement of the operation.

Workers come from construction photos that the models were not trained on, where the training data is at hand.
"""

import io
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
import cv2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session
from PIL import Image

from openrek.vision.runtime.catalogue import Catalogue
from tests.acceptance.conftest import Server
from tests.acceptance.pictures import encoded
from tests.acceptance.test_server import openrek

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

ALL = ["FACE_COVER", "HAND_COVER", "HEAD_COVER"]
LISTS = ("PersonsWithRequiredEquipment", "PersonsWithoutRequiredEquipment", "PersonsIndeterminate")
needs_detector = pytest.mark.skipif("objects" not in Catalogue(), reason="the detector of persons is not installed")


@pytest.fixture(scope="session")
def astronaut(photos: dict[str, Path]) -> bytes:
    """Bare head and face; her helmet stands beside her arm."""
    return encoded(Image.open(photos["astronaut"]).convert("RGB"))


@pytest.fixture(scope="session")
def officer(photos: dict[str, Path]) -> bytes:
    """A bare face under a peaked cap."""
    return encoded(Image.open(photos["hopper"]).convert("RGB"))


@pytest.fixture(scope="session")
def site(media: Path) -> "Site":
    archive = media.parent / "data" / "ppe-boxes" / "images.zip"
    if not archive.exists():
        pytest.skip("the construction photos are not here; they lie in `data` beside the test media")
    return Site(archive)


class Site:
    """Construction photos of the held-back side, cut out of the mosaics of their set."""

    _BOXES: ClassVar = {
        "white helmet": ("00345.webp", (0, 0, 140, 182)),
        "helmet, tie": ("00486.webp", (211, 0, 320, 131)),
        "two helmets": ("00652.webp", (172, 0, 320, 166)),
    }

    def __init__(self, archive: Path) -> None:
        self._archive = archive

    def __call__(self, name: str, scale: int = 4) -> bytes:
        mosaic, box = self._BOXES[name]
        with zipfile.ZipFile(self._archive) as archive, Image.open(io.BytesIO(archive.read(mosaic))) as picture:
            part = picture.convert("RGB").crop(box)
        return encoded(part.resize((part.width * scale, part.height * scale), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def masked(media: Path) -> bytes:
    """Someone with a mask, of the held-back side too."""
    archive = media.parent / "data" / "face-mask-boxes" / "images.zip"
    if not archive.exists():
        pytest.skip("the photos of masks are not here; they lie in `data` beside the test media")
    with zipfile.ZipFile(archive) as photos, Image.open(io.BytesIO(photos.read("maksssksksss626.webp"))) as picture:
        return encoded(picture.convert("RGB").resize((picture.width * 2, picture.height * 2)))


@pytest.fixture(scope="session")
def from_behind(media: Path) -> bytes:
    """Someone who stands with his back to the camera."""
    clip = cv2.VideoCapture(str(media / "video" / "six-people-one-by-one.mp4"))
    clip.set(cv2.CAP_PROP_POS_FRAMES, 349)
    read, frame = clip.read()
    assert read
    return encoded(Image.fromarray(frame[..., ::-1].copy()))


def ask(rekognition: "RekognitionClient", picture: bytes, *required: str, at: float = 80) -> Any:
    more: Any = {}
    if required:
        more["SummarizationAttributes"] = {"MinConfidence": at, "RequiredEquipmentTypes": list(required)}
    return rekognition.detect_protective_equipment(Image={"Bytes": picture}, **more)


def parts(person: Any) -> dict[str, list[tuple[str, bool]]]:
    return {
        part["Name"]: [(item["Type"], item["CoversBodyPart"]["Value"]) for item in part["EquipmentDetections"]]
        for part in person["BodyParts"]
    }


def error_of(rekognition: "RekognitionClient", picture: bytes, **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        rekognition.detect_protective_equipment(Image={"Bytes": picture}, **more)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# --- 1, 7, 8, 9: what is worn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["white helmet", "helmet, tie"])
def test_a_worker_with_a_helmet(rekognition: "RekognitionClient", site: Site, name: str) -> None:
    """Statement 1, the helmet. Hands and gloves cannot be seen with the base pack: they are not listed as bare."""
    answer = ask(rekognition, site(name), "HEAD_COVER", at=60)
    largest = answer["Persons"][0]
    assert parts(largest)["HEAD"] == [("HEAD_COVER", True)]
    assert parts(largest)["FACE"] == []
    assert answer["Summary"]["PersonsWithRequiredEquipment"][0] == largest["Id"] == 0
    assert not {"LEFT_HAND", "RIGHT_HAND"} & set(parts(largest))
    summary = ask(rekognition, site(name), "HAND_COVER", at=60)["Summary"]
    assert largest["Id"] in summary["PersonsIndeterminate"]


def test_a_person_with_a_mask(rekognition: "RekognitionClient", masked: bytes) -> None:
    """Statement 1, the mask."""
    answer = ask(rekognition, masked, "FACE_COVER", at=60)
    largest = answer["Persons"][0]
    assert parts(largest)["FACE"] == [("FACE_COVER", True)]
    assert parts(largest)["HEAD"] == []
    assert largest["Id"] in answer["Summary"]["PersonsWithRequiredEquipment"]


def test_a_helmet_in_the_hand_covers_no_head(rekognition: "RekognitionClient", astronaut: bytes) -> None:
    answer = ask(rekognition, astronaut, "HEAD_COVER")
    (person,) = answer["Persons"]
    assert all(not value for _, value in parts(person)["HEAD"])
    assert answer["Summary"]["PersonsWithoutRequiredEquipment"] == [person["Id"]]


def test_a_bare_face_lacks_a_face_cover(rekognition: "RekognitionClient", astronaut: bytes) -> None:
    answer = ask(rekognition, astronaut, "FACE_COVER")
    (person,) = answer["Persons"]
    assert parts(person)["FACE"] == []
    assert answer["Summary"]["PersonsWithoutRequiredEquipment"] == [person["Id"]]


def test_a_cap_is_no_protective_equipment(rekognition: "RekognitionClient", officer: bytes) -> None:
    (person, *_) = ask(rekognition, officer)["Persons"]
    assert parts(person) == {"FACE": [], "HEAD": []}


@needs_detector
def test_from_behind_a_face_cover_cannot_be_told(rekognition: "RekognitionClient", from_behind: bytes) -> None:
    answer = ask(rekognition, from_behind, "FACE_COVER")
    person = answer["Persons"][0]
    assert "FACE" not in parts(person)
    assert parts(person)["HEAD"] == []
    assert person["Id"] in answer["Summary"]["PersonsIndeterminate"]


# --- 2 to 6: the summary ----------------------------------------------------------------------------------------------


def group(astronaut: bytes, officer: bytes, count: int) -> bytes:
    """A sheet of portraits."""
    portraits = [
        Image.open(io.BytesIO(astronaut)).crop((80, 0, 380, 300)),
        Image.open(io.BytesIO(officer)).crop((60, 20, 460, 470)),
    ]
    columns = 6
    sheet = Image.new("RGB", (columns * 260, -(-count // columns) * 280), (120, 130, 125))
    for number in range(count):
        place = (number % columns * 260 + 10, number // columns * 280 + 10)
        sheet.paste(portraits[number % 2].resize((240, 260)), place)
    return encoded(sheet)


def test_no_summary_unless_asked_for(rekognition: "RekognitionClient", astronaut: bytes) -> None:
    answer = ask(rekognition, astronaut)
    assert "Summary" not in answer
    assert answer["ProtectiveEquipmentModelVersion"] == "1.0"


def test_the_three_lists_partition_all_persons(
    rekognition: "RekognitionClient", astronaut: bytes, officer: bytes
) -> None:
    answer = ask(rekognition, group(astronaut, officer, 4), *ALL)
    assert set(answer["Summary"]) == set(LISTS)
    listed = [number for name in LISTS for number in answer["Summary"][name]]
    assert sorted(listed) == [person["Id"] for person in answer["Persons"]] == [0, 1, 2, 3]


@pytest.mark.parametrize("missing", ["RequiredEquipmentTypes", "MinConfidence"])
def test_the_summary_needs_both_of_its_members(server: Server, astronaut: bytes, missing: str) -> None:
    whole: dict[str, Any] = {"MinConfidence": 80, "RequiredEquipmentTypes": ["HEAD_COVER"]}
    del whole[missing]
    code, message = error_of(unchecked(server), astronaut, SummarizationAttributes=whole)
    assert code == "ValidationException"
    assert "must not be null" in message.lower()


def unchecked(server: Server) -> "RekognitionClient":
    """A client that leaves the checking to the server."""
    core = Session()
    core.set_config_variable("credentials_file", str(server.credentials))
    session = boto3.Session(botocore_session=core, profile_name="openrek", region_name="us-east-1")
    return session.client("rekognition", endpoint_url=server.url, config=Config(parameter_validation=False))


@pytest.mark.parametrize("types", [[], ["HEAD_COVER", "HEAD_COVER"]])
def test_required_types_that_are_none_or_stand_twice(
    rekognition: "RekognitionClient", astronaut: bytes, types: list[str]
) -> None:
    wanted = {"MinConfidence": 80, "RequiredEquipmentTypes": types}
    assert error_of(rekognition, astronaut, SummarizationAttributes=wanted)[0] == "InvalidParameterException"


def test_an_unknown_type_and_a_confidence_out_of_range(rekognition: "RekognitionClient", astronaut: bytes) -> None:
    for wanted in (
        {"MinConfidence": 80, "RequiredEquipmentTypes": ["FOOT_COVER"]},
        {"MinConfidence": 101, "RequiredEquipmentTypes": ["HEAD_COVER"]},
    ):
        assert error_of(rekognition, astronaut, SummarizationAttributes=wanted)[0] == "ValidationException"


def test_below_fifty_is_fifty(rekognition: "RekognitionClient", astronaut: bytes, officer: bytes) -> None:
    picture = group(astronaut, officer, 4)
    assert ask(rekognition, picture, *ALL, at=10)["Summary"] == ask(rekognition, picture, *ALL, at=50)["Summary"]


def test_the_threshold_moves_persons_in_the_summary_alone(rekognition: "RekognitionClient", site: Site) -> None:
    low, high = (ask(rekognition, site("white helmet"), "HEAD_COVER", at=at) for at in (50, 99.9))
    assert low["Persons"] == high["Persons"]
    assert low["Summary"]["PersonsWithRequiredEquipment"] == high["Summary"]["PersonsIndeterminate"] == [0]


# --- 10 to 14: limits -------------------------------------------------------------------------------------------------


def plain(width: int, height: int) -> bytes:
    return encoded(Image.new("RGB", (width, height), (90, 140, 90)))


def test_pictures_of_64_pixels_and_more(rekognition: "RekognitionClient") -> None:
    assert error_of(rekognition, plain(60, 60))[0] == "InvalidParameterException"
    assert ask(rekognition, plain(70, 70))["Persons"] == []


def test_the_resolution_counts(rekognition: "RekognitionClient") -> None:
    code, message = error_of(rekognition, plain(5000, 3000))
    assert code == "ImageTooLargeException"
    assert "4096" in message
    assert ask(rekognition, plain(4096, 3000))["Persons"] == []


def test_four_megabytes_inline_and_fifteen_from_a_bucket(
    rekognition: "RekognitionClient", server: Server, tmp_path: Path
) -> None:
    photo = plain(400, 300)
    large = photo + bytes(4 * 1024 * 1024 + 1 - len(photo))
    assert error_of(rekognition, large)[0] == "ImageTooLargeException"
    home = {"OPENREK_HOME": str(server.home)}
    (tmp_path / "large.jpg").write_bytes(large)
    (tmp_path / "huge.jpg").write_bytes(photo + bytes(15 * 1024 * 1024 + 1))
    assert openrek("buckets", "create", "ppe-limits", **home).returncode == 0
    files = (str(tmp_path / "large.jpg"), str(tmp_path / "huge.jpg"))
    assert openrek("buckets", "put", "ppe-limits", *files, **home).returncode == 0
    answer = rekognition.detect_protective_equipment(Image={"S3Object": {"Bucket": "ppe-limits", "Name": "large.jpg"}})
    assert answer["Persons"] == []
    with pytest.raises(ClientError) as caught:
        rekognition.detect_protective_equipment(Image={"S3Object": {"Bucket": "ppe-limits", "Name": "huge.jpg"}})
    assert caught.value.response["Error"]["Code"] == "ImageTooLargeException"


def test_boxes_are_those_of_the_upright_picture(rekognition: "RekognitionClient", officer: bytes) -> None:
    """A portrait that is stored lying on its side, with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    lying = Image.open(io.BytesIO(officer)).transpose(Image.Transpose.ROTATE_90)
    lying.save(file, "JPEG", quality=95, exif=exif)
    (upright, *_), (found, *_) = (ask(rekognition, picture)["Persons"] for picture in (officer, file.getvalue()))
    assert found["BoundingBox"] == pytest.approx(upright["BoundingBox"], abs=0.05)
    assert parts(found) == parts(upright)
    assert [part["Name"] for part in found["BodyParts"]] == ["FACE", "HEAD"]


def test_an_empty_scene(rekognition: "RekognitionClient", photos: dict[str, Path]) -> None:
    picture = encoded(Image.open(photos["coffee"]).convert("RGB"))
    answer = ask(rekognition, picture, *ALL)
    assert answer["Persons"] == []
    assert answer["Summary"] == {name: [] for name in LISTS}
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_no_confidence_is_below_fifty(rekognition: "RekognitionClient", media: Path, astronaut: bytes) -> None:
    seen = 0
    others = [(media / "photos" / f"{name}.jpg").read_bytes() for name in ("family-1", "three-women")]
    for picture in (astronaut, *others):
        for person in ask(rekognition, picture)["Persons"]:
            values = [person["Confidence"]]
            for part in person["BodyParts"]:
                values.append(part["Confidence"])
                for item in part["EquipmentDetections"]:
                    values += [item["Confidence"], item["CoversBodyPart"]["Confidence"]]
            assert min(values) >= 50
            seen += len(values)
    assert seen > 12


def test_of_eighteen_people_fifteen_are_listed(
    rekognition: "RekognitionClient", astronaut: bytes, officer: bytes
) -> None:
    persons = ask(rekognition, group(astronaut, officer, 18))["Persons"]
    assert sorted({person["Id"] for person in persons}) == list(range(15))
    assert len(persons) == 15


def test_the_command_line_says_and_draws_it(photos: dict[str, Path], tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    done = openrek("detect", "ppe", str(photos["astronaut"]), "--draw", str(drawn), "--require", "HEAD_COVER")
    assert done.returncode == 0, done.stderr
    assert re.search(r"not worn +0", done.stdout)
    assert "FACE" in done.stdout
    assert "HEAD" in done.stdout
    with Image.open(drawn) as picture, Image.open(photos["astronaut"]) as photo:
        assert picture.convert("RGB").resize(photo.size).tobytes() != photo.convert("RGB").tobytes()
