"""Pictures: encoded bytes in, upright RGB pixels out.

`open_image` reads the header only and refuses what it should not decode; `EncodedImage.decode` decodes. What holds for
every format:

- The format is decided by content, never by a name.
- EXIF orientation is applied exactly once: JPEG, WebP, TIFF, AVIF and HEIF come out upright. PNG, GIF and BMP are used
  as they are (Rekognition's rule for PNG; an eXIf chunk is ignored).
- Transparency is composited on white. Only the first frame or page is read.
- Samples of 16 bits are reduced to their upper 8; CMYK and YCCK follow Adobe's inverted convention.
- ICC profiles are ignored (sRGB is assumed): a conversion costs more than the decoding itself and moves no box.
- A truncated or lying file is refused, and so is damage that shows: in a PNG by its checksums, in other formats where
  their codes no longer fit. Damage that leaves fitting codes is decoded as it stands.

Every failure is an `ImageError`.
"""

from openrek.vision.image.encoded import (
    AWS_FORMATS,
    RELAXED_FORMATS,
    EncodedImage,
    Picture,
    load_image,
    open_image,
)
from openrek.vision.image.errors import (
    ImageDimensionsError,
    ImageError,
    ImageMemoryError,
    UnreadableImageError,
    UnsupportedFormatError,
)
from openrek.vision.image.memory import DecodingMemory

__all__ = [
    "AWS_FORMATS",
    "RELAXED_FORMATS",
    "DecodingMemory",
    "EncodedImage",
    "ImageDimensionsError",
    "ImageError",
    "ImageMemoryError",
    "Picture",
    "UnreadableImageError",
    "UnsupportedFormatError",
    "load_image",
    "open_image",
]
