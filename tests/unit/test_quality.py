"""Brightness and sharpness rank what a person would rank."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.service.face_quality import BARS
from openrek.vision.image import load_image
from openrek.vision.quality import brightness, sharpness

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module", params=["hopper", "astronaut"])
def face(request: pytest.FixtureRequest, photos: dict[str, Path]) -> Pixels:
    """The faces of Grace Hopper and of Eileen Collins, about 200 and 110 pixels high."""
    region = {"hopper": np.s_[114:332, 180:360], "astronaut": np.s_[65:177, 180:265]}[request.param]
    return load_image(photos[request.param]).pixels[region]


def blurred(pixels: Pixels, share: float) -> Pixels:
    """Blurred by this share of the height (standard deviation)."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), share * pixels.shape[0]), np.uint8)


def moved(pixels: Pixels, share: float, degrees: float) -> Pixels:
    """Blurred along a line of this share of the height, as by a camera that moves."""
    length = round(share * pixels.shape[0]) | 1
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), degrees, 1)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)))
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), np.uint8)


def noisy(pixels: Pixels) -> Pixels:
    noise = np.random.default_rng(1).normal(0, 5, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def compressed(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1), np.uint8)


def dark(pixels: Pixels) -> Pixels:
    return (pixels // 8).astype(np.uint8)


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
    assert all(a - b > 1 for a, b in pairwise(values))


@pytest.mark.parametrize("share", [0.01, 0.02, 0.04])
def test_the_same_blur_scores_alike_at_every_size(face: Pixels, share: float) -> None:
    values = [sharpness(scaled(blurred(face, share), height)) for height in (60, 109, 218, 654)]
    assert max(values) - min(values) < 12


def test_enlarging_does_not_sharpen(face: Pixels) -> None:
    small = scaled(face, 24)
    assert sharpness(scaled(small, 240)) <= sharpness(face) - 20


@pytest.mark.parametrize("spoilt", [np.asarray, noisy, compressed, dark])
def test_a_badly_blurred_face_is_no_sharp_one_however_it_was_taken(
    face: Pixels, spoilt: Callable[[Pixels], Pixels]
) -> None:
    mild = sharpness(spoilt(blurred(face, 0.015)))
    bad = [sharpness(spoilt(blurred(face, 0.06)))]
    bad += [sharpness(spoilt(moved(face, 0.25, degrees))) for degrees in (0, 30, 45, 90, 135)]
    assert max(bad) < min(mild - 15, BARS["HIGH"].sharpness)
    assert mild > BARS["HIGH"].sharpness


@pytest.mark.parametrize("spoilt", [noisy, compressed, dark])
@pytest.mark.parametrize("share", [0, 0.015])
def test_noise_compression_and_darkness_change_sharpness_little(
    face: Pixels, share: float, spoilt: Callable[[Pixels], Pixels]
) -> None:
    before = blurred(face, share) if share else face
    assert sharpness(spoilt(before)) == pytest.approx(sharpness(before), abs=8)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 50), (2, 2), (300, 2)])
def test_degenerate_regions(shape: tuple[int, int]) -> None:
    assert 0 <= sharpness(np.full((*shape, 3), 77, np.uint8)) <= 100


def test_a_flat_region_has_no_sharpness() -> None:
    assert sharpness(np.full((80, 80, 3), 128, np.uint8)) == 0
