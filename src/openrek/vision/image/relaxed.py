"""The formats of the profile `relaxed`: WebP, AVIF, GIF, TIFF and BMP through Pillow, HEIF through libheif.

Pillow's plug-in classes are used directly: `Image.open` would try every registered format, and its size limit is global
to the process.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from openrek.vision.image import heif
from openrek.vision.image.errors import ImageDimensionsError, ImageError, UnreadableImageError
from openrek.vision.image.orientation import exif_orientation, swaps_sides, upright
from openrek.vision.image.png import on_white

_READERS: dict[str, type[ImageFile]] = {
    "WEBP": WebPImageFile,
    "AVIF": AvifImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
}
_TURNED_BY_US = frozenset({"WEBP", "AVIF"})
"""Pillow's TIFF reader turns the picture itself and reports the upright size."""

_warnings_lock = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns about odd metadata that does not matter here. The lock is there because warning filters belong to
    the process, not to the thread."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _as_image_error(format: str) -> Iterator[None]:
    try:
        yield
    except (ImageError, KeyboardInterrupt, SystemExit):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"the {format} picture is refused as too large: {error}") from error
    except Exception as error:  # the plug-ins raise nearly every built-in type on hostile input
        detail = str(error) or type(error).__name__
        raise UnreadableImageError(f"the {format} picture is damaged, truncated or not supported: {detail}") from error


def read_size(data: bytes, format: str, max_pixels: int) -> tuple[int, int]:
    """Width and height of the upright picture, from its header. Raises ImageError."""
    if format == "WEBP":  # its reader allocates the whole canvas when it opens
        _refuse_large(_webp_canvas(data), max_pixels)
    if format == "HEIF":
        with _as_image_error(format):
            return heif.read_size(data)
    with _as_image_error(format), _open(data, format) as image:
        width, height = image.size
        if swaps_sides(_orientation(image, format)):
            width, height = height, width
        return width, height


def decode(data: bytes, format: str) -> NDArray[np.uint8]:
    """Upright pixels (H, W, 3) RGB of the first frame, transparency on white. Raises ImageError."""
    if format == "HEIF":
        with _as_image_error(format):
            return heif.decode(data)
    with _as_image_error(format), _open(data, format) as image:
        orientation = _orientation(image, format)
        with _quiet() if format == "TIFF" else nullcontext():  # it reads its tags once more
            image.load()
        return upright(_rgb(image), orientation)


@contextmanager
def _open(data: bytes, format: str) -> Iterator[ImageFile]:
    with _quiet():
        image = _READERS[format](io.BytesIO(data))
    with image:
        yield image


def _orientation(image: ImageFile, format: str) -> int:
    exif = image.info.get("exif")
    return exif_orientation(exif) if format in _TURNED_BY_US and isinstance(exif, bytes) else 1


def _rgb(image: ImageFile) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise UnreadableImageError("pictures with 32 bits a sample are not supported: their range is not defined")
    if image.has_transparency_data:
        return on_white(np.asarray(image.convert("RGBA"), np.uint8))
    rgb: Image.Image = image if image.mode == "RGB" else image.convert("RGB")
    return np.array(rgb, np.uint8, order="C")


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Canvas of a WebP file (RFC 9649) from the first chunk's header."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8 " and len(data) >= 30:
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    raise UnreadableImageError("the WebP picture is damaged or truncated: it has no picture chunk where one belongs")


def _refuse_large(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise ImageDimensionsError(*size, max_pixels)
