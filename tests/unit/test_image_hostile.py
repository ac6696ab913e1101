"""Pictures that are broken, lying or meant to do harm: each is refused with an ImageError that says why."""

import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from openrek.vision.image import (
    RELAXED_FORMATS,
    ImageDimensionsError,
    ImageError,
    UnreadableImageError,
    UnsupportedFormatError,
    jpeg,
    open_image,
)
from openrek.vision.image import png as png_module
from openrek.vision.image.png_strips import SIGNATURE, chunk
from tests.unit.test_image import encoded, heif, scene

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")


def photo() -> Image.Image:
    """Noise over a gradient: compresses badly, so that a cut hits picture data."""
    noise = np.random.default_rng(3).integers(0, 120, (64, 96, 3))
    return Image.fromarray((noise + np.linspace(0, 130, 96).astype(int)[None, :, None]).astype(np.uint8))


def png(width: int, height: int, body: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def read(data: bytes) -> None:
    open_image(data, formats=RELAXED_FORMATS).decode()


def test_no_bytes() -> None:
    with pytest.raises(UnreadableImageError, match="no bytes"):
        open_image(b"")


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    with pytest.raises(ImageError):
        read(data)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.97])
def test_truncated_files_are_refused(format: str, share: float) -> None:
    data = encoded(photo(), format)
    with pytest.raises(ImageError, match=r"truncated|damaged|cannot|known|ends"):
        read(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_heif_is_refused(share: float) -> None:
    data = heif(photo())
    with pytest.raises(ImageError):
        read(data[: int(len(data) * share)])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_jpeg_without_its_last_bytes_is_refused_at_every_reduction(options: dict[str, object]) -> None:
    data = encoded(photo().resize((960, 640)), "JPEG", **options)
    image = open_image(data[:-40])
    for longest in (None, 400, 200, 100):
        with pytest.raises(UnreadableImageError, match=r"truncated or damaged.*960 x 640"):
            image.decode(longest)


FLAVOURS: list[dict[str, object]] = [{}, {"progressive": True}, {"restart_marker_blocks": 2}]
END = b"\xff\xd9"


def large(**options: object) -> bytes:
    return encoded(photo().resize((960, 640)), "JPEG", **options)


@pytest.mark.parametrize("options", FLAVOURS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_cut_jpeg_with_an_end_put_behind_it_is_refused(
    share: float, options: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    data = large(**options)
    image = open_image(data[: int(len(data) * share)] + END)
    for longest in (None, 400, 100):
        with pytest.raises(UnreadableImageError, match="ends before the 960 x 640 pixels"):
            image.decode(longest)
    assert capfd.readouterr().err == ""  # libjpeg's warning is the message, not a line among the server's


@pytest.mark.parametrize("options", FLAVOURS)
def test_jpeg_that_lacks_nothing_but_its_end(options: dict[str, object]) -> None:
    data = large(**options)
    for cut in (1, 2):
        for longest in (None, 400):
            whole = open_image(data).decode(longest).pixels
            assert np.array_equal(open_image(data[:-cut]).decode(longest).pixels, whole)


@pytest.mark.parametrize("options", FLAVOURS)
def test_jpeg_with_a_hole_whose_codes_do_not_fit(options: dict[str, object]) -> None:
    data = large(**options)
    third = len(data) // 3
    with pytest.raises(UnreadableImageError, match="damaged"):
        open_image(data[:third] + bytes(third) + data[2 * third :]).decode()


@pytest.mark.parametrize("longest", [None, 400])
def test_jpeg_whose_data_is_padded(longest: int | None) -> None:
    data = large()
    padded = data[:-2] + b"\1" * jpeg.MOST_LEFT_OVER + END
    assert np.array_equal(open_image(padded).decode(longest).pixels, open_image(data).decode(longest).pixels)
    with pytest.raises(UnreadableImageError, match="extraneous bytes"):
        open_image(data[:-2] + b"\1" * (jpeg.MOST_LEFT_OVER + 20) + END).decode(longest)


def test_jpeg_with_harmless_oddities() -> None:
    data = large()
    revision = data.index(b"JFIF\0") + 5
    odd = data[:revision] + b"\3" + data[revision + 1 :]
    assert np.array_equal(open_image(odd).decode().pixels, open_image(data).decode().pixels)
    frame = bytearray(large(subsampling=0))
    start = frame.index(b"\xff\xc0")
    frame[start + 11], frame[start + 14], frame[start + 17] = 0x22, 0x21, 0x12  # sampling factors without a name
    assert open_image(bytes(frame)).decode(200).width == 240


def bomb(side: int) -> bytes:
    """A black and white PNG of side x side pixels."""
    rows = zlib.compressobj()
    row = bytes(1 + side // 8)
    body = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()
    return png(side, side, body, depth=1, colour=0)


def test_png_bomb_of_400_million_pixels() -> None:
    data = bomb(20_000)
    assert len(data) < 100_000
    with pytest.raises(ImageDimensionsError, match=r"20000 x 20000 = 400,000,000 pixels; at most 100,000,000"):
        open_image(data)


def test_tiny_png_with_a_giant_header_is_refused_unread() -> None:
    data = png(9_999, 9_999, zlib.compress(bytes(100)))
    with pytest.raises(UnreadableImageError, match="promises 9999 x 9999 pixels"):
        open_image(data)


def test_png_that_holds_less_than_its_header_says() -> None:
    data = png(100, 100, zlib.compress((b"\0" + bytes(300)) * 90, 0))
    with pytest.raises(UnreadableImageError, match="100 x 100"):
        open_image(data).decode()


@pytest.mark.parametrize("rows", [90, 99.5, 0])
def test_a_large_png_that_holds_less_than_its_header_says(rows: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_module, "MOST_WHOLE", 0)
    whole = b"".join(b"\0" + bytes(300) for _ in range(100))
    data = png(100, 100, zlib.compress(whole[: int(rows * 301)], 0) + bytes(400))
    with pytest.raises(UnreadableImageError, match=r"damaged.* 100 x 100"):
        open_image(data).decode()


def test_a_large_png_of_damaged_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_module, "MOST_WHOLE", 0)
    body = bytearray(zlib.compress((b"\0" + bytes(300)) * 100, 0))
    for place, reason in ((-1, "data check"), (2, "invalid")):
        broken = bytearray(body)
        broken[place] ^= 0xFF
        with pytest.raises(UnreadableImageError, match=f"damaged.*{reason}"):
            open_image(png(100, 100, bytes(broken))).decode()
    with pytest.raises(UnreadableImageError, match="does not decode"):  # there is no filter 9
        open_image(png(100, 100, zlib.compress((b"\x09" + bytes(300)) * 100))).decode()
    assert (
        open_image(png(100, 100, zlib.compress((b"\0" + bytes(300)) * 120))).decode().height == 100
    )  # more is no harm


def test_png_with_a_wrong_checksum_names_the_chunk() -> None:
    data = bytearray(encoded(scene(), "PNG"))
    data[data.index(b"IDAT") + 10] ^= 1
    with pytest.raises(UnreadableImageError, match="checksum of its chunk b'IDAT'"):
        open_image(bytes(data)).decode()
    data = bytearray(encoded(scene(), "PNG"))
    data[20] ^= 1
    with pytest.raises(UnreadableImageError, match="checksum of its chunk b'IHDR'"):
        open_image(bytes(data))


@pytest.mark.parametrize(("depth", "colour", "reason"), [(8, 5, "colour type 5"), (3, 2, "does not decode")])
def test_png_with_an_impossible_header(depth: int, colour: int, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        open_image(png(100, 100, zlib.compress(bytes(40_000), 0), depth=depth, colour=colour)).decode()


@pytest.mark.parametrize("size", [(0, 100), (100, 0), (2**31, 1)])
def test_png_of_no_size(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableImageError, match="size"):
        open_image(png(*size, zlib.compress(bytes(100))))


def test_only_picture_chunks_reach_the_png_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scene(), "PNG")
    text = b"Comment\0\0" + zlib.compress(bytes(1_000_000))
    chunk = struct.pack(">L", len(text)) + b"zTXt" + text + struct.pack(">L", zlib.crc32(b"zTXt" + text))
    seen: list[bytes] = []
    decoder = cv2.imdecode

    def spy(buffer: np.ndarray, flags: int) -> np.ndarray | None:
        seen.append(buffer.tobytes())
        return decoder(buffer, flags)

    monkeypatch.setattr(cv2, "imdecode", spy)
    assert open_image(data[:33] + chunk + data[33:]).decode().width == 96
    assert seen == [data]


def test_jpeg_with_a_lying_header() -> None:
    data = bytearray(encoded(photo(), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 9_000, 9_000)
    image = open_image(bytes(data))
    assert (image.width, image.height) == (9_000, 9_000)
    data[start : start + 4] = struct.pack(">HH", 20_000, 20_000)
    with pytest.raises(ImageDimensionsError):
        open_image(bytes(data))


@pytest.mark.parametrize(("value", "reason"), [(b"\0\0\0\x60", "size as 96 x 0"), (b"\0\x40\0\0", "size as 0 x 64")])
def test_jpeg_of_no_size(value: bytes, reason: str) -> None:
    data = bytearray(encoded(photo(), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = value
    with pytest.raises(UnreadableImageError, match=reason):
        open_image(bytes(data))


def test_jpeg_of_12_bits_is_named() -> None:
    data = bytearray(encoded(photo(), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(UnreadableImageError, match="12 bits a sample"):
        open_image(bytes(data))


def test_jpeg_with_a_hundred_scans() -> None:
    data = encoded(photo(), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    last = data[scan:-2]
    assert open_image(data[:-2] + last * 50 + b"\xff\xd9").width == 96
    with pytest.raises(UnreadableImageError, match="more than 100 scans"):
        open_image(data[:-2] + last * 100 + b"\xff\xd9")
    # scan markers behind the picture (the clip of a "motion photo") are none
    assert open_image(data + b"\xff\xda" * 500).decode().width == 96
    # fewer are enough where each costs more
    large = encoded(Image.new("L", (9_600, 9_600)), "JPEG", progressive=True)
    last = large[large.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnreadableImageError, match="more than 21 scans"):
        open_image(large[:-2] + last * 30 + b"\xff\xd9")


def test_jpeg_segments_beyond_the_end() -> None:
    data = encoded(photo(), "JPEG")
    with pytest.raises(UnreadableImageError, match="claims 65535 bytes"):
        open_image(data[:2] + b"\xff\xe2\xff\xff" + data[2:])
    for cut in (2, 3, 10, data.index(b"\xff\xc0") + 6):
        with pytest.raises(UnreadableImageError, match=r"truncated|damaged"):
            open_image(data[:cut] if cut > 2 else data[:2] + b"\xff")
    with pytest.raises(UnreadableImageError, match="before any picture data"):
        open_image(b"\xff\xd8\xff\xd9")


def test_webp_of_a_giant_canvas_is_refused_before_it_is_allocated() -> None:
    body = b"VP8X" + struct.pack("<L", 10) + bytes(4) + (16_382).to_bytes(3, "little") * 2
    data = b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body
    with pytest.raises(ImageDimensionsError, match="16383 x 16383"):
        open_image(data, formats=RELAXED_FORMATS)


def test_gif_of_a_giant_screen_is_refused_before_it_is_allocated() -> None:
    data = b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(20)
    with pytest.raises(ImageDimensionsError, match="65535 x 65535"):
        open_image(data, formats=RELAXED_FORMATS)


def test_frames_after_the_first_are_not_read() -> None:
    others = [photo().rotate(angle) for angle in range(10, 200, 10)]
    data = encoded(photo(), "GIF", save_all=True, append_images=others)
    first = open_image(data, formats=RELAXED_FORMATS).decode().pixels
    cut = open_image(data[: len(data) // 3], formats=RELAXED_FORMATS).decode().pixels
    assert np.array_equal(cut, first)


def test_heif_with_metadata_of_an_unknown_kind_harms_nothing() -> None:
    # reading such metadata through pi-heif 1.4's Python layer crashes the process
    data = heif(scene(), 6)
    kind = data.index(b"Exif")
    assert open_image(data[:kind] + b"Ex\x8ff" + data[kind + 4 :], formats=RELAXED_FORMATS).decode().height == 96


def test_gif_named_jpg_is_a_gif() -> None:
    with pytest.raises(UnsupportedFormatError, match="GIF"):
        open_image(encoded(scene(), "GIF"))


def test_tiff_of_floats_is_refused_rather_than_guessed() -> None:
    with pytest.raises(UnreadableImageError, match="32 bits"):
        read(encoded(Image.new("F", (20, 20), 0.5), "TIFF"))


SAMPLES = {format: encoded(photo().resize((48, 32)), format) for format in FORMATS}
SAMPLES["PROGRESSIVE"] = encoded(photo().resize((48, 32)), "JPEG", progressive=True)
SAMPLES["PALETTE"] = encoded(photo().resize((48, 32)).convert("P"), "PNG", transparency=3)
SAMPLES["HEIF"] = heif(photo())


@pytest.mark.parametrize("sample", sorted(SAMPLES))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutations_raise_nothing_but_image_errors(sample: str, data: st.DataObject) -> None:
    mutated = bytearray(SAMPLES[sample])
    places = st.integers(0, len(mutated) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.one_of(places, st.integers(0, 100)))
        match data.draw(st.sampled_from(["set", "cut", "remove", "repeat", "size"])):
            case "set":
                mutated[start : start + 1] = bytes([data.draw(st.integers(0, 255))])
            case "cut":
                del mutated[max(start, 12) :]
            case "remove":
                del mutated[start : start + data.draw(st.integers(1, 20))]
            case "repeat":
                mutated[start:start] = mutated[start : start + data.draw(st.integers(1, 40))]
            case "size":
                mutated[start : start + 4] = data.draw(st.sampled_from([b"\0\0\0\0", b"\xff" * 4, b"\x7f\xff\xff\xff"]))
    with contextlib.suppress(ImageError):
        image = open_image(bytes(mutated), formats=RELAXED_FORMATS, max_pixels=1_000_000)
        assert image.width * image.height <= 1_000_000
        assert image.decode().pixels.shape == (image.height, image.width, 3)
