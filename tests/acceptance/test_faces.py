"""DetectFaces as an unmodified SDK meets it: the statements of the specification, on real photos."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageOps

from openrek.service.face_attributes import MEMBERS
from tests.acceptance.pictures import People

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

DEFAULT = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
FIVE = ["eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose"]
THIRTY = [
    *FIVE,
    *("leftEyeBrowLeft", "leftEyeBrowRight", "leftEyeBrowUp"),
    *("rightEyeBrowLeft", "rightEyeBrowRight", "rightEyeBrowUp"),
    *("leftEyeLeft", "leftEyeRight", "leftEyeUp", "leftEyeDown"),
    *("rightEyeLeft", "rightEyeRight", "rightEyeUp", "rightEyeDown"),
    *("noseLeft", "noseRight"),
    *("mouthUp", "mouthDown"),
    *("leftPupil", "rightPupil"),
    *("upperJawlineLeft", "midJawlineLeft", "chinBottom", "midJawlineRight", "upperJawlineRight"),
]
"""In the order of live answers."""
EMOTIONS = {"HAPPY", "SAD", "ANGRY", "CONFUSED", "DISGUSTED", "SURPRISED", "CALM", "FEAR"}

# where a person sees the faces (left, top, right, bottom in ratios, forehead to chin)
ASTRONAUT = (0.35, 0.11, 0.54, 0.35)
HOPPER = (0.34, 0.20, 0.71, 0.56)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, kind, **({"quality": 92} if kind == "JPEG" else {}), **options)
    return buffer.getvalue()


def detect(client: "RekognitionClient", image: Image.Image | bytes, **parameters: Any) -> list[dict[str, Any]]:
    data = image if isinstance(image, bytes) else encoded(image)
    answer: Any = client.detect_faces(Image={"Bytes": data}, **parameters)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert set(answer) == {"FaceDetails", "ResponseMetadata"}
    details: list[dict[str, Any]] = answer["FaceDetails"]
    return details


def corners(face: dict[str, Any]) -> tuple[float, float, float, float]:
    box = face["BoundingBox"]
    return box["Left"], box["Top"], box["Left"] + box["Width"], box["Top"] + box["Height"]


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def points(face: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {point["Type"]: (point["X"], point["Y"]) for point in face["Landmarks"]}


@pytest.fixture(scope="module")
def astronaut(photos: dict[str, Path]) -> Image.Image:
    return Image.open(photos["astronaut"]).convert("RGB")


@pytest.fixture(scope="module")
def hopper(photos: dict[str, Path]) -> Image.Image:
    return Image.open(photos["hopper"]).convert("RGB")


def test_default_members_and_five_landmarks(rekognition: "RekognitionClient", astronaut: Image.Image) -> None:
    (face,) = detect(rekognition, astronaut)
    assert set(face) == DEFAULT
    assert [point["Type"] for point in face["Landmarks"]] == FIVE
    assert set(face["Pose"]) == {"Roll", "Yaw", "Pitch"}
    assert set(face["Quality"]) == {"Brightness", "Sharpness"}
    assert 95 < face["Confidence"] <= 100
    assert overlap(corners(face), ASTRONAUT) > 0.6


def test_default_attributes_may_be_named(rekognition: "RekognitionClient", astronaut: Image.Image) -> None:
    data = encoded(astronaut)
    plain = detect(rekognition, data)
    assert detect(rekognition, data, Attributes=["DEFAULT"]) == plain
    assert detect(rekognition, data, Attributes=[]) == plain


@pytest.mark.parametrize("attribute", MEMBERS)
def test_an_attribute_adds_exactly_its_member(
    rekognition: "RekognitionClient", astronaut: Image.Image, attribute: str
) -> None:
    (face,) = detect(rekognition, astronaut, Attributes=[attribute])
    assert set(face) == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality", MEMBERS[attribute]}
    assert len(face["Landmarks"]) == 5


def test_all_attributes_of_a_smiling_woman(rekognition: "RekognitionClient", astronaut: Image.Image) -> None:
    (face,) = detect(rekognition, astronaut, Attributes=["ALL"])
    assert set(face) == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality", *MEMBERS.values()}
    assert [point["Type"] for point in face["Landmarks"]] == THIRTY
    at = points(face)
    assert (at["leftPupil"], at["rightPupil"]) == (at["eyeLeft"], at["eyeRight"])  # as in live answers
    levels = [emotion["Confidence"] for emotion in face["Emotions"]]
    assert {emotion["Type"] for emotion in face["Emotions"]} == EMOTIONS
    assert len(levels) == 8
    assert levels == sorted(levels, reverse=True)
    assert face["Emotions"][0]["Type"] == "HAPPY"
    assert isinstance(face["AgeRange"]["Low"], int)
    assert 15 < face["AgeRange"]["Low"] <= face["AgeRange"]["High"] < 75
    assert face["Gender"]["Value"] == "Female"
    assert set(face["EyeDirection"]) == {"Yaw", "Pitch", "Confidence"}
    others = {"AgeRange", "Gender", "Emotions", "EyeDirection"}
    seen = {name: face[name]["Value"] for name in set(MEMBERS.values()) - others}
    yes = {"Smile", "EyesOpen", "MouthOpen"}
    no = {"Eyeglasses", "Sunglasses", "Beard", "Mustache", "FaceOccluded"}
    assert {name for name, value in seen.items() if value} == yes
    assert {name for name, value in seen.items() if not value} == no
    assert all(50 <= face[name]["Confidence"] <= 100 for name in yes | no)
    assert detect(rekognition, astronaut, Attributes=["ALL", "DEFAULT"]) == [face]


@pytest.mark.parametrize("photo", ["china", "flower", "coffee", "rocket", "page", "text", "chelsea"])
def test_pictures_without_people(rekognition: "RekognitionClient", photos: dict[str, Path], photo: str) -> None:
    with Image.open(photos[photo]) as image:
        assert detect(rekognition, image) == []


@pytest.mark.parametrize("photo", ["astronaut", "hopper"])
def test_left_is_the_images_left_on_an_upright_portrait(
    rekognition: "RekognitionClient", photos: dict[str, Path], photo: str
) -> None:
    with Image.open(photos[photo]) as image:
        (face,) = detect(rekognition, image)
    at = points(face)
    assert at["eyeLeft"][0] < at["nose"][0] < at["eyeRight"][0]
    assert at["mouthLeft"][0] < at["mouthRight"][0]
    assert max(at["eyeLeft"][1], at["eyeRight"][1]) < at["nose"][1] < min(at["mouthLeft"][1], at["mouthRight"][1])
    assert all(abs(angle) < 12 for angle in face["Pose"].values())


def test_a_face_cut_by_the_left_border(rekognition: "RekognitionClient", hopper: Image.Image) -> None:
    width, height = hopper.size
    cut = hopper.crop((round(0.47 * width), 0, width, height))  # through the eye on the image's left
    (face,) = detect(rekognition, cut)
    assert face["BoundingBox"]["Left"] < 0
    assert face["BoundingBox"]["Left"] + face["BoundingBox"]["Width"] > 0.2


def test_an_attribute_that_does_not_exist(rekognition: "RekognitionClient", astronaut: Image.Image) -> None:
    with pytest.raises(ClientError) as caught:
        detect(rekognition, astronaut, Attributes=["HAIR"])
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert "HAIR" in error["Message"]
    assert all(name in error["Message"] for name in ("DEFAULT", "ALL", *MEMBERS))


def test_exif_orientation_is_applied_before_the_search(rekognition: "RekognitionClient", hopper: Image.Image) -> None:
    """A portrait stored lying on its side with orientation 6: ratios relate to the upright picture."""
    stored = hopper.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(stored, exif=exif)
    with Image.open(io.BytesIO(data)) as again:
        assert ImageOps.exif_transpose(again).size == hopper.size
    (face,) = detect(rekognition, data)
    assert overlap(corners(face), HOPPER) > 0.6
    assert abs(face["Pose"]["Roll"]) < 10


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_faces_on_their_side_and_upside_down(
    rekognition: "RekognitionClient", astronaut: Image.Image, turned: int
) -> None:
    (face,) = detect(rekognition, astronaut.rotate(-turned, expand=True))
    roll = face["Pose"]["Roll"]
    assert abs((roll - turned + 180) % 360 - 180) < 20
    at = points(face)
    if turned == 180:  # the landmarks turn with the face
        assert at["eyeLeft"][0] > at["eyeRight"][0]
        assert at["eyeLeft"][1] > at["mouthLeft"][1]


def test_mirrored_faces_have_mirrored_poses(rekognition: "RekognitionClient", media: Path) -> None:
    with Image.open(media / "photos" / "three-women.jpg") as image:
        faces, mirrored = detect(rekognition, image), detect(rekognition, ImageOps.mirror(image.convert("RGB")))
    assert len(faces) == len(mirrored) == 3
    for face in faces:
        left, top, right, bottom = corners(face)
        (twin,) = [each for each in mirrored if overlap(corners(each), (1 - right, top, 1 - left, bottom)) > 0.5]
        assert twin["Pose"]["Yaw"] == pytest.approx(-face["Pose"]["Yaw"], abs=12)
        assert twin["Pose"]["Roll"] == pytest.approx(-face["Pose"]["Roll"], abs=8)


@pytest.mark.parametrize(
    ("photo", "count"),
    [
        ("family-1", 3),
        ("family-2", 3),
        ("office-from-behind", 0),
        ("sample-face", 1),
        ("sample-image", 1),
        ("three-women", 3),
    ],
)
def test_as_many_faces_as_a_person_counts(
    rekognition: "RekognitionClient", media: Path, photo: str, count: int
) -> None:
    faces = detect(rekognition, (media / "photos" / f"{photo}.jpg").read_bytes())
    assert len(faces) == count
    assert all(face["Confidence"] > 80 for face in faces)
    areas = [face["BoundingBox"]["Width"] * face["BoundingBox"]["Height"] for face in faces]
    assert areas == sorted(areas, reverse=True)


def test_the_hundred_largest_of_many(rekognition: "RekognitionClient", astronaut: Image.Image) -> None:
    """A wall of 130 portraits, ten of them twice as large."""
    head = astronaut.crop((140, 20, 320, 240))
    wall = Image.new("RGB", (1920, 1440), "white")
    for index in range(10):
        wall.paste(head.resize((180, 220)), (index * 190, 0))
    for index in range(120):
        wall.paste(head.resize((90, 110)), ((index % 20) * 95, 230 + (index // 20) * 200))
    faces = detect(rekognition, wall)
    assert len(faces) == 100
    heights = np.array([face["BoundingBox"]["Height"] * 1440 for face in faces])
    assert (heights[:10] > 85).all()
    assert (heights[10:] < 85).all()


@pytest.mark.parametrize("height", [40, 60, 120])
def test_small_faces_in_a_full_hd_picture(
    rekognition: "RekognitionClient", astronaut: Image.Image, photos: dict[str, Path], height: int
) -> None:
    """The API's promise: about 40 x 40 pixels in 1920 x 1080."""
    with Image.open(photos["china"]) as image:
        scene = ImageOps.fit(image.convert("RGB"), (1920, 1080))
    factor = height / 114  # the face is 114 pixels high
    head = astronaut.crop((140, 20, 320, 240)).resize((round(180 * factor), round(220 * factor)), Image.Resampling.BOX)
    scene.paste(head, (1200, 200))
    (face,) = detect(rekognition, scene)
    left, top, right, bottom = corners(face)
    expected = [1200 + 40 * factor, 200 + 42 * factor, 1200 + 133 * factor, 200 + 156 * factor]
    found = (left * 1920, top * 1080, right * 1920, bottom * 1080)
    assert overlap(found, tuple(expected)) > 0.5


