"""From a patch to a crop as the service would cut it, and the ways in which photos differ.

The service cuts around a head found by a face, by a hat, or by nothing better than a person's box, so crops are off
centre and of the wrong size. The sets at hand are small and each has its look; colour, blur, noise, JPEG and occlusion
take that away, and every head is shown with few pixels: the hard hats are small and the bare heads large portraits, so
what is sharp would be bare.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.protective_equipment.heads import AROUND, coarse
from training.protective_equipment.network import SIDE
from training.protective_equipment.samples import Head, Pixels

Floats = NDArray[np.float32]
SCALES = (1.25, 2.9)
"""Side of a crop in longer sides of the head."""
SHARP = (10, 40)
"""Longer side of a head in pixels that a crop is made of, whatever the photo has."""


def plain(head: Head, scale: float = AROUND) -> tuple[Pixels, Floats]:
    """The crop that a well found head gets, as sharp as the service shows it, and its three boxes in shares of the crop
    (NaN where absent)."""
    pixels, boxes = _crop(head, scale, 0.0, 0.0, 0.0, False)
    return coarse(pixels), boxes


def changed(head: Head, generator: np.random.Generator) -> tuple[Pixels, Floats]:
    """A crop as anything might have been photographed and cut."""
    scale = float(np.exp(generator.uniform(*np.log(SCALES))))
    slack = max(0.0, scale - 1.0) / 2
    dx, dy = (float(generator.normal(0, 0.12) + generator.uniform(-0.3, 0.3) * slack) for _ in range(2))
    turn = float(generator.normal(0, 8))
    pixels, boxes = _crop(head, scale, dx, dy, turn, bool(generator.random() < 0.5))
    side = scale * float(np.exp(generator.uniform(*np.log(SHARP))))
    return _look(pixels, min(round(side), SIDE), generator), boxes


def _crop(head: Head, scale: float, dx: float, dy: float, turn: float, mirror: bool) -> tuple[Pixels, Floats]:
    left, top, right, bottom = head.head
    longer = max(right - left, bottom - top)
    factor = SIDE / (scale * longer)
    x, y = (left + right) / 2 + dx * longer, (top + bottom) / 2 + dy * longer
    matrix = cv2.getRotationMatrix2D((x, y), turn, factor)
    matrix[:, 2] += SIDE / 2 - np.array([x, y])
    if mirror:
        matrix[0] = -matrix[0]
        matrix[0, 2] += SIDE
    pixels = np.ascontiguousarray(head.patch)
    if factor < 0.6:
        small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        ratio = np.array([small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]])
        matrix = np.column_stack([matrix[:, :2] / ratio, matrix[:, 2]])
        warped = cv2.warpAffine(small, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        matrix = np.column_stack([matrix[:, :2] * ratio, matrix[:, 2]])
    else:
        warped = cv2.warpAffine(pixels, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    boxes = np.full((3, 4), np.nan, np.float32)
    for number, box in enumerate((head.head, head.hat_box, head.mask_box)):
        if box is not None:
            corners = np.array([(box[i], box[j], 1.0) for i in (0, 2) for j in (1, 3)]) @ matrix.T / SIDE
            # a turned box grows; half of that is taken back
            centre, half = corners.mean(axis=0), np.ptp(corners, axis=0) / 2
            shrink = 1 - 0.5 * abs(np.sin(np.deg2rad(turn)))
            boxes[number] = (*(centre - half * shrink), *(centre + half * shrink))
    return np.asarray(warped, np.uint8), boxes


def _look(pixels: Pixels, side: int, generator: np.random.Generator) -> Pixels:
    """Other light, other camera, things in front, and no more than `side` pixels."""
    x = pixels.astype(np.float32)
    if generator.random() < 0.85:
        x = _colours(x, generator)
    if generator.random() < 0.12:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    small = cv2.resize(x, (side, side), interpolation=cv2.INTER_AREA)
    x = cv2.resize(small, (SIDE, SIDE), interpolation=int(generator.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if generator.random() < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), float(generator.uniform(0.5, 2.0)))
    if generator.random() < 0.4:
        x = x + generator.normal(0, generator.uniform(1, 14), x.shape).astype(np.float32)
    if generator.random() < 0.25:  # something in front
        w, h = (int(generator.uniform(0.08, 0.3) * SIDE) for _ in range(2))
        left, top = int(generator.uniform(0, SIDE - w)), int(generator.uniform(0, SIDE - h))
        x[top : top + h, left : left + w] = generator.uniform(0, 255, 3)
    out = np.clip(x, 0, 255).astype(np.uint8)
    if generator.random() < 0.5:
        _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(generator.uniform(25, 90))])
        out = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return out


def _colours(x: Floats, generator: np.random.Generator) -> Floats:
    hsv = cv2.cvtColor(np.clip(x, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + generator.normal(0, 14)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * generator.uniform(0.4, 1.6), 0, 255)
    x = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32)
    x = 255 * (np.clip(x, 0, 255) / 255) ** float(np.exp(generator.normal(0, 0.35)))
    contrast = float(generator.uniform(0.6, 1.4))
    return np.asarray((x - 128) * contrast + 128 + generator.normal(0, 20), np.float32)
