"""A contact sheet: the face that was searched and, in order of similarity, the faces that match it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from openrek.cli.tiles import EMPTY, MOST_TILES, TILE, Canvas, Tile, draw_tiles
from openrek.service.face_index import image_id_of
from openrek.vision.image import ImageError, load_image

__all__ = ["MOST_TILES", "TILE", "contact_sheet", "face_crop"]

Box = Mapping[str, float]

AROUND: Final = 1.5  # side of the square cut out, in longer sides of the face's box


def contact_sheet(
    name: str,
    photo: bytes,
    box: Box,
    matches: Sequence[Mapping[str, Any]],
    paths: Mapping[str, Path],
    max_pixels: int,
) -> tuple[Image.Image, int]:
    """The sheet, and how many of the matches have an empty tile because their photo is not to be had.

    name, photo, box: of the face that was searched. matches: FaceMatches in order of similarity. paths: the photos by
    ExternalImageId; one whose bytes are not those that were indexed does not count, its box would show anything.
    max_pixels: of a photo.
    Raises ImageError where `photo` cannot be read.
    """
    tiles = [Tile(face_crop(photo, box, max_pixels), "searched", name, marked=True)]
    for match in matches:
        face = match["Face"]
        label = face.get("ExternalImageId") or face["FaceId"]
        tiles.append(Tile(_matched(face, paths, max_pixels), f"{match['Similarity']:.1f} %", label))
    return draw_tiles(tiles), sum(tile.picture is None for tile in tiles)


def face_crop(photo: bytes, box: Box, max_pixels: int) -> Canvas:
    """The square around a face, (TILE, TILE, 3) RGB; what lies beyond the photo is left blank.

    box: ratios of the photo's sides; max_pixels: of the photo. Raises ImageError.
    """
    share = max(min(box["Width"], box["Height"]) * AROUND, 0.02)
    picture = load_image(photo, longest=round(TILE / share), max_pixels=max_pixels)
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
    return np.asarray(cv2.warpAffine(pixels, affine, (TILE, TILE), flags=cv2.INTER_CUBIC, borderValue=EMPTY), np.uint8)


def _matched(face: Mapping[str, Any], paths: Mapping[str, Path], max_pixels: int) -> Canvas | None:
    path = paths.get(face.get("ExternalImageId", ""))
    if path is None:
        return None
    try:
        data = path.read_bytes()
        return face_crop(data, face["BoundingBox"], max_pixels) if image_id_of(data) == face["ImageId"] else None
    except (OSError, ImageError):
        return None
