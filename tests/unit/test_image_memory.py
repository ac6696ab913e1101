"""The memory that decoders share."""

import threading

import pytest
from PIL import Image

from openrek.settings import Profile, Settings
from openrek.vision.image import (
    RELAXED_FORMATS,
    DecodingMemory,
    ImageMemoryError,
    jpeg,
    load_image,
    open_image,
    png,
    relaxed,
)
from openrek.vision.image.png_strips import Layout
from tests.unit.test_image import encoded, heif, scene


def test_a_picture_waits_until_there_is_room() -> None:
    memory = DecodingMemory(100)
    events: list[str] = []

    def second() -> None:
        with memory.taken(60):
            events.append("second")

    thread = threading.Thread(target=second)
    with memory.taken(60):
        thread.start()
        while not (memory._door.locked() or events):
            pass  # it has not come to wait yet
        events.append("first")
    thread.join()
    assert events == ["first", "second"]
    with memory.taken(100):  # all of it was given back
        pass


def test_room_is_given_back_after_a_failure() -> None:
    memory = DecodingMemory(100)
    with pytest.raises(ZeroDivisionError), memory.taken(100):
        _ = 1 / 0
    with memory.taken(100):
        pass


def test_what_can_never_fit_is_refused() -> None:
    with (
        pytest.raises(ImageMemoryError, match="about 101 bytes of memory; at most 100 are") as caught,
        DecodingMemory(100).taken(101),
    ):
        pass
    assert (caught.value.needed, caught.value.limit) == (101, 100)


@pytest.mark.parametrize("format", sorted(RELAXED_FORMATS))
def test_every_format_takes_its_share(format: str) -> None:
    data = heif(scene()) if format == "HEIF" else encoded(scene(), format)
    for limit in (96 * 64 * 3 - 1, 96 * 64 * 40):
        image = open_image(data, formats=RELAXED_FORMATS, memory=DecodingMemory(limit))
        if limit > 96 * 64 * 3:
            assert image.decode().width == 96
        else:
            with pytest.raises(ImageMemoryError):
                image.decode()


def test_a_reduced_jpeg_needs_less() -> None:
    data = encoded(Image.new("RGB", (800, 800)), "JPEG")
    memory = DecodingMemory(3 * 200 * 200)
    with pytest.raises(ImageMemoryError):
        load_image(data, memory=memory)
    assert load_image(data, longest=200, memory=memory).width == 200


@pytest.mark.parametrize("profile", Profile)
def test_no_picture_within_the_default_limits_is_refused(profile: Profile) -> None:
    settings = Settings(profile=profile)
    width, height = settings.pixel_limit // 10_000, 10_000
    deep = Layout(width, height, depth=16, colour=6, row_bytes=8 * width, pixel_bytes=8)
    needed = [
        png.memory_needed(png.PngHeader(width, height, True, False, None, deep, ()), 1),
        jpeg.memory_needed(jpeg.JpegHeader(width, height, 6, 4, True), 1),
    ]
    if settings.relaxed:
        needed += [relaxed.memory_needed(format, (width, height), 1) for format in relaxed._BYTES_PER_PIXEL]
    assert max(needed) <= settings.decoding_memory
