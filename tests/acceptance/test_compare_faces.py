"""CompareFaces as an unmodified SDK meets it: statements 10 to 13 and 15 of the specification, on real photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageFilter

from tests.acceptance.conftest import Server
from tests.acceptance.pictures import People
from tests.acceptance.test_faces import ASTRONAUT, DEFAULT, FIVE, HOPPER, corners, detect, encoded, overlap
from tests.acceptance.test_server import openrek

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

Pictures = dict[str, Image.Image]


@pytest.fixture(scope="module")
def pictures(photos: dict[str, Path]) -> Pictures:
    """The photos of one person each, one without people, and both people side by side: the astronaut much larger."""
    found = {name: Image.open(photos[name]).convert("RGB") for name in ("astronaut", "hopper", "china")}
    hopper = found["hopper"].resize((256, round(256 * found["hopper"].height / found["hopper"].width)))
    both = Image.new("RGB", (768, 512))
    both.paste(hopper, (0, 80))
    both.paste(found["astronaut"], (256, 0))
    return found | {"both": both}


def compare(
    client: "RekognitionClient", source: Image.Image | bytes, target: Image.Image | bytes, **parameters: Any
) -> dict[str, Any]:
    images = [image if isinstance(image, bytes) else encoded(image) for image in (source, target)]
    answer: Any = client.compare_faces(SourceImage={"Bytes": images[0]}, TargetImage={"Bytes": images[1]}, **parameters)
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    assert set(answer) == {"SourceImageFace", "FaceMatches", "UnmatchedFaces"}
    assert set(answer["SourceImageFace"]) == {"BoundingBox", "Confidence"}
    for match in answer["FaceMatches"]:
        assert set(match) == {"Similarity", "Face"}
    for face in [*(match["Face"] for match in answer["FaceMatches"]), *answer["UnmatchedFaces"]]:
        assert set(face) == DEFAULT  # an unmatched face says nothing of similarity
        assert [point["Type"] for point in face["Landmarks"]] == FIVE
    found: dict[str, Any] = answer
    return found


def refused(client: "RekognitionClient", source: Image.Image, target: Image.Image, **parameters: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        compare(client, source, target, **parameters)
    answer: Any = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    error: dict[str, Any] = answer["Error"]
    return error


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_a_photo_with_itself(rekognition: "RekognitionClient", pictures: Pictures, name: str) -> None:
    data = encoded(pictures[name])
    answer = compare(rekognition, data, data)
    (match,) = answer["FaceMatches"]
    assert 99.9 <= match["Similarity"] <= 100
    assert answer["UnmatchedFaces"] == []
    assert match["Face"]["BoundingBox"] == answer["SourceImageFace"]["BoundingBox"]
    assert overlap(corners(match["Face"]), {"astronaut": ASTRONAUT, "hopper": HOPPER}[name]) > 0.6


@pytest.mark.parametrize("angle", [15, 90, 180])
def test_a_person_is_known_turned(rekognition: "RekognitionClient", pictures: Pictures, angle: int) -> None:
    turned = pictures["astronaut"].rotate(angle, expand=True)
    (match,) = compare(rekognition, pictures["astronaut"], turned)["FaceMatches"]
    assert match["Similarity"] > 99


def test_only_the_same_person_matches(rekognition: "RekognitionClient", pictures: Pictures) -> None:
    for name, other in (("astronaut", "hopper"), ("hopper", "astronaut")):
        answer = compare(rekognition, pictures[name], pictures["both"])
        (match,) = answer["FaceMatches"]
        (unmatched,) = answer["UnmatchedFaces"]
        assert match["Similarity"] > 99
        side = {"astronaut": 1, "hopper": 0}
        assert (corners(match["Face"])[0] > 1 / 3) == side[name]
        assert (corners(unmatched)[0] > 1 / 3) == side[other]


def test_threshold_0_matches_every_face_in_order(rekognition: "RekognitionClient", pictures: Pictures) -> None:
    answer = compare(rekognition, pictures["hopper"], pictures["both"], SimilarityThreshold=0)
    similarities = [match["Similarity"] for match in answer["FaceMatches"]]
    assert len(similarities) == 2
    assert similarities == sorted(similarities, reverse=True)
    assert 0 <= similarities[1] < 80 < similarities[0]
    assert answer["UnmatchedFaces"] == []


def test_threshold_100_matches_no_other_person(rekognition: "RekognitionClient", pictures: Pictures) -> None:
    answer = compare(rekognition, pictures["hopper"], pictures["astronaut"], SimilarityThreshold=100)
    assert answer["FaceMatches"] == []
    assert len(answer["UnmatchedFaces"]) == 1


def test_threshold_is_inclusive_and_80_by_default(rekognition: "RekognitionClient", pictures: Pictures) -> None:
    blurred = pictures["hopper"].filter(ImageFilter.GaussianBlur(4))
    everything = compare(rekognition, pictures["hopper"], pictures["both"], SimilarityThreshold=0)
    least = everything["FaceMatches"][-1]["Similarity"]
    at = compare(rekognition, pictures["hopper"], pictures["both"], SimilarityThreshold=least)
    above = compare(rekognition, pictures["hopper"], pictures["both"], SimilarityThreshold=least + 0.01)
    assert at == everything
    assert (len(above["FaceMatches"]), len(above["UnmatchedFaces"])) == (1, 1)
    for target in (blurred, pictures["both"]):
        default = compare(rekognition, pictures["hopper"], target)
        assert default == compare(rekognition, pictures["hopper"], target, SimilarityThreshold=80)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_landscape_has_no_face_to_compare(
    rekognition: "RekognitionClient", pictures: Pictures, swapped: bool
) -> None:
    pair = [pictures["astronaut"], pictures["china"]]
    error = refused(rekognition, *(reversed(pair) if swapped else pair))
    assert error["Code"] == "InvalidParameterException"
    assert "Request has invalid parameters" in error["Message"]
    assert ("SourceImage" if swapped else "TargetImage") in error["Message"]


def test_the_larger_face_is_the_source(rekognition: "RekognitionClient", pictures: Pictures) -> None:
    answer = compare(rekognition, pictures["both"], pictures["astronaut"])
    largest = max(detect(rekognition, pictures["both"]), key=lambda face: face["BoundingBox"]["Width"])
    assert answer["SourceImageFace"]["BoundingBox"] == largest["BoundingBox"]
    assert answer["SourceImageFace"]["BoundingBox"]["Left"] > 1 / 3
    assert len(answer["FaceMatches"]) == 1


def test_quality_filter(rekognition: "RekognitionClient", pictures: Pictures) -> None:
    """A tiny face is compared by default, left out of both lists under HIGH, and no source under HIGH."""
    small = pictures["both"].resize((300, 200))
    by_default = compare(rekognition, pictures["hopper"], small)
    assert len(by_default["FaceMatches"]) + len(by_default["UnmatchedFaces"]) == 2
    assert compare(rekognition, pictures["hopper"], small, QualityFilter="NONE") == by_default
    strict = compare(rekognition, pictures["hopper"], small, QualityFilter="HIGH")
    assert (strict["FaceMatches"], strict["UnmatchedFaces"]) == ([], [])
    error = refused(rekognition, small, pictures["hopper"], QualityFilter="HIGH")
    assert error["Code"] == "InvalidParameterException"


def test_a_threshold_beyond_100(rekognition: "RekognitionClient", pictures: Pictures) -> None:
    error = refused(rekognition, pictures["hopper"], pictures["hopper"], SimilarityThreshold=100.5)
    assert error["Code"] == "ValidationException"


def test_the_hundred_largest_faces_of_the_target(
    rekognition: "RekognitionClient", pictures: Pictures, photos: dict[str, Path]
) -> None:
    """Of 130 faces a hundred are compared, each in one list."""
    answer = compare(rekognition, pictures["astronaut"], People(photos).wall(130))
    assert len(answer["FaceMatches"]) + len(answer["UnmatchedFaces"]) == 100
    assert 20 < len(answer["FaceMatches"]) < 80
    similarities = [match["Similarity"] for match in answer["FaceMatches"]]
    assert similarities == sorted(similarities, reverse=True)


def test_one_picture_may_come_from_a_bucket(
    rekognition: "RekognitionClient", server: Server, pictures: Pictures, photos: dict[str, Path]
) -> None:
    home = {"OPENREK_HOME": str(server.home)}
    assert openrek("buckets", "create", "compare", **home).returncode == 0
    assert openrek("buckets", "put", "compare", str(photos["astronaut"]), **home).returncode == 0
    inline: Any = {"Bytes": encoded(pictures["both"])}
    stored: Any = {"S3Object": {"Bucket": "compare", "Name": "astronaut.png"}}
    for source, target in ((stored, inline), (inline, stored)):
        (match,) = rekognition.compare_faces(SourceImage=source, TargetImage=target)["FaceMatches"]
        assert match["Similarity"] > 99
    missing: Any = {"S3Object": {"Bucket": "compare", "Name": "no-such.png"}}
    with pytest.raises(rekognition.exceptions.InvalidS3ObjectException):
        rekognition.compare_faces(SourceImage=inline, TargetImage=missing)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"Bytes": encoded(Image.new("RGB", (79, 200)))}, "InvalidParameterException"),
        ({}, "InvalidParameterException"),
        ({"Bytes": b"GIF89a" + bytes(100)}, "InvalidImageFormatException"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_either_picture_may_be_refused(
    rekognition: "RekognitionClient", pictures: Pictures, bad: Any, code: str, swapped: bool
) -> None:
    good: Any = {"Bytes": encoded(pictures["hopper"])}
    source, target = (bad, good) if swapped else (good, bad)
    with pytest.raises(ClientError) as caught:
        rekognition.compare_faces(SourceImage=source, TargetImage=target)
    assert caught.value.response["Error"]["Code"] == code
