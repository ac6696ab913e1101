"""Pictures with known people, made of the two portraits that come inside dependencies."""

import io
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps


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


def encoded(picture: Image.Image, quality: int = 95) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality)
    return data.getvalue()
