"""Image properties: quality, dominant colours, foreground and background."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ImageColor

from openrek.vision.image import Picture, load_image
from openrek.vision.labels import colours, properties
from openrek.vision.labels.colours import MIN_SHARE, dominant_colours, nearest_names, palette, to_lab
from openrek.vision.labels.properties import box_colours, brightness, contrast, image_properties, sharpness
from openrek.vision.labels.saliency import separate

Pixels = NDArray[np.uint8]
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower", "hopper")


@pytest.fixture(scope="module", params=PHOTOS)
def photo(request: pytest.FixtureRequest, photos: dict[str, Path]) -> Pixels:
    return load_image(photos[request.param]).pixels


def plain(rgb: tuple[int, int, int], height: int = 60, width: int = 80) -> Pixels:
    return np.full((height, width, 3), rgb, np.uint8)


def decreasing(values: list[float]) -> bool:
    return all(a > b for a, b in pairwise(values))


# --- quality ----------------------------------------------------------------------------------------------------------


def test_blur_lowers_sharpness(photo: Pixels) -> None:
    blurred = [photo, *(cv2.GaussianBlur(photo, (0, 0), sigma) for sigma in (0.5, 1, 2, 4))]
    values = [sharpness(np.asarray(pixels, np.uint8)) for pixels in blurred]
    assert decreasing(values), values
    assert values[0] > 80
    assert values[-1] < 20


def test_motion_blur_lowers_sharpness(photo: Pixels) -> None:
    values = [sharpness(photo)]
    for length in (5, 9, 15):
        values.append(sharpness(np.asarray(cv2.blur(photo, (length, 1)), np.uint8)))
    assert decreasing(values), values


def test_darkening_lowers_brightness_alone(photo: Pixels) -> None:
    darker = [(photo * factor).astype(np.uint8) for factor in (1, 0.8, 0.6, 0.4, 0.2)]
    values = [brightness(pixels) for pixels in darker]
    assert decreasing(values), values
    assert abs(sharpness(darker[2]) - sharpness(photo)) < 6


def test_squeezing_lowers_contrast(photo: Pixels) -> None:
    middle = photo.mean()
    values = [contrast((middle + factor * (photo - middle)).astype(np.uint8)) for factor in (1, 0.7, 0.4, 0.1, 0)]
    assert decreasing(values), values
    assert values[-1] < 1


def test_half_the_size_changes_little(photo: Pixels) -> None:
    half = np.asarray(cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    assert abs(sharpness(half) - sharpness(photo)) < 6
    assert abs(brightness(half) - brightness(photo)) < 1
    assert abs(contrast(half) - contrast(photo)) < 2


def test_ends_of_the_scales() -> None:
    board = np.where(np.indices((80, 80)).sum(axis=0) // 20 % 2, 255, 0).astype(np.uint8)
    halves = plain((0, 0, 0))
    halves[:, 40:] = 255
    assert brightness(plain((0, 0, 0))) == 0
    assert brightness(plain((255, 255, 255))) == pytest.approx(100, abs=0.1)
    assert contrast(halves) == pytest.approx(100, abs=0.1)
    assert contrast(plain((90, 120, 30))) == 0
    assert sharpness(plain((90, 120, 30))) == 0
    assert sharpness(np.repeat(board[..., None], 3, axis=2)) > 90


def test_compression_noise_on_an_empty_picture_is_not_sharp() -> None:
    empty = plain((120, 121, 119), 300, 400)
    empty[::37, ::41] += 1
    assert sharpness(empty) < 20


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 2), (80, 80), (3000, 2)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    found = image_properties(Picture.of(pixels))
    quality = found.image.quality
    for value in (quality.brightness, quality.sharpness, quality.contrast):
        assert 0 <= value <= 100
    assert found.image.dominant_colours


# --- colours ----------------------------------------------------------------------------------------------------------


def test_palette_is_css() -> None:
    assert len(palette()) == 139
    assert len({colour.rgb for colour in palette()}) == 139
    for colour in palette():
        assert ImageColor.getrgb(colour.css) == colour.rgb == ImageColor.getrgb(colour.hex)
        assert colour.hex == colour.hex.lower()
    names = {colour.css for colour in palette()}
    assert {"gray", "dimgrey", "darkslategrey", "lightslategrey", "darkgrey", "lightgrey", "cyan", "magenta"} <= names
    assert not {"grey", "dimgray", "darkslategray", "aqua", "fuchsia"} & names
    # every colour of the table is there under one of its names
    assert {ImageColor.getrgb(name) for name in ImageColor.colormap} == {colour.rgb for colour in palette()}


def test_twelve_simplified_colours() -> None:
    assert {colour.simplified for colour in palette()} == {
        "black", "white", "grey", "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown",
    }  # fmt: skip
    simplified = {colour.css: colour.simplified for colour in palette()}
    assert (simplified["black"], simplified["gray"], simplified["darkolivegreen"]) == ("black", "grey", "green")
    listed = [name for names in colours._SIMPLIFIED.values() for name in names.split()]
    assert sorted(listed) == sorted(simplified)


def test_a_plain_picture_has_its_own_colour() -> None:
    for colour in palette():
        picture = Picture.of(plain(colour.rgb, 8, 9))
        assert box_colours(picture, (0, 0, 9, 8)) == [colours.DominantColour(colour, 100.0)]
    found = image_properties(picture)
    assert found.image.dominant_colours == [colours.DominantColour(colour, 100.0)]
    assert found.foreground is None
    assert found.background is None


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=50))
def test_names_are_the_nearest_in_cielab(rgb: list[tuple[int, int, int]]) -> None:
    lab = to_lab(np.array([rgb], np.uint8))
    names = to_lab(np.array([[colour.rgb for colour in palette()]], np.uint8))[0]
    distances = np.linalg.norm(lab[0][:, None] - names[None], axis=2)
    chosen = nearest_names(lab)[0]
    assert np.allclose(distances[np.arange(len(rgb)), chosen], distances.min(axis=1), atol=0.01)


def striped(*parts: tuple[str, int]) -> NDArray[np.intp]:
    index = {colour.css: i for i, colour in enumerate(palette())}
    return np.concatenate([np.full(count, index[name]) for name, count in parts])


def shares(names: NDArray[np.intp], limit: int = 10) -> list[tuple[str, float]]:
    return [(found.colour.css, found.percent) for found in dominant_colours(names, limit=limit)]


def test_shares_are_ordered_and_small_ones_dropped() -> None:
    names = striped(("red", 50), ("blue", 30), ("lime", 11), ("yellow", 9))
    assert shares(names) == [("red", 50.0), ("blue", 30.0), ("lime", 11.0)]
    assert shares(names, limit=2) == [("red", 50.0), ("blue", 30.0)]
    assert shares(names, limit=0) == []
    assert shares(striped(("red", 5), ("blue", 5))) == [("blue", 50.0), ("red", 50.0)]
    assert shares(striped(("black", 10), ("white", 90))) == [("white", 90.0), ("black", 10.0)]


def test_one_colour_stays_when_none_is_large() -> None:
    far_apart = (
        "red",
        "blue",
        "lime",
        "yellow",
        "black",
        "white",
        "cyan",
        "magenta",
        "orange",
        "purple",
        "teal",
        "peru",
    )
    names = striped(*((name, 100 + (name == "lime")) for name in far_apart))
    found = shares(names)
    assert len(found) == 1
    assert found[0][0] == "lime"
    assert found[0][1] < 100 * MIN_SHARE


def test_shades_of_one_colour_are_counted_together() -> None:
    assert shares(striped(("dimgrey", 60), ("gray", 40))) == [("dimgrey", 100.0)]
    assert shares(striped(("black", 60), ("white", 40))) == [("black", 60.0), ("white", 40.0)]


def test_regions_are_masked() -> None:
    names = striped(("red", 50), ("blue", 50))
    mask = np.arange(100) < 50
    assert [found.colour.css for found in dominant_colours(names, mask)] == ["red"]
    assert dominant_colours(names, np.zeros(100, bool)) == []


@pytest.mark.parametrize("most", range(4))
def test_lists_are_limited(photo: Pixels, most: int) -> None:
    found = image_properties(Picture.of(photo), max_colours=most)
    for region in filter(None, (found.image, found.foreground, found.background)):
        assert len(region.dominant_colours) <= most
        percents = [colour.percent for colour in region.dominant_colours]
        assert percents == sorted(percents, reverse=True)
        assert sum(percents) <= 100.001


def test_colours_of_a_photo(photos: dict[str, Path]) -> None:
    def simplified(name: str) -> Iterator[str]:
        for found in image_properties(load_image(photos[name])).image.dominant_colours:
            yield found.colour.simplified

    assert set(simplified("coffee")) <= {"brown", "red", "black", "orange"}
    assert "orange" in simplified("astronaut")
    assert next(simplified("page")) in {"grey", "white"}
    assert "blue" in set(simplified("hopper"))


def test_colours_inside_a_box() -> None:
    pixels = plain((255, 255, 255), 200, 300)
    pixels[50:150, 100:200] = (0, 0, 255)
    picture = Picture.of(pixels)

    def names(*box: float) -> list[str]:
        return [found.colour.css for found in box_colours(picture, box)]

    assert names(100, 50, 200, 150) == ["blue"]
    assert names(50, 50, 200, 150) == ["blue", "white"]
    assert names(-50, -20, 40, 40) == ["white"]
    assert names(250, 150, 900, 900) == ["white"]
    assert names(400, 10, 500, 40) == []
    assert box_colours(picture, (100, 50, 200, 150), max_colours=0) == []


# --- foreground and background ----------------------------------------------------------------------------------------


def test_a_subject_is_separated() -> None:
    pixels = plain((40, 80, 160), 240, 320)
    cv2.circle(pixels, (170, 110), 60, (230, 200, 60), cv2.FILLED)
    separation = separate(pixels)
    assert separation is not None
    truth = np.zeros((240, 320), np.uint8)
    cv2.circle(truth, (170, 110), 60, 1, cv2.FILLED)
    small = cv2.resize(truth, separation.mask.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    assert (separation.mask & small).sum() / (separation.mask | small).sum() > 0.9
    found = image_properties(Picture.of(pixels))
    assert found.foreground is not None
    assert found.background is not None
    assert [colour.colour.simplified for colour in found.foreground.dominant_colours] == ["yellow"]
    assert [colour.colour.simplified for colour in found.background.dominant_colours] == ["blue"]
    assert found.foreground.quality.brightness > found.image.quality.brightness > found.background.quality.brightness


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("flower", (0.45, 0.45), (0.1, 0.2)),
        ("coffee", (0.5, 0.4), (0.06, 0.1)),
        ("rocket", (0.495, 0.55), (0.15, 0.15)),
        ("china", (0.3, 0.5), (0.75, 0.15)),
        ("hopper", (0.5, 0.4), (0.75, 0.1)),
    ],
)
def test_subjects_of_photos(
    photos: dict[str, Path], name: str, inside: tuple[float, float], outside: tuple[float, float]
) -> None:
    separation = separate(load_image(photos[name]).pixels)
    assert separation is not None
    height, width = separation.mask.shape
    at = [separation.mask[int(y * height), int(x * width)] for x, y in (inside, outside)]
    assert at == [True, False]


def test_the_background_of_a_close_up_is_less_sharp(photos: dict[str, Path]) -> None:
    found = image_properties(load_image(photos["flower"]))
    assert found.foreground is not None
    assert found.background is not None
    assert found.foreground.quality.sharpness > found.background.quality.sharpness + 15


def test_no_subject_in_noise_gradients_and_plain_fields() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (200, 300, 3), np.uint8)
    ramp = np.repeat(np.linspace(0, 255, 300).astype(np.uint8)[None], 200, axis=0)
    for pixels in (noise, np.repeat(ramp[..., None], 3, axis=2), plain((10, 200, 30), 200, 300)):
        assert separate(pixels) is None


def test_results_repeat(photo: Pixels) -> None:
    assert image_properties(Picture.of(photo)) == image_properties(Picture.of(photo))


def test_large_and_small_copies_agree(photo: Pixels) -> None:
    large = Picture.of(np.asarray(cv2.resize(photo, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), np.uint8))
    names = [
        {c.colour.css for c in image_properties(p).image.dominant_colours if c.percent > 15}
        for p in (Picture.of(photo), large)
    ]
    assert names[0] == names[1]
    assert max(properties._reduced(large.pixels, properties.DETAIL_SIDE).shape) == properties.DETAIL_SIDE
