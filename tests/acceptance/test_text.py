"""DetectText as an unmodified SDK meets it: the statements of the specification, on drawn pictures and real photos."""

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

Detection = dict[str, Any]


def canvas(width: int = 800, height: int = 600) -> Image.Image:
    return Image.new("RGB", (width, height), (236, 232, 222))


def write(image: Image.Image, text: str, x: int, y: int, size: int = 48, font: Path | None = None) -> Image.Image:
    face = ImageFont.truetype(font, size) if font else ImageFont.load_default(size)
    ImageDraw.Draw(image).text((x, y), text, fill=(20, 30, 60), font=face)
    return image


def turned(text: str, degrees: float, size: int = 48) -> Image.Image:
    """A picture with a text in its middle that runs `degrees` clockwise from horizontal."""
    label = Image.new("RGB", (800, 800), (236, 232, 222))
    font = ImageFont.load_default(size)
    ImageDraw.Draw(label).text((400, 400), text, fill=(20, 30, 60), font=font, anchor="mm")
    return label.rotate(-degrees, resample=Image.Resampling.BICUBIC, fillcolor=(236, 232, 222))


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}), **options)
    return buffer.getvalue()


def detect(client: "RekognitionClient", image: Image.Image | bytes, **filters: Any) -> list[Detection]:
    data = image if isinstance(image, bytes) else encoded(image)
    parameters: dict[str, Any] = {"Filters": filters} if filters else {}
    answer: Any = client.detect_text(Image={"Bytes": data}, **parameters)
    assert set(answer) == {"TextDetections", "TextModelVersion", "ResponseMetadata"}
    assert answer["TextModelVersion"] == "3.0"
    check(answer["TextDetections"])
    detections: list[Detection] = answer["TextDetections"]
    return detections


def check(detections: Sequence[Detection]) -> None:
    """What holds for every answer: statements 2 to 5, lines of one word, and geometry that fits together."""
    assert [item["Id"] for item in detections] == list(range(len(detections)))
    kinds = [item["Type"] for item in detections]
    assert kinds == sorted(kinds)  # LINE before WORD
    for line in lines(detections):
        assert "ParentId" not in line
        own = [word for word in words(detections) if word["ParentId"] == line["Id"]]
        assert own
        assert line["DetectedText"] == " ".join(word["DetectedText"] for word in own)
        mean = sum(word["Confidence"] for word in own) / len(own)
        assert line["Confidence"] == pytest.approx(mean, abs=1e-3)
        assert len(own) > 1 or line["Geometry"] == own[0]["Geometry"]
    for word in words(detections):
        assert set(word) == {"DetectedText", "Type", "Id", "ParentId", "Confidence", "Geometry"}
        assert detections[word["ParentId"]]["Type"] == "LINE"
        assert not re.search(r"\s", word["DetectedText"])
    parents = [word["ParentId"] for word in words(detections)]
    assert parents == sorted(parents)
    for item in detections:
        assert 0 <= item["Confidence"] <= 100
        assert len(item["Geometry"]["Polygon"]) == 4
        left, top, right, bottom = box(item)
        for x, y in polygon(item):
            assert left - 1e-4 <= x <= right + 1e-4
            assert top - 1e-4 <= y <= bottom + 1e-4


def lines(detections: Sequence[Detection]) -> list[Detection]:
    return [item for item in detections if item["Type"] == "LINE"]


def words(detections: Sequence[Detection]) -> list[Detection]:
    return [item for item in detections if item["Type"] == "WORD"]


def texts(items: Sequence[Detection]) -> list[str]:
    return [item["DetectedText"] for item in items]


def polygon(item: Detection) -> list[tuple[float, float]]:
    return [(point["X"], point["Y"]) for point in item["Geometry"]["Polygon"]]


def box(item: Detection) -> tuple[float, float, float, float]:
    part = item["Geometry"]["BoundingBox"]
    return part["Left"], part["Top"], part["Left"] + part["Width"], part["Top"] + part["Height"]


