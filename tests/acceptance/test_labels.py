"""DetectLabels through an unmodified boto3 client: the acceptance checklist, and answers that a person finds right."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageColor

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

Answer = Mapping[str, Any]
BOTH = ["GENERAL_LABELS", "IMAGE_PROPERTIES"]
SIMPLIFIED = {
    "black", "white", "grey", "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown",
}  # fmt: skip
PHOTOS = ("astronaut", "chelsea", "china", "coffee", "flower", "hopper", "rocket")


@pytest.fixture(scope="module")
def ask(rekognition: "RekognitionClient", photos: dict[str, Path]) -> Any:
    """detect_labels on a sample photo by its name, or on encoded bytes."""

    def detect(photo: str | bytes, **parameters: Any) -> Answer:
        data = photos[photo].read_bytes() if isinstance(photo, str) else photo
        return rekognition.detect_labels(Image={"Bytes": data}, **parameters)

    return detect


def names(answer: Answer) -> list[str]:
    return [label["Name"] for label in answer["Labels"]]


def png(pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def colour_lists(properties: Answer) -> list[list[Answer]]:
    return [
        part["DominantColors"]
        for part in (properties, properties.get("Foreground"), properties.get("Background"))
        if part
    ]


def code_of(caught: "pytest.ExceptionInfo[ClientError]") -> str:
    return caught.value.response["Error"]["Code"]


# --- the checklist ----------------------------------------------------------------------------------------------------


def test_1_labels_without_properties_by_default(ask: Any) -> None:
    for answer in (ask("chelsea"), ask("chelsea", Features=[])):
        assert answer["Labels"]
        assert "ImageProperties" not in answer


def test_2_both_features_bring_properties_and_instance_colours(ask: Any) -> None:
    both, plain = ask("hopper", Features=BOTH), ask("hopper")
    assert set(both["ImageProperties"]) >= {"Quality", "DominantColors"}
    assert names(both) == names(plain)
    assert all("DominantColors" in instance for label in both["Labels"] for instance in label["Instances"])
    assert all("DominantColors" not in instance for label in plain["Labels"] for instance in label["Instances"])


def test_3_the_threshold_is_55_by_default_and_inclusive(ask: Any) -> None:
    every = ask("china", MinConfidence=0)
    confidences = [label["Confidence"] for label in every["Labels"]]
    assert min(confidences) < 55 < max(confidences)
    assert names(ask("china")) == [label["Name"] for label in every["Labels"] if label["Confidence"] >= 55]
    assert all(label["Confidence"] >= 90 for label in ask("coffee", MinConfidence=90)["Labels"])
    exact = confidences[len(confidences) // 2]
    assert ask("china", MinConfidence=exact)["Labels"][-1]["Confidence"] == exact


@pytest.mark.parametrize("photo", PHOTOS)
def test_4_5_6_parents_are_there_in_order_and_as_sure(ask: Any, photo: str) -> None:
    answer = ask(photo, MinConfidence=0)
    by_name = {label["Name"]: label for label in answer["Labels"]}
    assert len(by_name) == len(answer["Labels"]) > 10
    for label in answer["Labels"]:
        parents = [parent["Name"] for parent in label["Parents"]]
        assert parents == sorted(set(parents))
        assert label["Name"] not in parents
        for parent in parents:
            assert by_name[parent]["Confidence"] >= label["Confidence"]
            assert label["Name"] not in [above["Name"] for above in by_name[parent]["Parents"]]
        assert set(label) == {"Name", "Confidence", "Instances", "Parents", "Aliases", "Categories"}
        assert len(label["Categories"]) == 1
    keys = [(-label["Confidence"], label["Name"]) for label in answer["Labels"]]
    assert keys == sorted(keys)


def test_7_an_inclusion_filter_leaves_that_label_with_its_parents(ask: Any) -> None:
    answer = ask("chelsea", Settings={"GeneralLabels": {"LabelInclusionFilters": ["Cat"]}})
    assert names(answer) == ["Cat"]
    assert [parent["Name"] for parent in answer["Labels"][0]["Parents"]] == ["Animal", "Feline", "Mammal", "Pet"]
    assert names(ask("coffee", Settings={"GeneralLabels": {"LabelInclusionFilters": ["Cat"]}})) == []


def test_8_an_excluded_category_is_gone_and_others_stay(ask: Any) -> None:
    assert {"Person", "Clothing"} <= set(names(ask("hopper")))
    found = names(ask("hopper", Settings={"GeneralLabels": {"LabelCategoryExclusionFilters": ["Person Description"]}}))
    assert "Clothing" in found
    assert not {"Person", "Face", "Head"} & set(found)


@pytest.mark.parametrize("most", [0, 1])
def test_9_dominant_colours_are_limited(ask: Any, most: int) -> None:
    settings = {"ImageProperties": {"MaxDominantColors": most}}
    answer = ask("astronaut", Features=["IMAGE_PROPERTIES"], Settings=settings)
    lists = colour_lists(answer["ImageProperties"])
    assert len(lists) == 3
    assert all(len(colours) == most for colours in lists)


def test_9_more_than_20_dominant_colours_are_refused(ask: Any) -> None:
    with pytest.raises(ClientError) as caught:
        ask("astronaut", Features=BOTH, Settings={"ImageProperties": {"MaxDominantColors": 21}})
    assert code_of(caught) == "ValidationException"
    assert "settings.imageProperties.maxDominantColors" in str(caught.value)


@pytest.mark.parametrize("photo", PHOTOS)
def test_10_11_colours_are_css_colours_and_contrast_is_the_pictures(ask: Any, photo: str) -> None:
    properties = ask(photo, Features=["IMAGE_PROPERTIES"])["ImageProperties"]
    for colours in colour_lists(properties):
        assert colours, photo
        for colour in colours:
            rgb = (colour["Red"], colour["Green"], colour["Blue"])
            assert colour["HexCode"] == "#{:02x}{:02x}{:02x}".format(*rgb)
            assert ImageColor.getrgb(colour["CSSColor"]) == rgb
            assert colour["SimplifiedColor"] in SIMPLIFIED
            assert set(colour) == {
                "Red", "Green", "Blue", "HexCode", "CSSColor", "SimplifiedColor", "PixelPercent"
            }  # fmt: skip
        shares = [colour["PixelPercent"] for colour in colours]
        assert shares == sorted(shares, reverse=True)
        assert len(colours) <= 10
        assert sum(shares) <= 100.001
    assert all(0 <= value <= 100 for value in properties["Quality"].values())
    assert set(properties["Quality"]) == {"Brightness", "Sharpness", "Contrast"}
    for part in ("Foreground", "Background"):
        if part in properties:
            assert set(properties[part]["Quality"]) == {"Brightness", "Sharpness"}


def test_12_the_model_version(ask: Any) -> None:
    assert ask("chelsea")["LabelModelVersion"] == "3.0"
    properties_only = ask("chelsea", Features=["IMAGE_PROPERTIES"])
    assert properties_only["LabelModelVersion"] == "3.0"
    assert properties_only["Labels"] == []


def test_13_an_alias_is_no_label(ask: Any) -> None:
    found: set[str] = set()
    aliases: set[str] = set()
    for photo in PHOTOS:
        for label in ask(photo, MinConfidence=0)["Labels"]:
            found.add(label["Name"])
            aliases |= {alias["Name"] for alias in label["Aliases"]}
    assert {"Human", "Apparel"} <= aliases
    assert "Automobile" not in found
    assert not found & aliases


def test_14_more_than_100_filters_are_refused(ask: Any) -> None:
    many = [f"Label {number}" for number in range(101)]
    with pytest.raises(ClientError) as caught:
        ask("chelsea", Settings={"GeneralLabels": {"LabelInclusionFilters": many}})
    assert code_of(caught) == "ValidationException"
    assert "settings.generalLabels.labelInclusionFilters" in str(caught.value)
    assert names(ask("chelsea", Settings={"GeneralLabels": {"LabelInclusionFilters": [*many[:99], "Cat"]}})) == ["Cat"]


# --- instances --------------------------------------------------------------------------------------------------------


def boxes(label: Answer) -> dict[tuple[float, ...], float]:
    """Box -> confidence."""
    sides = ("Left", "Top", "Width", "Height")
    return {tuple(each["BoundingBox"][side] for side in sides): each["Confidence"] for each in label["Instances"]}


@pytest.mark.parametrize(("photo", "name"), [("astronaut", "Person"), ("hopper", "Person"), ("chelsea", "Cat")])
def test_what_can_be_counted_has_instances(ask: Any, photo: str, name: str) -> None:
    labels = {label["Name"]: label for label in ask(photo)["Labels"]}
    found = boxes(labels[name])
    assert found
    for left, top, width, height in found:
        assert 0 <= left < left + width <= 1.0001
        assert 0 <= top < top + height <= 1.0001
    left, top, width, height = max(found, key=lambda box: found[box])
    assert width * height > 0.1, "each of these photos has one large subject"
    for label in labels.values():
        confidences = [each["Confidence"] for each in label["Instances"]]
        assert confidences == sorted(confidences, reverse=True)
        assert all(confidence >= 30 for confidence in confidences)


def test_ancestors_repeat_the_boxes_of_their_descendants(ask: Any) -> None:
    labels = {label["Name"]: label for label in ask("astronaut", MinConfidence=20)["Labels"]}
    woman = boxes(labels["Woman"])
    assert woman
    for name in ("Adult", "Female", "Person"):
        shared = boxes(labels[name])
        assert all(shared[box] >= confidence for box, confidence in woman.items()), name


def test_each_instance_has_colours_where_colours_are_asked_for(ask: Any) -> None:
    labels = {label["Name"]: label for label in ask("astronaut", Features=BOTH)["Labels"]}
    (person, *_) = labels["Person"]["Instances"]
    assert 1 <= len(person["DominantColors"]) <= 10
    settings = {"ImageProperties": {"MaxDominantColors": 1}}
    few = {label["Name"]: label for label in ask("astronaut", Features=BOTH, Settings=settings)["Labels"]}
    assert few["Person"]["Instances"][0]["DominantColors"] == person["DominantColors"][:1]


# --- limits and edges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("photo", ["page", "text"])
def test_a_page_is_a_document_and_not_outdoors(ask: Any, photo: str) -> None:
    found = names(ask(photo))
    assert {"Document", "Text"} <= set(found)
    assert not {"Outdoors", "Indoors"} & set(found)


def test_max_labels(ask: Any) -> None:
    everything = names(ask("astronaut", MinConfidence=0))
    assert 50 < len(everything) <= 1000
    assert names(ask("astronaut", MinConfidence=0, MaxLabels=5)) == everything[:5]
    assert ask("astronaut", MaxLabels=0)["Labels"] == []
    assert names(ask("astronaut", MinConfidence=0, MaxLabels=100_000)) == everything


def test_settings_of_a_feature_that_was_not_asked_for(ask: Any) -> None:
    with pytest.raises(ClientError) as caught:
        ask("chelsea", Features=["IMAGE_PROPERTIES"], MaxLabels=3)
    assert code_of(caught) == "InvalidParameterException"
    with pytest.raises(ClientError) as caught:
        ask("chelsea", Settings={"ImageProperties": {"MaxDominantColors": 3}})
    assert code_of(caught) == "InvalidParameterException"
    for wrong in ({"MinConfidence": 60}, {"Settings": {"GeneralLabels": {"LabelInclusionFilters": ["Cat"]}}}):
        with pytest.raises(ClientError) as caught:
            ask("chelsea", Features=["IMAGE_PROPERTIES"], **wrong)
        assert code_of(caught) == "InvalidParameterException"


def test_an_exif_rotated_photo_has_the_properties_of_the_upright_one(ask: Any, photos: dict[str, Path]) -> None:
    """And no OrientationCorrection; the subject, too, is found where it stands upright."""
    with Image.open(photos["flower"]) as image:
        upright = image.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=95, exif=exif)
    turned = ask(file.getvalue(), Features=["IMAGE_PROPERTIES"])
    assert set(turned) == {"Labels", "LabelModelVersion", "ImageProperties", "ResponseMetadata"}
    expected = ask("flower", Features=["IMAGE_PROPERTIES"])["ImageProperties"]
    for part in ("Foreground", "Background"):
        for value in ("Brightness", "Sharpness"):
            seen = turned["ImageProperties"][part]["Quality"][value]
            assert seen == pytest.approx(expected[part]["Quality"][value], abs=8)


def test_what_a_filter_may_be(ask: Any) -> None:
    """The pattern's range '-_ lets commas, colons and slashes pass, but no ampersand; what is no name, nothing."""
    for value in ("Rock, Paper: Scissors/Stone", "â", "no such label", ""):
        assert names(ask("chelsea", Settings={"GeneralLabels": {"LabelInclusionFilters": [value]}})) == []
    for value in ("Salt & Pepper", "x" * 51):
        with pytest.raises(ClientError) as caught:
            ask("chelsea", Settings={"GeneralLabels": {"LabelCategoryExclusionFilters": [value]}})
        assert code_of(caught) == "ValidationException"
        assert "settings.generalLabels.labelCategoryExclusionFilters.1.member" in str(caught.value)


@pytest.mark.parametrize("features", [["TEXT"], ["GENERAL_LABELS", "IMAGE_PROPERTIES", "GENERAL_LABELS"]])
def test_features_that_are_none_or_too_many(ask: Any, features: list[str]) -> None:
    with pytest.raises(ClientError) as caught:
        ask("chelsea", Features=features)
    assert code_of(caught) == "ValidationException"


def test_boxes_are_those_of_the_upright_picture(ask: Any, photos: dict[str, Path]) -> None:
    """A portrait that is stored lying on its side, with an orientation."""
    with Image.open(photos["hopper"]) as image:
        upright = image.convert("RGB")
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=95, exif=exif)
    answer = ask(file.getvalue())
    assert "OrientationCorrection" not in answer

    def largest(found: Answer) -> np.ndarray[Any, Any]:
        people = {label["Name"]: label for label in found["Labels"]}["Person"]["Instances"]
        return np.array(max(boxes({"Instances": people}), key=lambda box: box[2] * box[3]))

    assert largest(answer) == pytest.approx(largest(ask("hopper")), abs=0.05)


def test_a_filter_on_both_sides(ask: Any) -> None:
    both = {"LabelInclusionFilters": ["Cat"], "LabelExclusionFilters": ["Cat"]}
    with pytest.raises(ClientError) as caught:
        ask("chelsea", Settings={"GeneralLabels": both})
    assert code_of(caught) == "InvalidParameterException"


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_has_few_labels_and_no_error(ask: Any, level: int) -> None:
    answer = ask(png(np.full((90, 90, 3), level, np.uint8)), Features=BOTH)
    assert len(answer["Labels"]) <= 3
    properties = answer["ImageProperties"]
    (colour,) = properties["DominantColors"]
    assert colour["PixelPercent"] == 100
    assert set(properties) == {"Quality", "DominantColors"}, "nothing stands before anything"


@pytest.mark.parametrize(("width", "height"), [(80, 80), (3000, 80), (80, 3000)])
def test_small_and_very_long_pictures(ask: Any, photos: dict[str, Path], width: int, height: int) -> None:
    with Image.open(photos["chelsea"]) as image:
        pixels = np.asarray(image.convert("RGB").resize((width, height)))
    assert ask(png(pixels), Features=BOTH, MinConfidence=0)["Labels"]


def test_sides_out_of_range(ask: Any) -> None:
    with pytest.raises(ClientError) as caught:
        ask(png(np.zeros((79, 100, 3), np.uint8)))
    assert code_of(caught) == "InvalidParameterException"
    with pytest.raises(ClientError) as caught:
        ask(png(np.zeros((80, 10_001, 3), np.uint8)))
    assert code_of(caught) == "InvalidParameterException"
    assert "Input image dimensions 10001 x 80 exceed maximum dimension size of 10000 pixels" in str(caught.value)


# --- answers that a person finds right --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo", "expected", "absent"),
    [
        (
            "astronaut",
            {"Person", "Face", "Head", "Smile", "Adult"},  # whether a woman or a man is close to a guess here
            {"Animal", "Food", "Vehicle", "Building"},
        ),
        (
            "hopper",
            {"Person", "Face", "Head", "Adult", "Clothing"},
            {"Animal", "Food", "Vehicle", "Building"},
        ),
        ("chelsea", {"Animal", "Cat", "Feline", "Mammal", "Pet"}, {"Person", "Dog", "Food", "Vehicle"}),
        ("coffee", {"Beverage", "Coffee", "Cup"}, {"Person", "Animal", "Vehicle", "Building"}),
        ("china", {"Architecture", "Building", "Outdoors", "Sky", "Nature"}, {"Person", "Animal", "Vehicle", "Food"}),
    ],
)
def test_what_the_photos_show(ask: Any, photo: str, expected: set[str], absent: set[str]) -> None:
    found = set(names(ask(photo)))
    assert expected <= found
    assert not absent & found


def test_people_in_everyday_photos(ask: Any, media: Path) -> None:
    for name in ("family-1", "family-2", "three-women", "sample-face", "sample-image"):
        assert "Person" in names(ask((media / "photos" / f"{name}.jpg").read_bytes())), name