def test_black_and_white_and_dark(rekognition: "RekognitionClient", hopper: Image.Image) -> None:
    (bright,) = detect(rekognition, hopper)
    (grey,) = detect(rekognition, ImageOps.grayscale(hopper))
    (dark,) = detect(rekognition, hopper.point([value // 6 for value in range(256)] * 3))
    for face in (grey, dark):
        assert overlap(corners(face), corners(bright)) > 0.7
    assert dark["Quality"]["Brightness"] < bright["Quality"]["Brightness"] / 3


def test_a_png_and_its_jpeg_agree(rekognition: "RekognitionClient", astronaut: Image.Image) -> None:
    (jpeg,), (png,) = detect(rekognition, astronaut), detect(rekognition, encoded(astronaut, "PNG"))
    assert overlap(corners(jpeg), corners(png)) > 0.9


def test_a_drawn_face_is_a_face(rekognition: "RekognitionClient", photos: dict[str, Path]) -> None:
    (face,) = detect(rekognition, People(photos).drawing(), Attributes=["ALL"])
    assert face["Confidence"] > 80
    assert 0.25 < face["BoundingBox"]["Width"] < 0.75


@pytest.mark.parametrize("size", [(79, 200), (200, 79)])
def test_too_small_a_picture(rekognition: "RekognitionClient", size: tuple[int, int]) -> None:
    with pytest.raises(rekognition.exceptions.InvalidParameterException):
        detect(rekognition, Image.new("RGB", size))


@pytest.mark.parametrize("size", [(80, 80), (80, 3000), (5000, 80)])
@pytest.mark.parametrize("colour", ["black", "white"])
def test_empty_pictures_have_no_face(rekognition: "RekognitionClient", size: tuple[int, int], colour: str) -> None:
    assert detect(rekognition, Image.new("RGB", size, colour)) == []


def test_noise_has_no_face(rekognition: "RekognitionClient") -> None:
    noise = np.random.default_rng(7).integers(0, 256, (600, 800, 3), np.uint8)
    assert detect(rekognition, Image.fromarray(noise)) == []
