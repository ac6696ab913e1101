"""A contact sheet: the face that was searched and, in order of similarity, the faces that match it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openrek.service.face_index import image_id_of
from openrek.vision.image import ImageError, load_image

Canvas = NDArray[np.uint8]
Rgb = tuple[int, int, int]
Box = Mapping[str, float]

TILE: Final = 200
"""Side of a face's picture, in pixels."""
GAP: Final = 16
LETTERS: Final = 16
LINES: Final = 52  # height of the two lines below a picture
COLUMNS: Final = 6
MOST_TILES: Final = 240
"""The most matches that a sheet shows: forty rows."""
AROUND: Final = 1.5  # side of the square cut out, in longer sides of the face's box
_PAPER: Rgb = (28, 30, 34)
_INK: Rgb = (245, 245, 242)
_DIM: Rgb = (150, 152, 158)
_EMPTY: Rgb = (52, 55, 61)
_ACCENT: Rgb = (255, 196, 0)


def contact_sheet(
    name: str, photo: bytes, box: Box, matches: Sequence[Mapping[str, Any]], paths: Mapping[str, Path]
) -> tuple[Image.Image, int]:
    """The sheet, and how many of the matches have an empty tile because their photo is not to be had.

    name, photo, box: of the face that was searched. matches: FaceMatches in order of similarity. paths: the photos by
    ExternalImageId; one whose bytes are not those that were indexed does not count, its box would show anything.
    Raises ImageError where `photo` cannot be read.
    """
    columns = min(COLUMNS, 1 + len(matches))
    rows = -(-(1 + len(matches)) // columns)
    canvas = np.full((rows * (TILE + LINES + GAP) + GAP, columns * (TILE + GAP) + GAP, 3), _PAPER, np.uint8)
    _tile(canvas, _place(0, columns), face_crop(photo, box), name, "searched", _ACCENT)
    missing = 0
    for number, match in enumerate(matches, 1):
        face = match["Face"]
        crop = _matched(face, paths)
        missing += crop is None
        label = face.get("ExternalImageId") or face["FaceId"]
        _tile(canvas, _place(number, columns), crop, label, f"{match['Similarity']:.1f} %", _INK)
    return Image.fromarray(canvas), missing


def face_crop(photo: bytes, box: Box) -> Canvas:
    """The square around a face, (TILE, TILE, 3) RGB; what lies beyond the photo is left blank.

    box: ratios of the photo's sides. Raises ImageError.
    """
    share = max(min(box["Width"], box["Height"]) * AROUND, 0.02)
    picture = load_image(photo, longest=round(TILE / share))
    width, height = picture.width, picture.height
    side = max(1.0, AROUND * max(box["Width"] * width, box["Height"] * height))
    left = (box["Left"] + box["Width"] / 2) * width - side / 2
    top = (box["Top"] + box["Height"] / 2) * height - side / 2
    scale = TILE / side
    pixels = picture.pixels
    if scale < 1:  # an average first, so that shrinking leaves no jagged edges
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        left, top, scale = left * scale, top * scale, 1.0
    affine = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return np.asarray(cv2.warpAffine(pixels, affine, (TILE, TILE), flags=cv2.INTER_CUBIC, borderValue=_EMPTY), np.uint8)


def _matched(face: Mapping[str, Any], paths: Mapping[str, Path]) -> Canvas | None:
    path = paths.get(face.get("ExternalImageId", ""))
    if path is None:
        return None
    try:
        data = path.read_bytes()
        return face_crop(data, face["BoundingBox"]) if image_id_of(data) == face["ImageId"] else None
    except (OSError, ImageError):
        return None


def _place(number: int, columns: int) -> tuple[int, int]:
    row, column = divmod(number, columns)
    return GAP + column * (TILE + GAP), GAP + row * (TILE + LINES + GAP)


def _tile(canvas: Canvas, place: tuple[int, int], crop: Canvas | None, name: str, value: str, colour: Rgb) -> None:
    left, top = place
    field = canvas[top : top + TILE, left : left + TILE]
    field[:] = _EMPTY if crop is None else crop
    if crop is None:
        _write(canvas, "no photo", (left + 12, top + TILE // 2), _DIM)
    if colour == _ACCENT:
        cv2.rectangle(canvas, (left - 3, top - 3), (left + TILE + 2, top + TILE + 2), colour, 3)
    _write(canvas, value, (left, top + TILE + LETTERS + 4), colour)
    _write(canvas, name, (left, top + TILE + 2 * LETTERS + 10), _DIM)


def _write(canvas: Canvas, text: str, place: tuple[int, int], colour: Rgb) -> None:
    """One line of text from `place`, the start of its base line; the start of a text that is too long is left out."""
    face = cv2.FontFace("sans")

    def width(shown: str) -> int:
        return cv2.getTextSize((0, 0), shown, (0, 0), face, LETTERS, 500)[2]

    shown = text.encode(errors="replace").decode()
    if width(shown) > TILE:
        while shown and width("…" + shown) > TILE:
            shown = shown[1:]
        shown = "…" + shown
    cv2.putText(canvas, shown, place, colour, face, LETTERS, 500)
