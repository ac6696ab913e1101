"""Contact sheets: rows of square pictures with two lines of writing below each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Canvas = NDArray[np.uint8]
Rgb = tuple[int, int, int]

TILE: Final = 200
"""Side of a tile's picture, in pixels."""
GAP: Final = 16
LETTERS: Final = 16
LINES: Final = 52  # height of the two lines below a picture
COLUMNS: Final = 6
MOST_TILES: Final = 240
"""The most results that a sheet shows: forty rows."""
EMPTY: Final[Rgb] = (52, 55, 61)
_PAPER: Final[Rgb] = (28, 30, 34)
_INK: Final[Rgb] = (245, 245, 242)
_DIM: Final[Rgb] = (150, 152, 158)
_ACCENT: Final[Rgb] = (255, 196, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A picture (TILE, TILE, 3) RGB, None where it is not to be had, with a line that matters and its name."""

    picture: Canvas | None
    line: str
    name: str
    marked: bool = False


def draw_tiles(tiles: Sequence[Tile], *, columns: int = COLUMNS) -> Image.Image:
    """The sheet, from left to right and from top to bottom."""
    columns = min(columns, max(1, len(tiles)))
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * (TILE + LINES + GAP) + GAP, columns * (TILE + GAP) + GAP, 3), _PAPER, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        _draw(canvas, GAP + column * (TILE + GAP), GAP + row * (TILE + LINES + GAP), tile)
    return Image.fromarray(canvas)


def _draw(canvas: Canvas, left: int, top: int, tile: Tile) -> None:
    canvas[top : top + TILE, left : left + TILE] = EMPTY if tile.picture is None else tile.picture
    if tile.picture is None:
        _write(canvas, "no photo", (left + 12, top + TILE // 2), _DIM)
    if tile.marked:
        cv2.rectangle(canvas, (left - 3, top - 3), (left + TILE + 2, top + TILE + 2), _ACCENT, 3)
    _write(canvas, tile.line, (left, top + TILE + LETTERS + 4), _ACCENT if tile.marked else _INK)
    _write(canvas, tile.name, (left, top + TILE + 2 * LETTERS + 10), _DIM)


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