def plain(text: str) -> str:
    """Letters and digits only, without case and accents."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))
    return re.sub(r"[\W_]", "", bare)


@pytest.fixture(scope="module")
def sign() -> Image.Image:
    return write(canvas(), "but keep", 120, 250, 72)


# --- statements 1 to 15 -----------------------------------------------------------------------------------------------


def test_a_line_and_its_words(rekognition: "RekognitionClient", sign: Image.Image) -> None:
    found = detect(rekognition, sign)
    assert texts(lines(found)) == ["but keep"]
    assert texts(words(found)) == ["but", "keep"]
    assert [word["ParentId"] for word in words(found)] == [0, 0]


def test_lines_have_no_parent(rekognition: "RekognitionClient", sign: Image.Image) -> None:
    found = detect(rekognition, sign)
    assert all("ParentId" not in line for line in lines(found))
    assert all("ParentId" in word for word in words(found))


@pytest.fixture(scope="module")
def notice(rekognition: "RekognitionClient") -> list[Detection]:
    """The answer for four rows of words of different sizes."""
    image = canvas()
    for row, (text, size) in enumerate([("Closed on Mondays", 60), ("open 9 to 17", 44), ("Ring twice", 30)]):
        write(image, text, 60, 60 + 150 * row, size)
    return detect(rekognition, image)


def test_ids_count_from_zero_lines_first(notice: list[Detection]) -> None:
    assert texts(lines(notice)) == ["Closed on Mondays", "open 9 to 17", "Ring twice"]
    assert [item["Id"] for item in notice] == list(range(3 + 9))
    assert [item["Type"] for item in notice] == ["LINE"] * 3 + ["WORD"] * 9


def test_a_lines_confidence_is_the_mean_of_its_words(notice: list[Detection]) -> None:
    for line in lines(notice):
        own = [word["Confidence"] for word in words(notice) if word["ParentId"] == line["Id"]]
        assert line["Confidence"] == pytest.approx(sum(own) / len(own), abs=1e-3)


def test_a_lines_text_is_its_words_joined_by_spaces(notice: list[Detection]) -> None:
    for line in lines(notice):
        own = [word["DetectedText"] for word in words(notice) if word["ParentId"] == line["Id"]]
        assert " ".join(own) == line["DetectedText"]


def test_polygons_start_top_left_and_words_are_where_they_were_drawn(rekognition: "RekognitionClient") -> None:
    font = ImageFont.load_default(72)
    found = words(detect(rekognition, write(canvas(), "but keep", 120, 250, 72)))
    for word, start in zip(found, (0, font.getlength("but ")), strict=True):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = polygon(word)
        assert x0 < x1
        assert x3 < x2
        assert y0 < y3
        assert y1 < y2
        drawn = font.getbbox(word["DetectedText"])
        row = font.getbbox("but keep")  # words are as high as their line
        left, top, right, bottom = box(word)
        assert left * 800 == pytest.approx(120 + start + drawn[0], abs=12)
        assert right * 800 == pytest.approx(120 + start + drawn[2], abs=12)
        assert top * 600 == pytest.approx(250 + row[1], abs=10)
        assert bottom * 600 == pytest.approx(250 + row[3], abs=10)


@pytest.mark.parametrize("degrees", [45, -45, 20])
def test_slanted_text_has_a_slanted_polygon(rekognition: "RekognitionClient", degrees: int) -> None:
    found = detect(rekognition, turned("North Gate", degrees))
    assert texts(lines(found)) == ["North Gate"]
    for item in found:
        (x0, y0), (x1, y1), *_ = polygon(item)
        assert math.degrees(math.atan2(y1 - y0, x1 - x0)) == pytest.approx(degrees, abs=4)
        # the box is the polygon's own, so each of its sides touches a corner
        xs, ys = zip(*polygon(item), strict=True)
        assert box(item) == pytest.approx((min(xs), min(ys), max(xs), max(ys)), abs=1e-4)


def test_no_text_is_no_error(rekognition: "RekognitionClient") -> None:
    assert detect(rekognition, canvas()) == []


def test_min_confidence_removes_weaker_words_and_empty_lines(rekognition: "RekognitionClient") -> None:
    image = write(write(canvas(), "Harbour", 60, 60, 72), "quay", 60, 300, 40)
    dim = image.crop((40, 280, 300, 380)).resize((26, 10)).resize((260, 100), Image.Resampling.BICUBIC)
    image.paste(dim, (40, 280))
    image = write(image, "Platform", 60, 450, 60)
    every = detect(rekognition, image)
    strong = detect(rekognition, image, WordFilter={"MinConfidence": 99})
    kept = [word["DetectedText"] for word in words(every) if word["Confidence"] >= 99]
    assert texts(words(strong)) == kept
    assert texts(lines(strong)) == ["Harbour", "Platform"]


def test_the_default_keeps_weak_words_and_thresholds_are_inclusive(rekognition: "RekognitionClient") -> None:
    image = write(canvas(), "Saturday 0O1l Il10", 60, 200, 40)
    image = image.resize((200, 150)).resize((800, 600), Image.Resampling.BICUBIC)
    found = words(detect(rekognition, image))
    weakest = min(found, key=lambda word: word["Confidence"])
    assert weakest["Confidence"] < 99
    again = words(detect(rekognition, image, WordFilter={"MinConfidence": weakest["Confidence"]}))
    assert texts(again) == texts(found)
    above = words(detect(rekognition, image, WordFilter={"MinConfidence": weakest["Confidence"] + 0.01}))
    assert len(above) < len(found)


def test_min_height_removes_small_words(rekognition: "RekognitionClient", sign: Image.Image) -> None:
    assert detect(rekognition, sign, WordFilter={"MinBoundingBoxHeight": 0.5}) == []
    assert len(words(detect(rekognition, sign, WordFilter={"MinBoundingBoxHeight": 0.05}))) == 2


def test_min_width_removes_narrow_words(rekognition: "RekognitionClient", sign: Image.Image) -> None:
    assert texts(words(detect(rekognition, sign, WordFilter={"MinBoundingBoxWidth": 0.2}))) == ["keep"]


LEFT_HALF = {"BoundingBox": {"Left": 0.0, "Top": 0.0, "Width": 0.5, "Height": 1.0}}


def test_size_minima_hold_for_the_box_that_lies_level(rekognition: "RekognitionClient") -> None:
    """Slanted letters of 48 pixels in 800 are 6 % high; the box around the word is far higher."""
    image = turned("Promenade", 45)
    (word,) = words(detect(rekognition, image))
    left, top, right, bottom = box(word)
    assert bottom - top > 0.15
    assert right - left > 0.15
    assert len(words(detect(rekognition, image, WordFilter={"MinBoundingBoxHeight": 0.15}))) == 1
    assert detect(rekognition, image, WordFilter={"MinBoundingBoxHeight": 0.5}) == []


def test_a_region_returns_words_with_more_than_half_their_area_in_it(rekognition: "RekognitionClient") -> None:
    image = canvas()
    write(image, "left", 60, 100)
    write(image, "mostly", 300, 250, 60)  # 300 to about 480: over half left of the middle
    write(image, "hardly", 360, 400, 60)
    write(image, "right", 600, 500)
    assert len(words(detect(rekognition, image))) == 4
    found = detect(rekognition, image, RegionsOfInterest=[LEFT_HALF])
    assert texts(words(found)) == ["left", "mostly"]
    whole = {item["DetectedText"]: box(item) for item in detect(rekognition, image)}
    for item in words(found):  # coordinates stay relative to the whole picture
        assert box(item) == pytest.approx(whole[item["DetectedText"]], abs=1e-4)


def test_regions_may_be_polygons_and_count_together(rekognition: "RekognitionClient") -> None:
    image = write(write(write(canvas(), "one", 60, 60), "two", 600, 60), "three", 60, 480)
    corner = {"Polygon": [{"X": 0.0, "Y": 0.0}, {"X": 0.5, "Y": 0.0}, {"X": 0.0, "Y": 0.5}]}
    low = {"BoundingBox": {"Left": 0.0, "Top": 0.7, "Width": 1.0, "Height": 0.3}}
    assert texts(words(detect(rekognition, image, RegionsOfInterest=[corner]))) == ["one"]
    assert texts(words(detect(rekognition, image, RegionsOfInterest=[corner, low]))) == ["one", "three"]
    assert texts(words(detect(rekognition, image, RegionsOfInterest=[]))) == ["one", "two", "three"]


def test_polygons_have_three_to_ten_points(rekognition: "RekognitionClient", sign: Image.Image) -> None:
    around = [
        {"X": 0.5 + 0.5 * math.cos(math.tau * corner / 10), "Y": 0.5 + 0.5 * math.sin(math.tau * corner / 10)}
        for corner in range(10)
    ]
    for points in (around, around[::3]):
        assert len(words(detect(rekognition, sign, RegionsOfInterest=[{"Polygon": points}]))) == 2


def test_ten_regions_pass_and_eleven_do_not(rekognition: "RekognitionClient", sign: Image.Image) -> None:
    assert len(words(detect(rekognition, sign, RegionsOfInterest=[LEFT_HALF] * 10))) >= 1
    with pytest.raises(ClientError) as failure:
        detect(rekognition, sign, RegionsOfInterest=[LEFT_HALF] * 11)
    assert failure.value.response["Error"]["Code"] == "ValidationException"
    assert "filters.regionsOfInterest" in failure.value.response["Error"]["Message"]


def test_a_page_of_150_words_returns_the_first_100(rekognition: "RekognitionClient") -> None:
    image = Image.new("RGB", (1600, 1100), "white")
    for row in range(15):
        for column in range(10):
            write(image, f"item{row * 10 + column:03}", 30 + 157 * column, 30 + 70 * row, 28)
    found = detect(rekognition, image)
    assert len(words(found)) == 100
    numbers = [int(match.group(1)) for text in texts(words(found)) if (match := re.fullmatch(r"item(\d{3})", text))]
    assert len(numbers) >= 95
    assert max(numbers) < 110


def test_columns_on_one_row_are_lines_of_their_own(rekognition: "RekognitionClient") -> None:
    image = write(write(canvas(), "Soup of the day", 30, 200, 40), "Five euros", 560, 200, 40)
    assert texts(lines(detect(rekognition, image))) == ["Soup of the day", "Five euros"]


def test_a_sentence_over_two_rows_is_two_lines(rekognition: "RekognitionClient") -> None:
    image = write(write(canvas(), "Mind the step,", 60, 200, 48), "and the door", 60, 260, 48)
    assert texts(lines(detect(rekognition, image))) == ["Mind the step,", "and the door"]


@pytest.mark.parametrize("text", ["UPSIDE DOWN", "Bakery", "Room 207", "EXIT"])
def test_upside_down_text_is_not_reported(rekognition: "RekognitionClient", text: str) -> None:
    assert texts(lines(detect(rekognition, turned(text, 0, 64)))) == [text]
    assert detect(rekognition, turned(text, 180, 64)) == []


@pytest.mark.parametrize("degrees", [180, 170, -165])
def test_a_page_on_its_head_is_not_reported(rekognition: "RekognitionClient", degrees: int) -> None:
    image = canvas(900, 900)
    for row, text in enumerate(["Opening hours", "Monday to Friday", "from 9 to 17", "closed on Sundays", "RING"]):
        write(image, text, 220, 220 + 90 * row, 44)
    assert len(lines(detect(rekognition, image))) == 5
    upended = image.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=(236, 232, 222))
    assert detect(rekognition, upended) == []


# --- the rest of the specification ------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [90, -90, 60])
def test_steep_text_is_read(rekognition: "RekognitionClient", degrees: int) -> None:
    found = detect(rekognition, turned("Town Hall", degrees, 64))
    assert texts(lines(found)) == ["Town Hall"]
    (x0, y0), (x1, y1), *_ = polygon(lines(found)[0])
    assert math.degrees(math.atan2(y1 - y0, x1 - x0)) == pytest.approx(degrees, abs=4)


def test_words_in_different_directions_on_one_picture(rekognition: "RekognitionClient") -> None:
    image = write(canvas(1200, 800), "Straight ahead", 60, 60, 60)
    image.paste(turned("sideways", 90, 64).crop((350, 200, 450, 600)), (900, 250))
    assert sorted(texts(lines(detect(rekognition, image)))) == ["Straight ahead", "sideways"]


def test_the_same_word_at_two_places_is_two_words(rekognition: "RekognitionClient") -> None:
    image = write(write(canvas(), "STOP", 60, 80), "STOP", 500, 450)
    assert texts(words(detect(rekognition, image))) == ["STOP", "STOP"]


def test_case_digits_and_punctuation_are_kept(rekognition: "RekognitionClient") -> None:
    assert texts(lines(detect(rekognition, write(canvas(), "Mc-Coy & Sons, 24/7!", 60, 200)))) == [
        "Mc-Coy & Sons, 24/7!"
    ]


def test_nothing_is_spelled_anew(rekognition: "RekognitionClient") -> None:
    text = "The C@t recieved its brekfast"
    assert texts(lines(detect(rekognition, write(canvas(), text, 60, 200)))) == [text]


@pytest.mark.parametrize(
    "text", ["Größe für Öl", "déjà vu où", "¿Qué año? Señor", "informação não", "perché città", "Ärger süß"]
)
def test_the_promised_latin_languages(rekognition: "RekognitionClient", text: str) -> None:
    """German, French, Spanish, Portuguese, Italian, with their accents."""
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    assert texts(lines(detect(rekognition, write(canvas(), text, 60, 200, 60, font)))) == [text]


def test_an_exif_rotated_photo_is_read_upright(rekognition: "RekognitionClient", sign: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    stored = encoded(sign.transpose(Image.Transpose.ROTATE_90), exif=exif)
    upright, turned_back = detect(rekognition, sign), detect(rekognition, stored)
    assert texts(turned_back) == texts(upright) == ["but keep", "but", "keep"]
    for a, b in zip(upright, turned_back, strict=True):
        assert box(a) == pytest.approx(box(b), abs=0.01)


def test_png_is_read(rekognition: "RekognitionClient", sign: Image.Image) -> None:
    assert texts(lines(detect(rekognition, encoded(sign, "PNG")))) == ["but keep"]


def test_the_smallest_and_a_narrow_picture(rekognition: "RekognitionClient") -> None:
    assert texts(words(detect(rekognition, write(canvas(80, 80), "ok", 20, 20, 30)))) == ["ok"]
    assert texts(lines(detect(rekognition, write(canvas(1600, 80), "a very wide banner", 300, 20, 40)))) == [
        "a very wide banner"
    ]
    with pytest.raises(ClientError) as failure:
        detect(rekognition, canvas(79, 200))
    assert failure.value.response["Error"]["Code"] == "InvalidParameterException"


BOX = {"Left": 0.1, "Top": 0.1, "Width": 0.5, "Height": 0.5}
TRIANGLE = [{"X": 0.1, "Y": 0.1}, {"X": 0.9, "Y": 0.1}, {"X": 0.5, "Y": 0.9}]


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"BoundingBox": BOX, "Polygon": TRIANGLE},
        {"BoundingBox": {**BOX, "Width": 0.0}},
        {"BoundingBox": {**BOX, "Height": -0.05}},
        {"BoundingBox": {**BOX, "Left": -0.2}},
        {"BoundingBox": {**BOX, "Width": 0.95}},
        {"BoundingBox": {"Left": 0.1, "Top": 0.1, "Width": 0.5}},
        {"Polygon": TRIANGLE[:2]},
        {"Polygon": []},
        {"Polygon": [*TRIANGLE[:2], {"X": 0.5, "Y": 1.2}]},
        {"Polygon": [{"X": 0.1, "Y": 0.1}, {"X": 0.5, "Y": 0.5}, {"X": 0.9, "Y": 0.9}]},
        {"Polygon": [{"X": 0.1}, {"X": 0.5, "Y": 0.5}, {"X": 0.9, "Y": 0.2}]},
        {"Polygon": [{"X": i / 20, "Y": (i % 2) / 2} for i in range(11)]},
    ],
)
def test_bad_regions_are_refused(rekognition: "RekognitionClient", sign: Image.Image, region: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as failure:
        detect(rekognition, sign, RegionsOfInterest=[LEFT_HALF, region])
    error = failure.value.response["Error"]
    assert error["Code"] == "InvalidParameterException"
    assert "region of interest 2" in error["Message"]


@pytest.mark.parametrize(
    "minimum",
    [{"MinConfidence": 101}, {"MinBoundingBoxHeight": 1.1}, {"MinBoundingBoxWidth": 2}, {"MinConfidence": 1e9}],
)
def test_thresholds_out_of_range_are_refused(
    rekognition: "RekognitionClient", sign: Image.Image, minimum: dict[str, float]
) -> None:
    with pytest.raises(ClientError) as failure:
        detect(rekognition, sign, WordFilter=minimum)
    assert failure.value.response["Error"]["Code"] == "ValidationException"


# --- real pictures ----------------------------------------------------------------------------------------------------


def test_a_scanned_page(rekognition: "RekognitionClient", photos: dict[str, Path]) -> None:
    found = detect(rekognition, Image.open(photos["page"]).convert("RGB"))
    read = " ".join(texts(lines(found))).casefold()
    assert "region-based segmentation" in read
    assert "extreme parts of the histogram" in read


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "rocket", "flower"])
def test_photos_without_much_text_stay_quiet(
    rekognition: "RekognitionClient", photos: dict[str, Path], name: str
) -> None:
    found = detect(rekognition, Image.open(photos[name]).convert("RGB"), WordFilter={"MinConfidence": 80})
    assert len(words(found)) <= 2


@pytest.mark.media
@pytest.mark.parametrize("quarters", [0, 1, 3])
def test_signs_and_handwriting(rekognition: "RekognitionClient", media: Path, quarters: int) -> None:
    """Every picture of which a person can make out the words; accents and the raised letters of 1er do not count."""
    truth = json.loads((media / "truth.json").read_text(encoding="utf-8"))["text"]
    expected = found = 0
    for name in ("french-signposts", "french-handwriting", "spanish-handwriting"):
        with Image.open(media / "text" / f"{name}.jpg") as image:
            picture = image.convert("RGB").rotate(90 * quarters, expand=True)
        read = [plain(text) for text in texts(words(detect(rekognition, picture)))]
        wanted = [plain(word) for line in truth[f"text/{name}.jpg"] for word in line.split() if word != "1er"]
        expected += len(wanted)
        found += sum(word in read for word in wanted)
    assert found >= 0.95 * expected, f"{found} of {expected}"


@pytest.mark.media
def test_signs_and_handwriting_on_their_heads(rekognition: "RekognitionClient", media: Path) -> None:
    for name in ("french-signposts", "french-handwriting", "spanish-handwriting"):
        with Image.open(media / "text" / f"{name}.jpg") as image:
            upended = image.convert("RGB").rotate(180)
        assert len(words(detect(rekognition, upended))) <= 1


@pytest.mark.media
def test_number_plates(rekognition: "RekognitionClient", media: Path, record_property: pytest.FixtureRequest) -> None:
    found, total = 0, 0
    with (media / "text" / "plates" / "truth.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            data = (media / "text" / "plates" / row["image"]).read_bytes()
            read = [plain(text) for text in texts(lines(detect(rekognition, data)))]
            total += 1
            found += any(plain(row["plate"]) in text for text in read)
    record_property("number plates read", f"{found} of {total}")
    assert found >= 0.85 * total
