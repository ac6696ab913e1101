"""What can be wrong with a picture."""


class ImageError(ValueError):
    """Base of all failures to open or decode a picture; the message says what is wrong, the value and the limit."""


class UnreadableImageError(ImageError):
    """The bytes are not a picture that can be read: unknown or unsupported format, truncated, damaged or lying."""


class UnsupportedFormatError(UnreadableImageError):
    """The bytes are of a format that is not among those asked for; `format` names it where it was recognised."""

    def __init__(self, message: str, format: str | None) -> None:
        super().__init__(message)
        self.format = format


class ImageDimensionsError(ImageError):
    """The picture has more pixels than the limit; sizes are those of the upright picture."""

    def __init__(self, width: int, height: int, limit: int) -> None:
        super().__init__(
            f"the picture has {width} x {height} = {width * height:,} pixels; at most {limit:,} are decoded"
        )
        self.width = width
        self.height = height
        self.limit = limit


class ImageMemoryError(ImageError):
    """Decoding the picture takes more memory than all decoders together may take; sizes in bytes."""

    def __init__(self, needed: int, limit: int) -> None:
        super().__init__(
            f"decoding the picture takes about {needed:,} bytes of memory; at most {limit:,} are taken at once"
        )
        self.needed = needed
        self.limit = limit
