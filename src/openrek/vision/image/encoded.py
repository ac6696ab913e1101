"""Opening and decoding pictures."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openrek.vision.image import jpeg, png, relaxed
from openrek.vision.image.errors import ImageDimensionsError, UnreadableImageError, UnsupportedFormatError
from openrek.vision.image.memory import DecodingMemory
from openrek.vision.image.shrink import reduction_for
from openrek.vision.image.sniff import sniff_format

AWS_FORMATS = frozenset({"JPEG", "PNG"})
RELAXED_FORMATS = AWS_FORMATS | {"WEBP", "HEIF", "AVIF", "GIF", "TIFF", "BMP"}


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture: what every vision function works on.

    pixels: (H, W, 3) uint8 RGB, upright, C-contiguous, possibly reduced. Coordinates of vision results refer to it;
    a ratio is a coordinate divided by `width` or `height`.
    full_width, full_height: size of the upright original.
    """

    pixels: NDArray[np.uint8]
    full_width: int
    full_height: int

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> "Picture":
        """A picture from an upright (H, W, 3) uint8 RGB array at its full size."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
        return cls(np.ascontiguousarray(pixels), int(pixels.shape[1]), int(pixels.shape[0]))


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """A picture whose header was read and found acceptable; `width` and `height` are those of the upright picture.

    Holds the encoded bytes and nothing else of weight, so it may be kept and decoded from many threads.
    """

    format: str
    width: int
    height: int
    data: bytes = field(repr=False)
    _header: jpeg.JpegHeader | png.PngHeader | None = field(repr=False)
    _memory: DecodingMemory | None = field(repr=False)

    def decode(self, longest: int | None = None) -> Picture:
        """Decode, from the bytes at every call.

        longest: the longest side in pixels that the reader needs. The picture then comes at 1/2, 1/4 or 1/8 as long as
        its longest side stays at least that.
        Waits for room in the memory that decoders share. Raises UnreadableImageError where the picture's data turns out
        to be damaged or truncated, ImageMemoryError where it needs more than all of that memory.
        """
        reduction = reduction_for(max(self.width, self.height), longest)
        with self._memory.taken(self._memory_needed(reduction)) if self._memory else nullcontext():
            match self._header:
                case jpeg.JpegHeader() as header:
                    pixels = jpeg.decode(self.data, header, reduction)
                case png.PngHeader() as header:
                    pixels = png.decode(self.data, header, reduction)
                case _:
                    pixels = relaxed.decode(self.data, self.format, (self.width, self.height), reduction)
        return Picture(np.ascontiguousarray(pixels), self.width, self.height)

    def _memory_needed(self, reduction: int) -> int:
        match self._header:
            case jpeg.JpegHeader() as header:
                return jpeg.memory_needed(header, reduction)
            case png.PngHeader() as header:
                return png.memory_needed(header, reduction)
            case _:
                return relaxed.memory_needed(self.format, (self.width, self.height), reduction)


def open_image(
    data: bytes,
    *,
    formats: frozenset[str] = AWS_FORMATS,
    max_pixels: int = 100_000_000,
    memory: DecodingMemory | None = None,
) -> EncodedImage:
    """Read a picture's header; no pixel is decoded.

    formats: the formats accepted, of RELAXED_FORMATS.
    max_pixels: the largest width x height accepted.
    memory: what this picture's decoding shares with that of others; None for no bound.
    Raises UnsupportedFormatError (another or no known format), UnreadableImageError (truncated, damaged or lying) or
    ImageDimensionsError (more pixels than the limit).
    """
    if not data:
        raise UnreadableImageError("the picture has no bytes")
    format = sniff_format(data)
    if format is None or format not in formats:
        accepted = ", ".join(sorted(formats))
        found = f"the bytes are {format}" if format else f"the bytes start with {data[:8]!r}, no known picture format"
        raise UnsupportedFormatError(f"{found}; accepted are {accepted}", format)
    header: jpeg.JpegHeader | png.PngHeader | None = None
    if format == "JPEG":
        header = jpeg.read_header(data)
    elif format == "PNG":
        header = png.read_header(data)
    width, height = (header.width, header.height) if header else relaxed.read_size(data, format, max_pixels)
    if width * height > max_pixels:
        raise ImageDimensionsError(width, height, max_pixels)
    return EncodedImage(format, width, height, data, header, memory)


def load_image(
    source: str | Path | bytes,
    *,
    longest: int | None = None,
    formats: frozenset[str] = RELAXED_FORMATS,
    max_pixels: int = 100_000_000,
    memory: DecodingMemory | None = None,
) -> Picture:
    """Open and decode a file or bytes in one step; options as for `open_image` and `EncodedImage.decode`.

    Raises ImageError, and OSError where a file cannot be read.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    return open_image(data, formats=formats, max_pixels=max_pixels, memory=memory).decode(longest)
