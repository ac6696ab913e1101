"""The date of a photo from its EXIF block, in every format that carries one."""

import io
import struct
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from openrek.vision.image.taken import date_taken

TAKEN = datetime(2024, 7, 21, 15, 4, 5)


def photo(format: str, *, original: str | None = "2024:07:21 15:04:05", changed: str | None = None) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    if original is not None:
        exif.get_ifd(0x8769)[0x9003] = original
    if changed is not None:
        exif[0x0132] = changed
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 10, 10)).save(buffer, format, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_every_format(format: str) -> None:
    assert date_taken(photo(format)) == TAKEN


def test_a_tiff_is_a_block_itself() -> None:
    assert date_taken(photo("TIFF", original=None, changed="2024:07:21 15:04:05")) == TAKEN


def test_the_moment_of_the_shot_wins_over_the_last_change() -> None:
    assert date_taken(photo("JPEG", changed="2025:01:01 00:00:00")) == TAKEN
    assert date_taken(photo("JPEG", original=None, changed="2025:01:01 00:00:00")) == datetime(2025, 1, 1)


@pytest.mark.parametrize("written", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday at about noon"])
def test_a_camera_without_a_clock(written: str) -> None:
    assert date_taken(photo("JPEG", original=written)) is None


def test_no_exif() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "JPEG")
    assert date_taken(buffer.getvalue()) is None
    assert date_taken(b"") is None


def test_both_byte_orders() -> None:
    text = b"2024:07:21 15:04:05\0"
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        entry = struct.pack(f"{order}HHLL", 0x0132, 2, len(text), 26)
        block = mark + struct.pack(f"{order}LH", 8, 1) + entry + bytes(4) + text
        assert date_taken(b"\xff\xd8\xff\xe1..Exif\0\0" + block) == TAKEN


@given(st.binary(max_size=200), st.integers(0, 400), st.sampled_from([b"II*\0", b"MM\0*"]))
def test_damage_is_no_date_and_no_error(noise: bytes, cut: int, mark: bytes) -> None:
    date_taken(b"Exif\0\0" + mark + noise)
    whole = photo("JPEG")
    date_taken(whole[:cut])
