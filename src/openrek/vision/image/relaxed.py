"""The formats of the profile `relaxed`: WebP, AVIF, GIF, TIFF and BMP through Pillow, HEIF through libheif.

Pillow's plug-in classes are used directly: `Image.open` would try every registered format, and its size limit is global
to the process.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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
from openrek.vision.image.shrink import assemble, reduced, row_ranges, strip_rows

_READERS: dict[str, type[ImageFile]] = {
    "WEBP": WebPImageFile,
    "AVIF": AvifImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
}
_TURNED_BY_US = frozenset({"WEBP", "AVIF"})
"""Pillow's TIFF reader turns the picture itself and reports the upright size."""

_BYTES_PER_PIXEL = {"WEBP": 16, "AVIF": 16, "HEIF": 16, "TIFF": 16, "GIF": 4, "BMP": 4}
"""What reading takes at most, measured: canvases and planes of the decoder, and Pillow's picture."""


class _Aside:
    """Puts Pillow's warnings about odd metadata and its limit of pixels aside while any thread reads a picture: both
    belong to the process, and openrek has a limit of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading = 0
        self._warnings = warnings.catch_warnings()
        self._limit: int | None = None

    @contextmanager
    def __call__(self, max_pixels: int) -> Iterator[None]:
        with self._lock:
            if not self._reading:
                self._limit = Image.MAX_IMAGE_PIXELS
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.simplefilter("ignore")
            self._reading += 1
            if Image.MAX_IMAGE_PIXELS is not None:
                Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1
                if not self._reading:
                    self._warnings.__exit__(None, None, None)
                    Image.MAX_IMAGE_PIXELS = self._limit


_pillow_aside = _Aside()


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
    if format in _CANVASES:  # the readers allocate the whole canvas when they open
        _refuse_large(_CANVASES[format](data), max_pixels)
    if format == "HEIF":
        with _as_image_error(format):
            return heif.read_size(data)
    with _as_image_error(format), _open(data, format, max_pixels) as image:
        return _upright_size(image, format)


def decode(data: bytes, format: str, size: tuple[int, int], reduction: int = 1) -> NDArray[np.uint8]:
    """Upright pixels (H, W, 3) RGB of the first frame at 1 / `reduction`, transparency on white.

    size: width and height that `read_size` gave. Raises ImageError.
    """
    with _as_image_error(format):
        if format == "HEIF":
            return heif.decode(data, size, reduction)
        with _open(data, format, size[0] * size[1]) as image:
            image.load()
            found = _upright_size(image, format)
            if found != size:
                raise UnreadableImageError(
                    f"the {format} picture decodes to {found[0]} x {found[1]} pixels, "
                    f"but its header says {size[0]} x {size[1]}"
                )
            return upright(assemble(_strips(image), *image.size, reduction), _orientation(image, format))


def memory_needed(format: str, size: tuple[int, int], reduction: int) -> int:
    """Bytes that decoding takes, about."""
    columns, rows = reduced(size, reduction)
    return _BYTES_PER_PIXEL[format] * size[0] * size[1] + 3 * columns * rows


@contextmanager
def _open(data: bytes, format: str, max_pixels: int) -> Iterator[ImageFile]:
    with _pillow_aside(max_pixels), _READERS[format](io.BytesIO(data)) as image:
        yield image


def _upright_size(image: ImageFile, format: str) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if swaps_sides(_orientation(image, format)) else (width, height)


def _orientation(image: ImageFile, format: str) -> int:
    exif = image.info.get("exif")
    return exif_orientation(exif) if format in _TURNED_BY_US and isinstance(exif, bytes) else 1


def _strips(image: ImageFile) -> Iterator[NDArray[np.uint8]]:
    """The pixels from the top, so that no whole copy is made on the way to RGB."""
    rows = strip_rows(image.width)
    if image.height <= rows:
        yield _rgb(image)
        return
    for start, end in row_ranges(image.height, rows):
        yield _rgb(image.crop((0, start, image.width, end)))


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise UnreadableImageError("pictures with 32 bits a sample are not supported: their range is not defined")
    if image.has_transparency_data:
        return on_white(np.asarray(image.convert("RGBA"), np.uint8))
    rgb = image if image.mode == "RGB" else image.convert("RGB")
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


def _gif_canvas(data: bytes) -> tuple[int, int]:
    """The logical screen of a GIF file."""
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


_CANVASES = {"WEBP": _webp_canvas, "GIF": _gif_canvas}


def _refuse_large(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise ImageDimensionsError(*size, max_pixels)
