"""Opening and decoding of pictures that are in order."""

import io
import struct
import threading
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from openrek.vision.image import (
    AWS_FORMATS,
    RELAXED_FORMATS,
    ImageDimensionsError,
    Picture,
    UnreadableImageError,
    UnsupportedFormatError,
    load_image,
    open_image,
    png,
    relaxed,
)
from openrek.vision.image.png_strips import SIGNATURE, chunk

# one colour for each corner, clockwise from the top left
CORNERS = np.array([[220, 30, 30], [30, 200, 40], [40, 60, 220], [230, 220, 40]], np.uint8)


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """A picture whose quarters have different colours, so that any turn or mirroring shows."""
    quarters = CORNERS[[[0, 1], [3, 2]]]
    return Image.fromarray(quarters.repeat(height // 2, axis=0).repeat(width // 2, axis=1))


def in_mode(mode: str) -> Image.Image:
    return scene().quantize(4) if mode == "P" else scene().convert(mode)


def stored_as(image: Image.Image, orientation: int) -> Image.Image:
    """The pixels that a camera stores when `orientation` is needed to see `image` upright."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    return image if undo is None else image.transpose(undo)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def heif(image: Image.Image, orientation: int = 1) -> bytes:
    """Encoded without registering the format, which would change Pillow for every test of this process.

    The encoder writes the orientation twice: as EXIF and as the irot and imir boxes.
    """
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=-1, exif=with_orientation(orientation).tobytes())
    return buffer.getvalue()


def assert_scene(pixels: NDArray[np.uint8], tolerance: int = 40) -> None:
    height, width = pixels.shape[:2]
    y, x = height // 4, width // 4
    found = pixels[[y, y, -y, -y], [x, -x, -x, x]].astype(int)
    assert np.abs(found - CORNERS).max() <= tolerance, found


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied_once(format: str, orientation: int) -> None:
    data = encoded(stored_as(scene(), orientation), format, exif=with_orientation(orientation))
    image = open_image(data, formats=RELAXED_FORMATS)
    assert (image.format, image.width, image.height) == (format, 96, 64)
    picture = image.decode()
    assert (picture.width, picture.height) == (picture.full_width, picture.full_height) == (96, 64)
    assert_scene(picture.pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heif_is_not_turned_twice(orientation: int) -> None:
    image = open_image(heif(stored_as(scene(128, 96), orientation), orientation), formats=RELAXED_FORMATS)
    assert (image.format, image.width, image.height) == ("HEIF", 128, 96)
    assert_scene(image.decode().pixels)


def test_heif_with_alpha_and_without_colour() -> None:
    clear = Image.new("RGBA", (96, 80), (200, 100, 0, 128))
    found = load_image(heif(clear)).pixels.reshape(-1, 3).astype(int)
    assert np.abs(found - (227, 177, 127)).max() <= 4
    grey = load_image(heif(Image.new("L", (96, 80), 90))).pixels
    assert grey.shape == (80, 96, 3)
    assert np.abs(grey.astype(int) - 90).max() <= 2
    assert (grey[..., 0] == grey[..., 2]).all()


def test_png_is_used_as_is() -> None:
    data = encoded(scene(), "PNG", exif=with_orientation(6))
    image = open_image(data)
    assert (image.width, image.height) == (96, 64)
    assert_scene(image.decode().pixels, 0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_out_of_range_counts_as_none(orientation: int) -> None:
    assert_scene(load_image(encoded(scene(), "JPEG", exif=with_orientation(orientation))).pixels)


def test_broken_exif_does_no_harm() -> None:
    data = encoded(scene(), "JPEG", exif=with_orientation(6))
    start = data.index(b"Exif\0\0")
    for offset in range(6, 30):
        broken = data[: start + offset] + b"\xff" + data[start + offset + 1 :]
        assert open_image(broken).decode().pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"subsampling": 0, "quality": 100}),
        ("RGB", {"keep_rgb": True}),
        ("RGB", {"restart_marker_blocks": 1}),
        ("CMYK", {}),
    ],
)
def test_jpeg_flavours(mode: str, options: dict[str, object]) -> None:
    assert_scene(load_image(encoded(scene().convert(mode), "JPEG", **options)).pixels)


def test_jpeg_with_ycck_is_converted_as_adobe_does() -> None:
    # Pillow writes CMYK with transform 0 in the Adobe marker; the same samples under transform 2 are YCC and black
    image = Image.new("CMYK", (80, 80), (90, 120, 140, 30))
    data = encoded(image, "JPEG", quality=100, subsampling=0)
    marker = data.index(b"Adobe") + 11
    assert data[marker] == 0
    found = load_image(data[:marker] + b"\2" + data[marker + 1 :]).pixels[40, 40]
    luma, blue, red, black = (255 - value for value in (90, 120, 140, 30))  # stored inverted
    rgb = luma + 1.402 * (red - 128), luma - 0.344 * (blue - 128) - 0.714 * (red - 128), luma + 1.772 * (blue - 128)
    # YCC stands for RGB, whose complement is CMY; the inverted samples are that complement's complement
    expected = [(255 - value) * black / 255 for value in rgb]
    assert np.abs(found - expected).max() < 4, (found, expected)


def test_grey_jpeg_has_three_equal_channels() -> None:
    pixels = load_image(encoded(scene().convert("L"), "JPEG")).pixels
    assert pixels.shape == (64, 96, 3)
    assert (pixels[..., 0] == pixels[..., 2]).all()


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_png_flavours(mode: str) -> None:
    assert_scene(load_image(encoded(in_mode(mode), "PNG"), formats=AWS_FORMATS).pixels, 0)


def test_interlaced_png() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (37, 53, 3), np.uint8)
    assert np.array_equal(load_image(_interlaced(pixels)).pixels, pixels)


def _interlaced(rgb: NDArray[np.uint8]) -> bytes:
    """An Adam7 PNG (ISO/IEC 15948 section 8.2), which Pillow does not write."""
    rows = b""
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        rows += b"".join(b"\0" + row.tobytes() for row in rgb[y::dy, x::dx])
    height, width = rgb.shape[:2]
    return _png(width, height, zlib.compress(rows), depth=8, colour=2, interlace=1)


def _png(width: int, height: int, body: bytes, *, depth: int, colour: int, interlace: int = 0) -> bytes:
    header = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, interlace)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_png_of_16_bits_keeps_the_upper_8() -> None:
    rgb = np.asarray(scene(), np.uint16) * 256 + 77
    data = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    assert_scene(load_image(data).pixels, 0)
    grey = (np.arange(64 * 96, dtype=np.uint16).reshape(64, 96) * 10).astype(np.uint16)
    pixels = load_image(cv2.imencode(".png", grey)[1].tobytes()).pixels
    assert np.array_equal(pixels[..., 1], (grey >> 8).astype(np.uint8))


def _pngs() -> dict[str, bytes]:
    """One PNG of every kind, with rows of every filter."""
    generator = np.random.default_rng(8)
    smooth = np.linspace(0, 40_000, 90 * 70 * 4).reshape(70, 90, 4)
    deep = (smooth + generator.integers(0, 20_000, smooth.shape)).astype(np.uint16)
    rgba = Image.fromarray((deep >> 8).astype(np.uint8))
    rgb, grey, palette = rgba.convert("RGB"), rgba.convert("L"), rgba.convert("RGB").quantize(40)
    all_filters = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS]
    return {
        "rgb": encoded(rgb, "PNG"),
        "rgb with a key": encoded(rgb, "PNG", transparency=rgb.getpixel((3, 60))),
        "rgba": encoded(rgba, "PNG"),
        "grey": encoded(grey, "PNG"),
        "grey with a key": encoded(grey, "PNG", transparency=grey.getpixel((3, 60))),
        "grey and alpha": encoded(rgba.convert("LA"), "PNG"),
        "palette": encoded(palette, "PNG"),
        "palette with alpha": encoded(palette, "PNG", transparency=bytes(range(0, 200, 5))),
        "one bit": encoded(grey.convert("1"), "PNG"),
        "rgb of 16 bits": cv2.imencode(".png", deep[..., :3], all_filters)[1].tobytes(),
        "rgba of 16 bits": cv2.imencode(".png", deep, all_filters)[1].tobytes(),
        "grey of 16 bits": cv2.imencode(".png", deep[..., 0], all_filters)[1].tobytes(),
        "interlaced": _interlaced(np.asarray(rgb)),
    }


@pytest.mark.parametrize("kind", sorted(_pngs()))
@pytest.mark.parametrize("longest", [None, 20])
def test_a_large_png_in_strips_is_the_same_picture(
    kind: str, longest: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _pngs()[kind]
    whole = load_image(data, longest=longest).pixels
    heights: list[int] = []
    to_rgb = png._rgb

    def spy(decoded: NDArray[np.uint8], grey_key: int | None) -> NDArray[np.uint8]:
        heights.append(len(decoded))
        return to_rgb(decoded, grey_key)

    monkeypatch.setattr(png, "_rgb", spy)
    monkeypatch.setattr(png, "MOST_WHOLE", 0)
    monkeypatch.setattr(png, "strip_rows", lambda width: 16)
    assert np.array_equal(load_image(data, longest=longest).pixels, whole)
    assert heights == ([] if kind == "interlaced" else [16, 16, 16, 16, 6])


def test_a_large_png_is_never_in_memory_as_a_whole() -> None:
    side = 3000
    rows = zlib.compressobj(1)
    row = b"\2" + bytes(8 * side)  # each like the one above
    body = rows.compress(b"\0" + bytes(range(250)) * (8 * side // 250))
    body += b"".join(rows.compress(row) for _ in range(side - 1)) + rows.flush()
    data = _png(side, side, body, depth=16, colour=6)
    tracemalloc.start()
    try:
        picture = load_image(data, longest=700)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert picture.width == 750
    assert peak < png.STRIPS_MEMORY < 8 * side * side / 2


def test_one_bit_png() -> None:
    pixels = load_image(encoded(Image.new("1", (20, 10), 1), "PNG")).pixels
    assert pixels.shape == (10, 20, 3)
    assert (pixels == 255).all()


@pytest.mark.parametrize("alpha", [0, 64, 128, 255])
def test_transparency_is_composited_on_white(alpha: int) -> None:
    image = Image.new("RGBA", (90, 80), (200, 100, 0, alpha))
    expected = [round(channel * alpha / 255 + 255 - alpha) for channel in (200, 100, 0)]
    for data in (encoded(image, "PNG"), encoded(image, "WEBP", lossless=True, exact=True), encoded(image, "TIFF")):
        found = load_image(data).pixels
        assert np.abs(found.reshape(-1, 3).astype(int) - expected).max() <= 1
    grey = load_image(encoded(Image.new("LA", (9, 8), (100, alpha)), "PNG")).pixels
    assert abs(int(grey[0, 0, 0]) - (100 * alpha / 255 + 255 - alpha)) <= 1


def test_transparent_palette_entry_and_colour_key() -> None:
    palette = Image.new("P", (10, 10), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert (load_image(encoded(palette, "PNG", transparency=1)).pixels == 255).all()
    assert (load_image(encoded(palette, "PNG", transparency=0)).pixels == [0, 0, 255]).all()
    keyed = Image.new("RGB", (10, 10), (1, 2, 3))
    assert (load_image(encoded(keyed, "PNG", transparency=(1, 2, 3))).pixels == 255).all()
    grey = Image.new("L", (10, 10), 7)
    assert (load_image(encoded(grey, "PNG", transparency=7)).pixels == 255).all()
    assert (load_image(encoded(grey, "PNG", transparency=8)).pixels == 7).all()
    black = Image.new("1", (10, 10), 0)
    assert (load_image(encoded(black, "PNG", transparency=0)).pixels == 255).all()


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_relaxed_formats_show_their_first_frame(format: str) -> None:
    others: dict[str, object] = {}
    if format != "BMP":
        others = {"save_all": True, "append_images": [Image.new("RGB", (96, 64), "white")] * 3}
    data = encoded(scene(), format, **others)
    image = open_image(data, formats=RELAXED_FORMATS)
    assert (image.format, image.width, image.height) == (format, 96, 64)
    pixels = image.decode().pixels
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert_scene(pixels)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
def test_tiff_modes(mode: str) -> None:
    if mode == "I;16":
        grey = (np.arange(64 * 96, dtype=np.uint16) * 10).reshape(64, 96)
        pixels = load_image(encoded(Image.fromarray(grey), "TIFF")).pixels
        assert np.array_equal(pixels[..., 0], (grey >> 8).astype(np.uint8))
        return
    pixels = load_image(encoded(in_mode(mode), "TIFF")).pixels
    assert pixels.shape == (64, 96, 3)
    if mode in ("P", "RGBA", "CMYK"):
        assert_scene(pixels, 2)


@pytest.mark.parametrize(
    ("longest", "expected"),
    [(None, 1001), (1001, 1001), (502, 1001), (501, 501), (251, 251), (250, 251), (127, 251), (126, 126), (1, 126)],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_reduced_as_far_as_longest_allows(longest: int | None, expected: int, progressive: bool) -> None:
    data = encoded(scene(96, 64).resize((1001, 640), 0), "JPEG", progressive=progressive, exif=with_orientation(1))
    picture = open_image(data).decode(longest)
    assert max(picture.width, picture.height) == expected
    assert (picture.full_width, picture.full_height) == (1001, 640)
    assert_scene(picture.pixels)


def test_a_turned_jpeg_is_reduced_too() -> None:
    data = encoded(stored_as(scene(800, 600), 8), "JPEG", exif=with_orientation(8))
    picture = open_image(data).decode(200)
    assert (picture.width, picture.height, picture.full_width) == (200, 150, 800)
    assert_scene(picture.pixels)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"])
@pytest.mark.parametrize(
    ("longest", "expected"), [(None, 1001), (502, 1001), (501, 501), (251, 251), (126, 126), (1, 126)]
)
def test_every_format_is_reduced_as_jpeg_is(format: str, longest: int | None, expected: int) -> None:
    picture = scene(96, 64).resize((1001, 641), 0)
    data = heif(picture) if format == "HEIF" else encoded(picture, format)
    found = open_image(data, formats=RELAXED_FORMATS).decode(longest)
    reduction = round(1001 / expected)
    assert (found.width, found.height) == (expected, -(-641 // reduction))
    assert (found.full_width, found.full_height) == (1001, 641)
    assert found.pixels.flags.c_contiguous
    assert_scene(found.pixels)


def test_a_reduced_pixel_is_the_mean_of_those_it_covers() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (48, 64, 3), np.uint8)
    found = load_image(encoded(Image.fromarray(pixels), "PNG"), longest=16).pixels
    expected = pixels.reshape(12, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(found - expected).max() <= 0.5


@pytest.mark.parametrize("format", ["TIFF", "WEBP"])
def test_turned_pictures_are_reduced_too(format: str) -> None:
    data = encoded(stored_as(scene(800, 600), 8), format, exif=with_orientation(8))
    picture = open_image(data, formats=RELAXED_FORMATS).decode(200)
    assert (picture.width, picture.height, picture.full_width) == (200, 150, 800)
    assert_scene(picture.pixels)


def test_the_format_is_decided_by_content() -> None:
    for format in ("GIF", "WEBP", "TIFF", "BMP", "AVIF"):
        with pytest.raises(UnsupportedFormatError, match=f"bytes are {format}; accepted are JPEG, PNG") as caught:
            open_image(encoded(scene(), format))
        assert caught.value.format == format
    with pytest.raises(UnsupportedFormatError, match="bytes are HEIF"):
        open_image(heif(scene()))


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns=", "SVG or XML"),
        (b"\n<!DOCTYPE html>", "HTML"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "MP4 or QuickTime video"),
        (b"8BPS\0\1", "Photoshop"),
    ],
)
def test_a_refusal_names_what_came(start: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=f"bytes are {name}"):
        open_image(start + bytes(100), formats=RELAXED_FORMATS)


def test_too_many_pixels() -> None:
    for format in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"):
        data = encoded(scene(), format)
        assert open_image(data, formats=RELAXED_FORMATS, max_pixels=96 * 64).width == 96
        with pytest.raises(ImageDimensionsError, match=r"96 x 64 = 6,144 pixels; at most 6,143") as caught:
            open_image(data, formats=RELAXED_FORMATS, max_pixels=96 * 64 - 1)
        assert (caught.value.width, caught.value.height, caught.value.limit) == (96, 64, 6143)


def test_one_image_is_decoded_by_many_threads(photos: dict[str, Path]) -> None:
    image = open_image(photos["china"].read_bytes())
    whole = image.decode().pixels
    start = threading.Barrier(4)

    def decode(longest: int | None) -> NDArray[np.uint8]:
        start.wait()
        return image.decode(longest).pixels

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(decode, [None, 300, None, 100]))
    assert np.array_equal(results[0], whole)
    assert np.array_equal(results[2], whole)
    assert [max(result.shape) for result in results] == [640, 320, 640, 160]


def test_pixels_are_those_of_pillow(photos: dict[str, Path]) -> None:
    for name in ("china", "hopper", "astronaut", "page"):
        with Image.open(photos[name]) as reference:
            expected = np.asarray(reference.convert("RGB"))
        assert np.abs(load_image(photos[name]).pixels.astype(int) - expected).max() <= 1


def test_pillow_is_left_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS, sorted(Image.OPEN), list(warnings.filters)
    load_image(heif(scene()))
    load_image(encoded(scene(), "WEBP"))
    with pytest.raises(UnreadableImageError):
        load_image(encoded(scene(), "TIFF")[:-2000])
    assert (Image.MAX_IMAGE_PIXELS, sorted(Image.OPEN), list(warnings.filters)) == before


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "GIF", "BMP", "AVIF"])
def test_the_limit_of_pixels_is_ours_not_that_of_pillow(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scene(), format)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # twice as many count as a bomb
    assert load_image(data).width == 96
    assert Image.MAX_IMAGE_PIXELS == 1000
    with pytest.raises(ImageDimensionsError, match="96 x 64"):
        load_image(data, max_pixels=2000)


def test_tiffs_are_decoded_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scene(), "TIFF")
    both = threading.Barrier(2, timeout=30)
    load = relaxed.TiffImageFile.load

    def meet(image: relaxed.TiffImageFile) -> object:
        if image.tile:  # not yet loaded
            both.wait()
        return load(image)

    monkeypatch.setattr(relaxed.TiffImageFile, "load", meet)
    with ThreadPoolExecutor(2) as pool:
        for pixels in pool.map(lambda _: load_image(data).pixels, range(2)):
            assert_scene(pixels)


def test_a_picture_from_an_array() -> None:
    picture = Picture.of(np.zeros((4, 6, 3), np.uint8)[:, ::2])
    assert (picture.width, picture.height, picture.full_width, picture.full_height) == (3, 4, 3, 4)
    assert picture.pixels.flags.c_contiguous
    with pytest.raises(ValueError, match="must be"):
        Picture.of(np.zeros((4, 6), np.uint8))
