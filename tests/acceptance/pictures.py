"""Pictures with known people, made of the two portraits that come inside dependencies."""

import io
from pathlib import Path

from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps


class People:
    """An astronaut and an officer, alone, changed, and together."""

    def __init__(self, photos: dict[str, Path]) -> None:
        self._astronaut = Image.open(photos["astronaut"]).convert("RGB").crop((80, 0, 380, 300))
        self._hopper = Image.open(photos["hopper"]).convert("RGB").crop((60, 20, 460, 470))
        self.astronaut = encoded(self._astronaut)
        self.hopper = encoded(self._hopper)
        self.landscape = photos["china"].read_bytes()

    def astronauts(self) -> list[bytes]:
        """Four further pictures of the astronaut."""
        face = self._astronaut
        return [
            encoded(face.resize((420, 420))),
            encoded(ImageEnhance.Brightness(face).enhance(1.2)),
            encoded(face.rotate(6, Image.Resampling.BICUBIC, fillcolor=(120, 120, 120))),
            encoded(ImageOps.expand(face.crop((20, 0, 290, 300)), 30, (90, 90, 90)), quality=60),
        ]

    def dark(self) -> bytes:
        """The officer in the dark."""
        return encoded(ImageEnhance.Brightness(self._hopper).enhance(0.3))

    def group(self, *, hoppers: int = 2) -> bytes:
        """One large astronaut and a row of smaller officers."""
        sheet = Image.new("RGB", (520 + 260 * hoppers, 520), (128, 128, 128))
        sheet.paste(self._astronaut.resize((520, 520)), (0, 0))
        for number in range(hoppers):
            sheet.paste(self._hopper.resize((240, 270)), (530 + 260 * number, 100))
        return encoded(sheet)

    def wall(self, count: int) -> bytes:
        """So many portraits in rows of ten, astronaut and officer by turns."""
        sheet = Image.new("RGB", (1400, 150 * -(-count // 10)), (128, 128, 128))
        tiles = [self._astronaut.resize((130, 130)), self._hopper.resize((120, 135))]
        for number in range(count):
            sheet.paste(tiles[number % 2], (5 + 140 * (number % 10), 5 + 150 * (number // 10)))
        return encoded(sheet)

    def upside_down(self) -> bytes:
        """The astronaut on her head."""
        return encoded(self._astronaut.rotate(180))

    def cut(self) -> bytes:
        """The officer without the left third of the face."""
        return encoded(self._hopper.crop((130, 0, *self._hopper.size)))

    def tiny(self) -> bytes:
        """The astronaut's face about 30 pixels high in a large empty picture."""
        sheet = Image.new("RGB", (1280, 960), (128, 128, 128))
        sheet.paste(self._astronaut.resize((80, 80), Image.Resampling.LANCZOS), (700, 300))
        return encoded(sheet)

    def drawing(self) -> bytes:
        """The officer as a drawing of few flat greys with outlines."""
        grey = ImageOps.posterize(ImageOps.grayscale(self._hopper).filter(ImageFilter.MedianFilter(7)), 3)
        edges = ImageOps.invert(grey.filter(ImageFilter.FIND_EDGES).point(lambda level: 255 if level > 20 else 0))
        return encoded(ImageChops.multiply(grey, edges).convert("RGB"))


def encoded(picture: Image.Image, quality: int = 95) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality)
    return data.getvalue()
