"""HEIF with HEVC (ISO/IEC 23008-12) through libheif, by pi-heif's extension module.

The Python layer above that module reads all metadata of every image as it opens a file, and that read crashes the
process on some damaged files (pi-heif 1.4). Only size and pixels are wanted here, so the layer is left out. libheif
turns and mirrors the picture itself (the irot and imir boxes); an EXIF orientation beside them must not be applied.
"""

from typing import Any

import _pi_heif  # type: ignore[import-not-found]  # a C module without types
import numpy as np
from numpy.typing import NDArray

from openrek.vision.image.errors import UnreadableImageError
from openrek.vision.image.png import on_white
from openrek.vision.image.shrink import assemble, row_ranges, strip_rows

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height of the upright primary image. Raises what libheif's binding raises, or UnreadableImageError."""
    (width, height), _ = _primary(data).size_mode
    return int(width), int(height)


def decode(data: bytes, size: tuple[int, int], reduction: int = 1) -> NDArray[np.uint8]:
    """Upright pixels (H, W, 3) RGB of the primary image at 1 / `reduction`, transparency on white.

    size: width and height that `read_size` gave. Raises as `read_size`.
    """
    image = _primary(data)
    samples = image.data  # decodes; size and mode hold from here on
    (width, height), mode = image.size_mode
    channels = _CHANNELS.get(mode)
    if channels is None or len(samples) != width * height * channels or (width, height) != size:
        raise UnreadableImageError(
            f"the HEIF picture decodes to {len(samples)} bytes for {width} x {height} {mode}, "
            f"but its header says {size[0]} x {size[1]}"
        )
    pixels = np.frombuffer(samples, np.uint8).reshape(height, width, channels)
    strips = (_rgb(pixels[start:end]) for start, end in row_ranges(height, strip_rows(width)))
    return assemble(strips, width, height, reduction)


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    channels = pixels.shape[2]
    if channels < 3:
        pixels = np.concatenate([pixels[..., :1].repeat(3, axis=2), pixels[..., 1:]], axis=2)
    return on_white(np.ascontiguousarray(pixels)) if channels in (2, 4) else pixels


def _primary(data: bytes) -> Any:
    threads, to_8_bits, bgr, tight_rows, to_16_bits, decoder, without_limits = 1, True, False, True, False, "", False
    images = _pi_heif.load_file(data, threads, to_8_bits, bgr, tight_rows, to_16_bits, decoder, without_limits)
    for image in images:
        if image is not None and image.primary:
            return image
    raise UnreadableImageError("the HEIF file has no primary image")
