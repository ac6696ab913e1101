"""Colour bars by structure: every standard, damaged in every usual way; and what only looks a little like them."""

import colorsys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from bench import cue_films as films
from numpy.typing import NDArray

from openrek.vision.video.cues.bars import bars_likeness, first_looks

SIZE = (640, 360)


def likeness(rgb: NDArray[np.uint8]) -> float:
    """Likeness of a picture at the sampling of the analyser."""
    small = cv2.resize(rgb, (192, 54), interpolation=cv2.INTER_NEAREST)
    ycrcb = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
    blue, red = np.ascontiguousarray(ycrcb[..., 2]), np.ascontiguousarray(ycrcb[..., 1])
    (maybe,), _ = first_looks(blue[None, 2::4, 2::4], red[None, 2::4, 2::4])
    return bars_likeness(blue, red) if maybe else 0.0


@pytest.mark.parametrize("standard", ["ebu75", "ebu100", "smpte", "rp219"])
@pytest.mark.parametrize(
    "damage",
    [{}, {"noise": 12}, {"counter": True}, {"pillar": True}, {"blur": 3}, {"fade": 0.6}, {"scroll": 7.0}],
    ids=lambda damage: next(iter(damage), "clean"),
)
def test_every_standard(standard: str, damage: dict[str, float]) -> None:
    if "scroll" in damage and not standard.startswith("ebu"):
        pytest.skip("only full-height bars scroll")
    paint = films.bars(SIZE, standard, **damage)
    for n in (0, 37, 61):
        assert likeness(paint(n)) > 0.3


def test_mirrored_bars() -> None:
    assert likeness(np.ascontiguousarray(films.bars(SIZE, "ebu75")(0)[:, ::-1])) > 0.8


def rainbow() -> NDArray[np.uint8]:
    row = [[255 * part for part in colorsys.hsv_to_rgb(x / 640, 1, 1)] for x in range(640)]
    return np.tile(np.array(row, np.uint8), (360, 1, 1))


def stripes(colours: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    return np.repeat(np.array([colours], np.uint8), 640 // len(colours), axis=1).repeat(360, axis=0)


@pytest.mark.parametrize(
    "picture",
    [
        rainbow,
        lambda: stripes([(255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255)]),
        lambda: stripes([(0, 85, 164), (255, 255, 255), (239, 65, 53)]),
        lambda: np.ascontiguousarray(films.bars((360, 640), "ebu75")(0).transpose(1, 0, 2)),
        lambda: np.random.default_rng(0).integers(0, 255, (360, 640, 3)).astype(np.uint8),
        lambda: np.full((360, 640, 3), (255, 160, 0), np.uint8),
        lambda: np.full((360, 640, 3), 128, np.uint8),
    ],
    ids=["rainbow", "hues in order", "flag", "lying", "noise", "one colour", "grey"],
)
def test_decoys(picture: Callable[[], NDArray[np.uint8]]) -> None:
    assert likeness(picture()) == 0


def test_photos_are_no_bars() -> None:
    for photo in films.photos():
        assert likeness(photo) == 0


def test_vividness_needs_one_strong_hue() -> None:
    hues = np.random.default_rng(0).integers(0, 255, (2, 54, 192)).astype(np.uint8)
    orange, grey = (
        [np.full((54, 192), chroma, np.uint8) for chroma in (39, 183)],
        [np.full((54, 192), 128, np.uint8)] * 2,
    )
    maybe, vivid = first_looks(*(np.stack(planes) for planes in zip(orange, grey, hues, strict=True)))
    assert maybe.tolist()[:2] == [False, False]
    assert vivid.tolist()[:2] == [1, 0]
    assert vivid[2] < 0.3
