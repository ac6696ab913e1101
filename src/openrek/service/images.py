"""The picture of a request: inline bytes or an object in a bucket, with every limit of the API.

The limits are settings; the profile `relaxed` lifts Rekognition's formats and its longest side.
"""

from typing import TYPE_CHECKING, NoReturn, cast

from openrek.contract.errors import (
    ImageTooLargeException,
    InvalidImageFormatException,
    InvalidParameterException,
    InvalidS3ObjectException,
)
from openrek.settings import Settings
from openrek.store.objects import ObjectNotFoundError, ObjectStore, ObjectTooLargeError
from openrek.vision.image import (
    AWS_FORMATS,
    RELAXED_FORMATS,
    EncodedImage,
    ImageDimensionsError,
    ImageError,
    ImageMemoryError,
    Picture,
    UnsupportedFormatError,
    open_image,
)

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import ImageTypeDef, S3ObjectTypeDef

    from openrek.service.services import Services

MIN_SIDE = 80


def open_request_image(
    image: "ImageTypeDef",
    services: "Services",
    *,
    min_side: int = MIN_SIDE,
    max_side: int | None = None,
    max_bytes: int | None = None,
) -> EncodedImage:
    """Fetch the picture and check all that can be checked without decoding it.

    min_side: the shortest side accepted, in pixels of the upright picture.
    max_side: the longest side accepted under the profile `aws`; None where the operation states none.
    max_bytes: an operation's own limit for inline bytes under `aws`, where it is below the general one.
    Raises InvalidParameterException (not exactly one of Bytes and S3Object, sides), InvalidS3ObjectException,
    ImageTooLargeException (bytes, pixels), InvalidImageFormatException, or ObjectStoreError where the store fails.
    """
    settings = services.settings
    data = _image_bytes(image, settings, services.objects, max_bytes)
    longest_side = None if settings.relaxed else max_side
    try:
        encoded = open_image(
            data,
            formats=RELAXED_FORMATS if settings.relaxed else AWS_FORMATS,
            max_pixels=settings.pixel_limit,
            memory=services.decoding,
        )
    except ImageDimensionsError as error:
        _check_longest_side(error.width, error.height, longest_side)
        raise ImageTooLargeException(
            f"Image size is too large: {error}. The setting OPENREK_MAX_IMAGE_PIXELS lifts the limit."
        ) from error
    except ImageError as error:
        _refuse_format(error, settings)
    _check_longest_side(encoded.width, encoded.height, longest_side)
    if min(encoded.width, encoded.height) < min_side:
        raise InvalidParameterException(
            f"Request has invalid parameters: the image is {encoded.width} x {encoded.height} pixels; "
            f"each side must have at least {min_side}"
        )
    return encoded


def decode_request_image(encoded: EncodedImage, longest: int | None = None) -> Picture:
    """Decode, with damage that shows only now (a truncated file) as InvalidImageFormatException, and a picture for
    which the memory can never suffice as ImageTooLargeException.

    longest: the longest side that the model needs, as for `EncodedImage.decode`.
    """
    try:
        return encoded.decode(longest)
    except ImageMemoryError as error:
        raise ImageTooLargeException(
            f"Image size is too large: {error}. The setting OPENREK_MAX_DECODING_MEMORY lifts the limit."
        ) from error
    except ImageError as error:
        raise InvalidImageFormatException(f"Request has invalid image format: {error}") from error


def _image_bytes(image: "ImageTypeDef", settings: Settings, objects: ObjectStore, max_bytes: int | None) -> bytes:
    inline, s3_object = image.get("Bytes"), image.get("S3Object")
    if (inline is None) == (s3_object is None):
        raise InvalidParameterException(
            "Request has invalid parameters: Image must hold exactly one of Bytes and S3Object; "
            f"it holds {'neither' if inline is None else 'both'}"
        )
    if s3_object is not None:
        return _fetch(s3_object, settings, objects)
    data = cast(bytes, inline)
    limit, lifts = settings.inline_image_limit, "OPENREK_MAX_IMAGE_BYTES"
    if max_bytes is not None and not settings.relaxed and max_bytes < limit:
        limit, lifts = max_bytes, "OPENREK_PROFILE=relaxed"
    if len(data) > limit:
        raise ImageTooLargeException(
            f"Image size is too large: {len(data):,} bytes; at most {limit:,} are accepted inline. "
            f"The setting {lifts} lifts the limit."
        )
    return data


def _fetch(s3_object: "S3ObjectTypeDef", settings: Settings, objects: ObjectStore) -> bytes:
    bucket, name, version = s3_object.get("Bucket"), s3_object.get("Name"), s3_object.get("Version")
    if not bucket or not name:
        missing = " and ".join(member for member, value in (("Bucket", bucket), ("Name", name)) if not value)
        raise InvalidParameterException(f"Request has invalid parameters: Image.S3Object needs {missing}")
    try:
        return objects.read(bucket, name, version, limit=settings.s3_image_limit)
    except ObjectTooLargeError as error:
        raise ImageTooLargeException(
            f"Image size is too large: {error}. The setting OPENREK_MAX_S3_IMAGE_BYTES lifts the limit."
        ) from error
    except ObjectNotFoundError as error:  # a store that fails is not the caller's fault: see `failures`
        raise InvalidS3ObjectException(f"{InvalidS3ObjectException.default_message} ({error})") from error


def _check_longest_side(width: int, height: int, max_side: int | None) -> None:
    if max_side is not None and max(width, height) > max_side:
        raise InvalidParameterException(
            f"Input image dimensions {width} x {height} exceed maximum dimension size of {max_side} pixels. "
            "The setting OPENREK_PROFILE=relaxed lifts the limit."
        )


def _refuse_format(error: ImageError, settings: Settings) -> NoReturn:
    hint = ""
    if isinstance(error, UnsupportedFormatError) and not settings.relaxed and error.format in RELAXED_FORMATS:
        hint = f". The setting OPENREK_PROFILE=relaxed reads {error.format}"
    raise InvalidImageFormatException(f"Request has invalid image format: {error}{hint}") from error
