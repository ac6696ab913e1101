"""Pages to learn documents from, made by drawing: books, letters, tables, newspapers, receipts and screens, as a
scanner or a camera shows them. The fonts are those that matplotlib brings (DejaVu, STIX, Computer Modern)."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Random = np.random.Generator

_FONTS = [
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10"),
]
_SYLLABLES = [
    "ta",
    "ne",
    "ri",
    "so",
    "la",
    "men",
    "ver",
    "con",
    "de",
    "ment",
    "pro",
    "al",
    "er",
    "an",
    "in",
    "is",
    "tor",
    "ber",
    "gen",
    "da",
    "li",
    "ka",
    "ro",
    "mu",
    "ste",
    "pla",
]
_KINDS = ("book", "letter", "table", "newspaper", "receipt", "screen", "slide")


def pages(count: int, seed: int = 1) -> Iterator[tuple[str, Pixels]]:
    """`count` pages (H, W, 3) RGB with their names, the kinds by turns; the same for the same seed."""
    for number in range(count):
        random = np.random.default_rng([seed, number])
        kind = _KINDS[number % len(_KINDS)]
        yield f"{kind}-{seed}-{number}", _taken(_drawn(kind, random), kind, random)


def _font(random: Random, size: int) -> ImageFont.FreeTypeFont:
    name = _FONTS[int(random.integers(len(_FONTS)))]
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)


def _words(random: Random, count: int) -> str:
    words = ["".join(random.choice(_SYLLABLES, int(random.integers(1, 5)))) for _ in range(count)]
    for place in range(0, count, int(random.integers(5, 14))):
        words[place] = words[place].capitalize()
    return " ".join(words)


def _paragraph(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    width: int,
    bottom: int,
    font: ImageFont.FreeTypeFont,
    ink: int,
    random: Random,
) -> int:
    """Lines of words down from a place; where they end."""
    x, y = place
    step = int(font.size * random.uniform(1.15, 1.7))
    per_line = max(2, int(width / (font.size * 2.6)))
    for _ in range(int(random.integers(3, 14))):
        if y + step > bottom:
            break
        line = _words(random, per_line)
        while draw.textlength(line, font) > width:
            line = line[:-1]
        draw.text((x, y), line, ink, font)
        y += step
    return y + step // 2


def _drawn(kind: str, random: Random) -> Pixels:
    """A clean page, (H, W, 3)."""
    tall = kind in {"book", "letter", "table", "newspaper", "receipt"}
    height = int(random.integers(700, 1000))
    shape = random.uniform(0.35, 0.5) if kind == "receipt" else random.uniform(0.66, 0.8) if tall else 1.5
    width = int(height * shape)
    paper, ink = int(random.integers(225, 256)), int(random.integers(0, 70))
    if kind == "screen" and random.random() < 0.4:
        paper, ink = int(random.integers(15, 50)), int(random.integers(190, 255))
    page = Image.new("L", (width, height), paper)
    draw = ImageDraw.Draw(page)
    size = int(random.integers(11, 24)) if kind != "slide" else int(random.integers(26, 44))
    font, head = _font(random, size), _font(random, int(size * random.uniform(1.3, 2.4)))
    margin = int(width * random.uniform(0.04, 0.12))
    columns = int(random.integers(2, 5)) if kind == "newspaper" else 1
    if kind in {"letter", "newspaper", "screen", "slide"} or random.random() < 0.4:
        draw.text((margin, margin // 2 + 4), _words(random, 3), ink, head)
    y = margin + int(head.size * 1.8)
    if kind == "table":
        rows, across = int(random.integers(8, 24)), int(random.integers(3, 7))
        high, wide = (height - y - margin) // rows, (width - 2 * margin) // across
        for row in range(rows):
            for column in range(across):
                spot = (margin + column * wide + 4, y + row * high + 2)
                word = _words(random, 1) if column == 0 else f"{random.uniform(0, 9999):.2f}"
                draw.text(spot, word[: max(3, wide // size)], ink, font)
            if random.random() < 0.8:
                draw.line((margin, y + row * high, width - margin, y + row * high), ink, 1)
        return _coloured(page, random)
    gap = (width - 2 * margin) // columns
    for column in range(columns):
        down = y
        while down < height - margin:
            if kind in {"screen", "slide"} and random.random() < 0.35:
                box = (margin, down, margin + int(gap * random.uniform(0.2, 1)), down + int(random.uniform(20, 90)))
                draw.rectangle(box, fill=int(random.integers(80, 230)), outline=ink)
                down = box[3] + 10
            if random.random() < 0.2:
                draw.text((margin + column * gap, down), _words(random, 2), ink, head)
                down += int(head.size * 1.6)
            if kind == "newspaper" and random.random() < 0.15:
                draw.rectangle((margin + column * gap, down, margin + (column + 1) * gap - 14, down + 110), fill=150)
                down += 124
            inset = int(random.choice([0, 0, 20]))
            down = _paragraph(
                draw, (margin + column * gap + inset, down), gap - 14 - inset, height - margin, font, ink, random
            )
            if down < height - margin and random.random() < 0.1:
                break
    return _coloured(page, random)


def _coloured(page: Image.Image, random: Random) -> Pixels:
    grey = np.asarray(page, np.float32)[..., None]
    tint = 1 - np.abs(random.normal(0, 0.04, 3)) * (random.random() < 0.6)
    return np.asarray((grey * tint).clip(0, 255), np.uint8)


def _taken(page: Pixels, kind: str, random: Random) -> Pixels:
    """The page as scanner, screen or camera shows it: often a part of it, turned, unevenly lit, not quite sharp."""
    height, width = page.shape[:2]
    if random.random() < 0.5:  # a part
        high, wide = int(height * random.uniform(0.25, 0.8)), int(width * random.uniform(0.45, 1.0))
        top, left = int(random.integers(0, height - high + 1)), int(random.integers(0, width - wide + 1))
        page = np.ascontiguousarray(page[top : top + high, left : left + wide])
        height, width = high, wide
    if kind != "screen" and random.random() < 0.6:
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        moved = corners + random.normal(0, 0.05 * min(width, height), (4, 2)).astype(np.float32)
        table = random.integers(20, 220, 3).tolist()
        matrix = cv2.getPerspectiveTransform(corners, moved)
        page = np.asarray(cv2.warpPerspective(page, matrix, (width, height), borderValue=table), np.uint8)
    lit = page.astype(np.float32)
    if random.random() < 0.7:
        y, x = np.mgrid[0 : 1 : complex(0, height), 0 : 1 : complex(0, width)]
        angle = random.uniform(0, 2 * np.pi)
        lit *= (1 - random.uniform(0, 0.5) * (0.5 + 0.5 * (np.cos(angle) * x + np.sin(angle) * y)))[..., None]
    if random.random() < 0.5:
        lit = cv2.GaussianBlur(lit, (0, 0), random.uniform(0.4, 1.6))
    lit += random.normal(0, random.uniform(0, 8), lit.shape[:2])[..., None]
    return np.asarray(lit.clip(0, 255), np.uint8)
