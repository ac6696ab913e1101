"""Rectangles from probability maps, and the scale at which pictures are searched."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.geometry import iou, polygon_bounds, quad_angle
from openrek.vision.text import detector
from openrek.vision.text.detector import find_text, letter_bounds, probability_map, rectangles, view_scale


class Brightness:
    """Stands for the network: every bright pixel is the core of a text. Remembers what it was shown."""

    input_names = ("x",)

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, feeds: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        (blob,) = feeds.values()
        self.shapes.append(blob.shape)
        assert blob.min() >= -1.001
        assert blob.max() <= 1.001
        return [(blob.mean(axis=1, keepdims=True) + 1) / 2]


def bar(width: int, height: int, angle: float = 0.0, size: tuple[int, int] = (640, 640)) -> NDArray[np.float32]:
    """A core of the given sides in the middle of a map, turned clockwise by `angle`."""
    image = np.zeros(size, np.uint8)
    corners = cv2.boxPoints(((size[1] / 2, size[0] / 2), (width, height), angle))
    cv2.fillPoly(image, [np.round(corners).astype(np.int32)], 1)
    return image.astype(np.float32)


@pytest.mark.parametrize("angle", [0, 20, 45, 89, 90, -89, -45, -20])
def test_a_core_grows_to_a_rectangle_read_along_its_long_side(angle: float) -> None:
    found = rectangles(bar(200, 20, angle), 640, 640)
    assert len(found) == 1
    assert found.scores[0] > 0.85
    quad = found.quads[0]
    assert (quad_angle(quad) - angle + 90) % 180 - 90 == pytest.approx(0, abs=1)
    assert abs(quad_angle(quad)) <= 91
    growth = 1.6 * 200 * 20 / 220
    assert np.linalg.norm(quad[1] - quad[0]) == pytest.approx(200 + growth, abs=8)
    assert np.linalg.norm(quad[3] - quad[0]) == pytest.approx(20 + growth, abs=8)
    np.testing.assert_allclose(quad.mean(axis=0), [320, 320], atol=1.5)


def test_rectangles_are_stretched_to_the_picture() -> None:
    quad = rectangles(bar(200, 20), 1280, 1920).quads[0]
    np.testing.assert_allclose(quad.mean(axis=0), [640, 960], atol=4)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (40, 0)])
def test_specks_are_not_text(width: int, height: int) -> None:
    assert len(rectangles(bar(width, height), 640, 640)) == 0


def test_faint_cores_are_not_text() -> None:
    assert len(rectangles(bar(200, 20) * 0.35, 640, 640)) == 0


def test_a_text_inside_a_frame_is_found_and_the_hole_is_not() -> None:
    frame = bar(400, 300) - bar(360, 260) + bar(200, 20)
    found = rectangles(frame, 640, 640)
    heights = [np.linalg.norm(quad[3] - quad[0]) for quad in found.quads]
    assert len([height for height in heights if height < 80]) == 1
    assert len(found) <= 2


def test_an_empty_map_yields_empty_arrays() -> None:
    found = rectangles(np.zeros((64, 64), np.float32), 100, 100)
    assert len(found) == 0
    assert found.quads.shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [((80, 80), 1.2, 2.0), ((1280, 720), 0.9, 1.3), ((1920, 1080), 0.6, 1.0), ((3840, 2160), 0.5, 0.75)],
)
def test_scale_of_usual_pictures(size: tuple[int, int], least: float, most: float) -> None:
    assert least <= view_scale(*size) <= most


def test_huge_pictures_are_bounded() -> None:
    scale = view_scale(10_000, 10_000)
    assert (10_000 * scale) ** 2 <= 4_100_000


@pytest.mark.parametrize("size", [(700, 500), (1500, 2300), (2400, 1000), (32, 4000)])
def test_tiles_cover_the_picture_without_a_seam(size: tuple[int, int]) -> None:
    """The stitched map equals what one run over the whole picture would answer."""
    height, width = size
    noise = np.random.default_rng(1).integers(0, 256, (height // 32 * 32, width // 32 * 32, 3), np.uint8)
    model = Brightness()
    answer = probability_map(noise, model, 1.0)
    np.testing.assert_allclose(answer, noise.astype(np.float32).mean(axis=2) / 255, atol=1e-3)
    assert all(shape[2] * shape[3] <= detector.TILE_AREA for shape in model.shapes)
    assert all(side % 32 == 0 for shape in model.shapes for side in shape[2:])


def test_find_text_answers_in_pixels_of_the_picture() -> None:
    pixels = np.zeros((1000, 2000, 3), np.uint8)
    pixels[400:440, 500:900] = 255
    found = find_text(pixels, Brightness())
    growth = 1.6 * 400 * 40 / 440 / 2
    expected = [[500 - growth, 400 - growth, 900 + growth, 440 + growth]]
    assert iou(polygon_bounds(found.quads), expected).max() > 0.9


@pytest.mark.parametrize(("width", "height"), [(200, 20), (60, 30), (30, 60), (400, 12)])
def test_letter_bounds_undo_the_growth(width: int, height: int) -> None:
    growth = 1.6 * width * height / (width + height)
    quad = np.array([[0, 0], [width + growth, 0], [width + growth, height + growth], [0, height + growth]], np.float32)
    letters, margin = letter_bounds(quad, 0.5)
    assert letters == pytest.approx(min(height + growth, 1.8 * (height - 5.8)), rel=1e-3)
    assert margin == pytest.approx(max(0.0, growth / 2 - 0.32 * letters), abs=0.05)
