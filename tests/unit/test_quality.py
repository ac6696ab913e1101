"""Brightness and sharpness rank what a person would rank."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.image import load_image
from openrek.vision.quality import brightness, sharpness

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def face(photos: dict[str, Path]) -> Pixels:
    """Grace Hopper's face."""
    return load_image(photos["hopper"]).pixels[114:332, 180:360]


def blurred(pixels: Pixels, share: float) -> Pixels:
    """Blurred by this share of the height (standard deviation)."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), share * pixels.shape[0]), np.uint8)


def scaled(pixels: Pixels, height: int) -> Pixels:
    factor = height / pixels.shape[0]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=method), np.uint8)


def test_brightness_is_the_share_of_white() -> None:
    for level in (0, 64, 128, 255):
        assert brightness(np.full((9, 7, 3), level, np.uint8)) == pytest.approx(level / 2.55, abs=0.01)
    assert brightness(np.zeros((0, 5, 3), np.uint8)) == 0


def test_sharpness_falls_with_every_step_of_blur(face: Pixels) -> None:
    values = [sharpness(face)] + [sharpness(blurred(face, share)) for share in (0.005, 0.01, 0.02, 0.04)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 75
    assert values[-1] < 20
    assert all(a - b > 3 for a, b in pairwise(values))


@pytest.mark.parametrize("share", [0.01, 0.02, 0.04])
def test_the_same_blur_scores_alike_at_every_size(face: Pixels, share: float) -> None:
    values = [sharpness(scaled(blurred(face, share), height)) for height in (60, 109, 218, 654)]
    assert max(values) - min(values) < 12


def test_enlarging_does_not_sharpen(face: Pixels) -> None:
    small = scaled(face, 24)
    assert sharpness(scaled(small, 240)) <= sharpness(face) - 20


def test_a_dark_sharp_face_is_not_a_blurred_one(face: Pixels) -> None:
    dark = (face // 5).astype(np.uint8)
    assert sharpness(dark) > sharpness(blurred(face, 0.01))


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 50), (2, 2), (300, 2)])
def test_degenerate_regions(shape: tuple[int, int]) -> None:
    assert 0 <= sharpness(np.full((*shape, 3), 77, np.uint8)) <= 100


def test_a_flat_region_has_no_sharpness() -> None:
    assert sharpness(np.full((80, 80, 3), 128, np.uint8)) == 0
