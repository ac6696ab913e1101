"""The contact sheet of a search: a thumbnail of every picture found, with what spoke for it and its name."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from openrek.cli.tiles import EMPTY, TILE, Canvas, Tile, draw_tiles
from openrek.store.library_search import Hit
from openrek.vision.image import ImageError, load_image


def library_sheet(hits: Sequence[Hit]) -> tuple[Image.Image, int]:
    """The sheet, and how many of its tiles are empty because no file of the picture can be read any more."""
    tiles = [
        Tile(thumbnail(hit), f"{100 * hit.score:.0f} %  {', '.join(hit.why)}"[:40], hit.paths[0].name) for hit in hits
    ]
    return draw_tiles(tiles), sum(tile.picture is None for tile in tiles)


def thumbnail(hit: Hit) -> Canvas | None:
    """The whole picture in a square (TILE, TILE, 3), from the first of its files that can be read."""
    for path in hit.paths:
        try:
            return fitted(load_image(path, longest=TILE, max_pixels=2 * hit.width * hit.height).pixels)
        except (OSError, ImageError):
            continue
    return None


def fitted(pixels: Canvas) -> Canvas:
    """Pixels (H, W, 3) brought to a longest side of TILE, in the middle of an empty square."""
    height, width = pixels.shape[:2]
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    square = np.full((TILE, TILE, 3), EMPTY, np.uint8)
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square
