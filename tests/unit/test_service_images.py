"""The picture of a request: limits, buckets, messages."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from openrek.contract.call import Call, Caller
from openrek.contract.errors import (
    ImageTooLargeException,
    InternalServerError,
    InvalidImageFormatException,
    InvalidParameterException,
    InvalidS3ObjectException,
    ServiceError,
)
from openrek.service.failures import with_answers
from openrek.service.images import decode_request_image, open_request_image
from openrek.settings import Settings
from openrek.store.objects import FolderStore, ObjectNotFoundError, ObjectStoreError, ObjectTooLargeError
from openrek.vision.image import DecodingMemory
from tests.unit.test_image import encoded, scene
from tests.unit.test_image_hostile import bomb

S3_TEXT = "Unable to get object metadata from S3. Check object key, region and/or access permissions."


@dataclass
class Objects:
    """An object store in memory."""

    content: dict[tuple[str, str, str | None], bytes] = field(default_factory=dict)
    failure: Exception | None = None

    def read(self, bucket: str, key: str, version: str | None = None, *, limit: int) -> bytes:
        if self.failure:
            raise self.failure
        data = self.content.get((bucket, key, version))
        if data is None:
            raise ObjectNotFoundError(f"there is no {key!r} in bucket {bucket!r}")
        if len(data) > limit:
            raise ObjectTooLargeError(bucket, key, len(data), limit)
        return data


def services(objects: Any = None, **settings: Any) -> Any:
    chosen = Settings(**settings)
    memory = DecodingMemory(chosen.decoding_memory)
    return SimpleNamespace(settings=chosen, objects=objects or Objects(), decoding=memory)


def sized(width: int, height: int, format: str = "PNG") -> bytes:
    return encoded(Image.new("RGB", (width, height), "teal"), format)


JPEG = encoded(scene(), "JPEG")


def refused(error: type[ServiceError], image: Any, services: Any, **options: Any) -> str:
    with pytest.raises(error) as caught:
        open_request_image(image, services, **options)
    return caught.value.message


def test_inline_bytes() -> None:
    data = sized(100, 90)
    image = open_request_image({"Bytes": data}, services())
    assert (image.format, image.width, image.height) == ("PNG", 100, 90)
    assert decode_request_image(image).pixels.shape == (90, 100, 3)


def test_object_with_and_without_version() -> None:
    store = Objects({("b", "k", None): sized(100, 90), ("b", "k", "v1"): sized(120, 90)})
    latest = open_request_image({"S3Object": {"Bucket": "b", "Name": "k"}}, services(store))
    first = open_request_image({"S3Object": {"Bucket": "b", "Name": "k", "Version": "v1"}}, services(store))
    assert (latest.width, first.width) == (100, 120)


def test_an_embedded_bucket(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.create_bucket("pictures")
    store.put("pictures", "a/b.png", sized(100, 90))
    beside = services(store)
    assert open_request_image({"S3Object": {"Bucket": "pictures", "Name": "a/b.png"}}, beside).width == 100
    for bucket, key in (("pictures", "none.png"), ("nobucket", "a"), ("pictures", "../../../etc/passwd"), ("..", "x")):
        message = refused(InvalidS3ObjectException, {"S3Object": {"Bucket": bucket, "Name": key}}, beside)
        assert message.startswith(S3_TEXT)


@pytest.mark.parametrize(
    ("image", "holds"),
    [({}, "neither"), ({"Bytes": JPEG, "S3Object": {"Bucket": "b", "Name": "k"}}, "both")],
)
def test_exactly_one_of_bytes_and_object(image: Any, holds: str) -> None:
    message = refused(InvalidParameterException, image, services())
    assert message.endswith(f"exactly one of Bytes and S3Object; it holds {holds}")


@pytest.mark.parametrize(
    ("s3_object", "missing"),
    [({}, "Bucket and Name"), ({"Bucket": "b"}, "Name"), ({"Name": "k", "Version": "1"}, "Bucket")],
)
def test_an_object_needs_bucket_and_name(s3_object: Any, missing: str) -> None:
    message = refused(InvalidParameterException, {"S3Object": s3_object}, services())
    assert message.endswith(f"Image.S3Object needs {missing}")


def test_a_missing_object_is_the_callers_fault_and_a_store_that_fails_is_not() -> None:
    image: Any = {"S3Object": {"Bucket": "b", "Name": "k"}}
    assert refused(InvalidS3ObjectException, image, services()).startswith(f"{S3_TEXT} (there is no 'k'")
    down = services(Objects(failure=ObjectStoreError("cannot connect")))
    handler = with_answers(lambda request, call, services: {"": open_request_image(request, services)})
    call = Call("DetectFaces", "id", Caller("KEY", "000000000000", "us-east-1"), image)
    with pytest.raises(InternalServerError) as caught:  # 500: SDKs try again
        handler(image, call, down)
    assert caught.value.message == "cannot connect"


def test_an_object_of_15_mb_passes_and_one_byte_more_does_not() -> None:
    limit = 15 * 1024 * 1024
    fits = JPEG + bytes(limit - len(JPEG))  # what trails a JPEG's end marker is ignored
    image: Any = {"S3Object": {"Bucket": "b", "Name": "k"}}
    assert open_request_image(image, services(Objects({("b", "k", None): fits})), min_side=64).width == 96
    larger = services(Objects({("b", "k", None): fits + b"\0"}))
    message = refused(ImageTooLargeException, image, larger)
    assert "15728641 bytes; the limit is 15728640" in message
    assert "OPENREK_MAX_S3_IMAGE_BYTES" in message
    assert open_request_image(image, services(larger.objects, profile="relaxed"), min_side=64).width == 96


def test_inline_limit_of_an_operation() -> None:
    four = 4 * 1024 * 1024
    data = JPEG + bytes(four + 1 - len(JPEG))
    assert open_request_image({"Bytes": data}, services(), min_side=64).width == 96
    message = refused(ImageTooLargeException, {"Bytes": data}, services(), max_bytes=four)
    assert "4,194,305 bytes; at most 4,194,304" in message
    assert "OPENREK_PROFILE=relaxed" in message
    message = refused(ImageTooLargeException, {"Bytes": data}, services(max_image_bytes=1000), max_bytes=four)
    assert "at most 1,000" in message
    assert "OPENREK_MAX_IMAGE_BYTES" in message
    assert open_request_image({"Bytes": data}, services(profile="relaxed"), min_side=64, max_bytes=four).width == 96


@pytest.mark.parametrize(("width", "height"), [(79, 79), (79, 500), (500, 79)])
def test_short_sides(width: int, height: int) -> None:
    message = refused(InvalidParameterException, {"Bytes": sized(width, height)}, services())
    assert f"the image is {width} x {height} pixels; each side must have at least 80" in message


def test_the_shortest_side_that_passes() -> None:
    assert open_request_image({"Bytes": sized(80, 80)}, services()).width == 80
    assert open_request_image({"Bytes": sized(64, 64)}, services(), min_side=64).width == 64


def test_the_longest_side() -> None:
    data = sized(10_001, 80)
    message = refused(InvalidParameterException, {"Bytes": data}, services(), max_side=10_000)
    assert message.startswith("Input image dimensions 10001 x 80 exceed maximum dimension size of 10000 pixels")
    assert "OPENREK_PROFILE=relaxed" in message
    assert open_request_image({"Bytes": data}, services()).width == 10_001
    assert open_request_image({"Bytes": data}, services(profile="relaxed"), max_side=10_000).width == 10_001
    assert open_request_image({"Bytes": sized(10_000, 80)}, services(), max_side=10_000).width == 10_000


def test_bomb() -> None:
    data = bomb(20_000)
    message = refused(InvalidParameterException, {"Bytes": data}, services(), max_side=10_000)
    assert message.startswith("Input image dimensions 20000 x 20000 exceed maximum dimension size of 10000 pixels")
    for beside in (services(), services(profile="relaxed")):
        message = refused(ImageTooLargeException, {"Bytes": data}, beside)
        assert message.startswith("Image size is too large: the picture has 20000 x 20000 = 400,000,000 pixels")
        assert "OPENREK_MAX_IMAGE_PIXELS" in message
    assert open_request_image({"Bytes": data}, services(max_image_pixels=400_000_000)).width == 20_000


def test_formats_of_the_profiles() -> None:
    gif: Any = {"Bytes": sized(100, 90, "GIF")}
    message = refused(InvalidImageFormatException, gif, services())
    assert message == (
        "Request has invalid image format: the bytes are GIF; accepted are JPEG, PNG. "
        "The setting OPENREK_PROFILE=relaxed reads GIF"
    )
    assert open_request_image(gif, services(profile="relaxed")).format == "GIF"
    pdf = refused(InvalidImageFormatException, {"Bytes": b"%PDF-1.7 ..."}, services())
    assert "the bytes are PDF" in pdf
    assert "relaxed" not in pdf
    for data in (b"", b"\0", b"hello", struct.pack(">Q", 1)):
        refused(InvalidImageFormatException, {"Bytes": data}, services())


def test_damage_found_while_decoding() -> None:
    data = encoded(scene().resize((400, 300)), "JPEG", quality=95)
    image = open_request_image({"Bytes": data[: len(data) * 2 // 3]}, services())
    for longest in (None, 100):
        with pytest.raises(InvalidImageFormatException, match=r"format: the JPEG is truncated or damaged"):
            decode_request_image(image, longest)
    assert decode_request_image(open_request_image({"Bytes": data}, services()), 100).width == 100


def test_limits_are_those_of_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.new("RGB", (300, 100)), "JPEG", exif=exif)
    image = open_request_image({"Bytes": turned}, services())
    assert (image.width, image.height) == (100, 300)
    message = refused(InvalidParameterException, {"Bytes": turned}, services(), max_side=200)
    assert "dimensions 100 x 300" in message


def test_a_picture_that_needs_too_much_memory_names_the_setting() -> None:
    image = open_request_image({"Bytes": sized(100, 90)}, services(max_decoding_memory=10_000))
    with pytest.raises(ImageTooLargeException, match=r"bytes of memory; at most 10,000 .*OPENREK_MAX_DECODING_MEMORY"):
        decode_request_image(image)
