"""Annotated pictures: boxes, polygons and points with their names; a sidebar for what concerns the whole picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from openrek.vision.image import Picture

Rectangle = tuple[int, int, int, int]
Rgb = tuple[int, int, int]
Canvas = NDArray[np.uint8]

MIN_SIDE = 720
"""Smaller pictures are enlarged to this longest side, so that names stay legible beside what they name."""

# bright and far apart in hue, in the order in which keys appear
_COLOURS: tuple[Rgb, ...] = (
    (255, 196, 0),
    (0, 200, 255),
    (255, 90, 80),
    (90, 220, 90),
    (220, 120, 255),
    (255, 140, 30),
    (40, 140, 255),
    (255, 110, 180),
    (0, 210, 170),
    (190, 220, 40),
)
_INK: Rgb = (20, 22, 26)
_PAPER: Rgb = (250, 250, 248)
_SIDEBAR: Rgb = (28, 30, 34)


@dataclass(frozen=True, eq=False)
class Mark:
    """One thing found, in pixel coordinates of the picture; any of the shapes may be left out.

    box: (4,) xyxy; polygon: (P, 2); points: (K, 2). `text` is written beside the shape ("" for none); marks of one
    `colour_key` share a colour.
    """

    text: str = ""
    box: ArrayLike | None = None
    polygon: ArrayLike | None = None
    points: ArrayLike | None = None
    colour_key: str = ""


@dataclass(frozen=True, slots=True)
class Swatch:
    """A line of the legend with a field of colour before it; `rgb` as 0..255."""

    text: str
    rgb: Rgb


def annotate(picture: Picture, marks: Sequence[Mark] = (), legend: Sequence[str | Swatch] = ()) -> Image.Image:
    """The picture with its marks drawn and named, and the legend, if any, in a sidebar on the right.

    Lines and letters grow with the picture; a picture below `MIN_SIDE` is enlarged. Names are kept inside the picture
    and off each other where there is room.
    """
    factor = max(1.0, MIN_SIDE / max(picture.width, picture.height))
    size = round(picture.width * factor), round(picture.height * factor)
    canvas = picture.pixels.copy()
    if factor > 1:
        canvas = np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    scale = np.array([size[0] / picture.width, size[1] / picture.height])
    _draw_marks(canvas, [_scaled(mark, scale) for mark in marks])
    return Image.fromarray(_with_sidebar(canvas, legend) if legend else canvas)


# --- marks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Shape:
    """A mark in pixels of the canvas: `outline` (P, 2), maybe of no points, and `points` (K, 2)."""

    text: str
    colour_key: str
    outline: NDArray[np.int32]
    points: NDArray[np.int32]

    def bounds(self) -> Rectangle:
        every = self.outline if len(self.outline) else self.points
        (left, top), (right, bottom) = every.min(axis=0), every.max(axis=0)
        return int(left), int(top), int(right), int(bottom)


def _scaled(mark: Mark, scale: NDArray[np.float64]) -> _Shape:
    def on_canvas(points: ArrayLike) -> NDArray[np.int32]:
        placed = np.asarray(points, np.float64).reshape(-1, 2) * scale
        return np.clip(np.rint(placed), -30_000, 30_000).astype(np.int32)  # the range that OpenCV draws

    outline: ArrayLike = []
    if mark.polygon is not None:
        outline = mark.polygon
    elif mark.box is not None:
        left, top, right, bottom = np.asarray(mark.box, np.float64)
        outline = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return _Shape(mark.text, mark.colour_key, on_canvas(outline), on_canvas([] if mark.points is None else mark.points))


def _draw_marks(canvas: Canvas, shapes: Sequence[_Shape]) -> None:
    line = max(2, round(max(canvas.shape[:2]) / 450))
    keys = list(dict.fromkeys(shape.colour_key for shape in shapes))
    colours = {key: _COLOURS[i % len(_COLOURS)] for i, key in enumerate(keys)}
    for shape in shapes:
        colour = colours[shape.colour_key]
        for fill, width in ((_INK, line + 2), (colour, line)):  # a dark rim shows on bright ground
            if len(shape.outline):
                cv2.polylines(canvas, [shape.outline], True, fill, width, cv2.LINE_AA)
            for x, y in shape.points.tolist():
                cv2.circle(canvas, (x, y), width, fill, cv2.FILLED, cv2.LINE_AA)
    taken: list[Rectangle] = []
    for shape in shapes:
        if shape.text and (len(shape.outline) or len(shape.points)):
            taken.append(_draw_name(canvas, shape, colours[shape.colour_key], taken, line))


def _draw_name(canvas: Canvas, shape: _Shape, colour: Rgb, taken: Sequence[Rectangle], line: int) -> Rectangle:
    """Write the shape's name on a plate where it fits best; the plate's place."""
    height, width = canvas.shape[:2]
    bounds = shape.bounds()
    longest = max(height, width)
    letters = _Letters(int(np.clip(0.6 * (bounds[3] - bounds[1]), max(13, longest / 100), max(16, longest / 65))))
    pad = max(2, letters.height // 6)
    text = letters.shortened(shape.text, width - 2 * pad)
    plate_size = letters.width(text) + 2 * pad, letters.height + 2 * pad
    plate = min(
        _places(bounds, plate_size, (width, height), line),
        key=lambda place: sum(_shared(place, other) for other in taken),
    )
    left, top, right, bottom = plate
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, cv2.FILLED)
    cv2.rectangle(canvas, (left, top), (right, bottom), _INK, 1)
    letters.write(canvas, text, (left + pad, top + pad), _readable_on(colour))
    return plate


def _places(bounds: Rectangle, plate: tuple[int, int], canvas: tuple[int, int], line: int) -> Iterator[Rectangle]:
    """Where a plate may go, best first, each moved inside the picture: above, below, beside, then over the shape."""
    left, top, right, bottom = bounds
    width, height = plate
    rim = line // 2
    for x, y in (
        (left - rim, top - height - rim),
        (right - width + rim, top - height - rim),
        (left - rim, bottom + rim),
        (right - width + rim, bottom + rim),
        (right + rim, top - rim),
        (left - width - rim, top - rim),
        (left + rim, top + rim),
        (left + rim, bottom - height - rim),
        (left - rim, top - 2 * height - rim),
        (left - rim, bottom + height + rim),
    ):
        x = min(max(0, x), max(0, canvas[0] - 1 - width))
        y = min(max(0, y), max(0, canvas[1] - 1 - height))
        yield x, y, x + width, y + height


def _shared(a: Rectangle, b: Rectangle) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _readable_on(colour: Rgb) -> Rgb:
    """Dark or light letters, whichever contrast more with a plate (ITU-R BT.601 luma)."""
    return _INK if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128 else _PAPER


# --- legend -----------------------------------------------------------------------------------------------------------


def _with_sidebar(canvas: Canvas, legend: Sequence[str | Swatch]) -> Canvas:
    """The picture with a panel on its right; letters shrink, and at last the canvas grows, until all lines fit."""
    height, width = canvas.shape[:2]
    for size in range(max(16, round(max(height, width) / 45)), 13, -1):
        letters = _Letters(size)
        step = round(1.5 * letters.height)
        margin = letters.height
        if step * len(legend) + 2 * margin <= height:
            break
    field = letters.height
    room = max(220, round(0.45 * width))
    rows: list[tuple[str, Rgb | None, int]] = []
    for entry in legend:
        text, rgb = (entry.text, entry.rgb) if isinstance(entry, Swatch) else (entry, None)
        indent = field + margin // 2 if rgb else 0
        rows.append((letters.shortened(text, room - indent), rgb, indent))
    panel = max(letters.width(text) + indent for text, _, indent in rows) + 2 * margin
    out = np.empty((max(height, step * len(rows) + 2 * margin), width + panel, 3), np.uint8)
    out[:] = _SIDEBAR
    out[:height, :width] = canvas
    left = width + margin
    for i, (text, rgb, indent) in enumerate(rows):
        top = margin + i * step
        if rgb:
            cv2.rectangle(out, (left, top), (left + field, top + field), rgb, cv2.FILLED)
            cv2.rectangle(out, (left, top), (left + field, top + field), _PAPER, 1)
        letters.write(out, text, (left + indent, top), _PAPER)
    return out


# --- letters ----------------------------------------------------------------------------------------------------------


class _Letters:
    """OpenCV's built-in font at one size in pixels: no file is needed, and it has Latin, Cyrillic, Greek and more."""

    _WEIGHT = 500

    def __init__(self, size: int) -> None:
        self._size = size
        self._face = cv2.FontFace("sans")
        _, self._ascent, _, self.height = self._box("ÂÅgjpq|")

    def _box(self, text: str) -> Rectangle:
        """Left, height above the base line, width and height of the ink."""
        x, y, width, height = cv2.getTextSize((0, 0), text, (0, 0), self._face, self._size, self._WEIGHT)
        return x, -y, width, height

    def width(self, text: str) -> int:
        return self._box(text)[2]

    def shortened(self, text: str, room: int) -> str:
        """One line of text that fits, its end replaced by an ellipsis where it does not."""
        text = " ".join(text.split())
        if self.width(text) <= room:
            return text
        while text and self.width(text + "…") > room:
            text = text[:-1]
        return text + "…"

    def write(self, canvas: Canvas, text: str, place: tuple[int, int], colour: Rgb) -> None:
        """Write with the top left corner of the line at `place`."""
        base = place[0], place[1] + self._ascent
        cv2.putText(canvas, text, base, colour, self._face, self._size, self._WEIGHT)
