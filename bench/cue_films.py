"""Films made on the spot, with the truth about their cues: bars, credits, slates, logos, and decoys."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Size = tuple[int, int]

FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf",
         "STIXGeneral.ttf", "DejaVuSans-Oblique.ttf")  # fmt: skip
NAMES = ("Ada Moreno", "Piotr Zielinski", "Mei-Ling Chow", "Gareth O'Neill", "Sofia Lindqvist", "Tomás Herrera",
         "Ingrid Baum", "Kwame Mensah", "Yuki Tanabe", "Laura Ferrante", "Omar Haddad", "Nadia Petrova",
         "J. R. Whitcombe", "Elif Demir", "Marc-André Roy", "Priya Raman")  # fmt: skip
ROLES = ("Directed by", "Produced by", "Written by", "Music by", "Editor", "Camera", "Sound Mixer", "Casting",
         "Production Designer", "Costumes", "Gaffer", "Visual Effects", "Colourist", "Stunts")  # fmt: skip


@dataclass(slots=True)
class Film:
    """Frames to come, and what they are: (kind, first frame, frame after the last)."""

    size: Size = (640, 360)
    rate: Fraction = Fraction(25)
    parts: list[Iterator[Pixels]] = field(default_factory=list)
    truth: list[tuple[str, int, int]] = field(default_factory=list)
    count: int = 0

    def add(self, frames: int, paint: Callable[[int], Pixels], kind: str | None = None, late: int = 0) -> "Film":
        """Add a part of so many frames; `paint` makes frame 0, 1, ... of it. late: frames before it is what it is."""
        self.parts.append(paint(n) for n in range(frames))
        if kind is not None:
            self.truth.append((kind, self.count + late, self.count + frames))
        self.count += frames
        return self

    def write(self, path: Path, *, quality: int = 23, codec: str = "libx264", matrix: int | None = None) -> Path:
        """Encode without sound."""
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=self.rate)
            stream.width, stream.height = self.size
            stream.pix_fmt = "yuv420p"
            if codec == "libx264":
                stream.options = {"crf": str(quality), "preset": "ultrafast", "g": "50", "threads": "1"}
            if matrix is not None:
                stream.codec_context.colorspace = matrix
            for part in self.parts:
                for pixels in part:
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")))
            out.mux(stream.encode())
        return path


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that comes with Matplotlib (extra `demo`)."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), max(6, size))


@cache
def photos() -> tuple[Pixels, ...]:
    """Photos that come with scikit-image and scikit-learn."""
    import skimage
    import sklearn.datasets

    science = Path(skimage.__file__).parent / "data"
    scikit = Path(sklearn.datasets.__file__).parent / "images"
    paths = [*(science / name for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")),
             scikit / "china.jpg", scikit / "flower.jpg"]  # fmt: skip
    return tuple(np.asarray(Image.open(path).convert("RGB")) for path in paths if path.exists())


@cache
def _grain(size: Size) -> tuple[Pixels, ...]:
    """Four pictures of noise of mean 9 and deviation 3."""
    noise = np.random.default_rng(9)
    return tuple(
        np.repeat(np.clip(noise.normal(9, 3, (size[1], size[0], 1)), 0, 255).astype(np.uint8), 3, axis=2)
        for _ in range(4)
    )


def scene(size: Size, seed: int, frames: int) -> Callable[[int], Pixels]:
    """A camera that pans and zooms over a photo, with grain."""
    random = Random(seed)
    photo = photos()[seed % len(photos())]
    width, height = size
    a, b = ((random.uniform(0, 1), random.uniform(0, 1), random.uniform(0.5, 0.95)) for _ in range(2))
    gain = random.uniform(0.7, 1.1)

    def paint(n: int) -> Pixels:
        t = n / max(1, frames - 1)
        x, y, zoom = (p * (1 - t) + q * t for p, q in zip(a, b, strict=True))
        rows, columns = photo.shape[:2]
        w = min(columns, rows * width / height) * zoom
        h = w * height / width
        matrix = np.array([[w / width, 0, x * (columns - w)], [0, h / height, y * (rows - h)]])
        view = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        grain = _grain(size)[n % 4]
        return cv2.addWeighted(view, gain, grain, 1.0, -9.0)

    return paint


def plain(size: Size, colour: tuple[int, int, int] = (0, 0, 0)) -> Callable[[int], Pixels]:
    """One colour."""
    picture = np.full((size[1], size[0], 3), colour, np.uint8)
    return lambda n: picture


def faded(paint: Callable[[int], Pixels], frames: int, fade: int) -> Callable[[int], Pixels]:
    """The same, from and to black within `fade` frames."""

    def out(n: int) -> Pixels:
        level = min(1.0, (n + 1) / (fade + 1), (frames - n) / (fade + 1)) if fade else 1.0
        return (paint(n) * level).astype(np.uint8) if level < 1 else paint(n)

    return out


def bars(size: Size, standard: str, *, noise: float = 0, counter: bool = False, scroll: float = 0,
         pillar: bool = False, blur: float = 0, fade: float = 1.0) -> Callable[[int], Pixels]:  # fmt: skip
    """Colour bars: ebu75, ebu100, smpte, rp219. scroll: pixels a frame."""
    width, height = size
    if pillar:
        width = height * 4 // 3
    level = 255 if standard == "ebu100" else 191
    primaries = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)]
    picture = np.zeros((height, width, 3), np.uint8)
    count = 8 if standard.startswith("ebu") else 7
    inner = (0, width) if standard != "rp219" else (width // 8, width - width // 8)
    for i in range(count):
        a, b = (inner[0] + (inner[1] - inner[0]) * j // count for j in (i, i + 1))
        picture[:, a:b] = np.array(primaries[i]) * level
    if standard == "smpte":
        picture[height * 67 // 100 :] = 0
        low, mid = height * 67 // 100, height * 75 // 100
        for i, colour in enumerate([6, 7, 4, 7, 2, 7, 0]):
            picture[low:mid, width * i // 7 : width * (i + 1) // 7] = np.array(primaries[colour]) * level
        for i, rgb in enumerate([(0, 33, 76), (255, 255, 255), (50, 0, 106), (19, 19, 19)]):
            picture[mid:, width * i * 5 // 28 : width * (i + 1) * 5 // 28] = rgb
    if standard == "rp219":
        picture[:, : inner[0]] = picture[:, inner[1] :] = 104
        low, mid, base = height * 7 // 12, height * 8 // 12, height * 9 // 12
        picture[low:mid, : inner[0]], picture[low:mid, inner[1] :] = (0, 255, 255), (0, 0, 255)
        picture[mid:base, : inner[0]], picture[mid:base, inner[1] :] = (255, 255, 0), (255, 0, 0)
        picture[low:mid, inner[0] : inner[1]] = 191
        picture[mid:base, inner[0] : inner[1]] = np.linspace(0, 255, inner[1] - inner[0], dtype=np.uint8)[None, :, None]
        picture[base:] = 20
        picture[base:, width * 3 // 8 : width * 5 // 8] = 255
    random = np.random.default_rng(1)
    letters = font("DejaVuSans-Bold.ttf", size[1] // 14)

    def paint(n: int) -> Pixels:
        view = np.roll(picture, -round(n * scroll), axis=1) if scroll else picture
        if pillar:
            side = (size[0] - width) // 2
            view = np.pad(view, ((0, 0), (side, size[0] - width - side), (0, 0)))
        if counter:
            image = Image.fromarray(view)
            draw = ImageDraw.Draw(image)
            for place, text in ((0.45, f"00:00:{n // 25:02}:{n % 25:02}"), (0.12, "CHANNEL 7 TEST  1 kHz -18 dBFS")):
                box = draw.textbbox((size[0] // 2, int(size[1] * place)), text, letters, anchor="mm")
                draw.rectangle(tuple(int(v) + d for v, d in zip(box, (-8, -6, 8, 6), strict=True)), fill="black")
                draw.text((size[0] // 2, int(size[1] * place)), text, "white", letters, anchor="mm")
            view = np.asarray(image)
        out = view.astype(np.float32)
        if blur:
            out = cv2.GaussianBlur(out, (0, 0), blur)
        if fade != 1:
            out = out.mean(axis=2, keepdims=True) * (1 - fade) + out * fade
        if noise:
            out = out + random.normal(0, noise, out.shape)
        return np.clip(out, 0, 255).astype(np.uint8)

    return paint


Under = Callable[[int], Pixels]


def written(under: Pixels, rows: list[tuple[float, float, str, str]], letters: ImageFont.FreeTypeFont,
            colour: tuple[int, int, int], shadow: bool = False) -> Pixels:  # fmt: skip
    """Text over a picture; rows of x, y (0..1), anchor, text."""
    image = Image.fromarray(under)
    draw = ImageDraw.Draw(image)
    for x, y, anchor, text in rows:
        place = (x * image.width, y * image.height)
        if shadow:
            draw.text((place[0] + 2, place[1] + 2), text, (0, 0, 0), letters, anchor=anchor)
        draw.text(place, text, colour, letters, anchor=anchor)
    return np.asarray(image)


def roll(
    size: Size,
    seed: int,
    speed: float,
    entries: int,
    under: Under | None = None,
    ink: tuple[int, int, int] = (235, 235, 235),
    columns: int = 1,
) -> tuple[int, int, Callable[[int], Pixels]]:
    """Rolling credits from below the frame to above it: frames, those before the first line is in whole, painter."""
    random = Random(seed)
    width, height = size
    letters = font(random.choice(FONTS), int(height * random.uniform(0.04, 0.07)))
    pitch = letters.size * random.uniform(1.3, 1.9)
    lines: list[tuple[float, str, str, float]] = []
    y = 0.0
    for _ in range(entries):
        role, names = random.choice(ROLES), random.sample(NAMES, random.randint(1, 3))
        if columns == 2:
            lines.append((0.48, "rm", role, y))
            for name in names:
                lines.append((0.52, "lm", name, y))
                y += pitch
        else:
            lines.append((0.5, "mm", role, y))
            for name in names:
                y += pitch
                lines.append((0.5, "mm", name, y))
        y += pitch * 2
    strip_height = int(y)
    strip = Image.new("L", (width, strip_height), 0)
    draw = ImageDraw.Draw(strip)
    for x, anchor, text, top in lines:
        draw.text((x * width, top + pitch / 2), text, 255, letters, anchor=anchor)
    alpha = np.asarray(strip, np.float32) / 255
    used = np.flatnonzero(alpha.max(axis=1) > 0.3)
    alpha = alpha[used[0] : used[-1] + 1]
    frames = int((height + len(alpha)) / speed)
    coming = int(np.flatnonzero(np.append(alpha.max(axis=1) < 0.3, True))[0] / speed)
    colour = np.array(ink, np.float32)
    beneath = under or plain(size)

    def paint(n: int) -> Pixels:
        top = height - (n + 1) * speed
        view = np.zeros((height, width), np.float32)
        first, offset = int(np.floor(top)), top - np.floor(top)
        a, b = max(0, first), min(height, first + len(alpha))
        if b > a:
            view[a:b] = alpha[a - first : b - first]
        if offset:
            view[1:] = view[1:] * (1 - offset) + view[:-1] * offset
        picture = beneath(n).astype(np.float32)
        return np.clip(picture + (colour - picture) * view[..., None], 0, 255).astype(np.uint8)

    return frames, coming, paint


def cards(size: Size, seed: int, count: int, each: int, fade: int = 0, under: Under | None = None,
          ink: tuple[int, int, int] = (240, 240, 240), gap: int = 0,
          most: int = 4) -> tuple[int, Callable[[int], Pixels]]:  # fmt: skip
    """A sequence of static cards of credits, `each` frames with fades, `gap` frames without text between."""
    random = Random(seed)
    letters = font(random.choice(FONTS), int(size[1] * random.uniform(0.055, 0.09)))
    sheets = []
    for _ in range(count):
        names = random.sample(NAMES, random.randint(1, most))
        rows, top = [random.choice(ROLES), *names], 0.5 - 0.5 * len(names) * 0.12
        x = random.choice((0.5, 0.5, 0.35, 0.62))
        sheets.append([(x, top + i * 0.12, "mm", text) for i, text in enumerate(rows)])
    beneath = under or plain(size)
    still = {i: written(beneath(0), sheet, letters, ink) for i, sheet in enumerate(sheets)} if under is None else {}

    def paint(n: int) -> Pixels:
        card, at = divmod(n, each + gap)
        base = beneath(n)
        if at >= each:
            return base
        number = min(card, count - 1)
        full = still[number] if number in still else written(base, sheets[number], letters, ink)
        level = min(1.0, (at + 1) / (fade + 1), (each - at) / (fade + 1)) if fade else 1.0
        return full if level == 1 else np.asarray(cv2.addWeighted(base, 1 - level, full, level, 0), np.uint8)

    return count * (each + gap) - gap, paint


def slate(size: Size, seed: int, clock: bool = False) -> Callable[[int], Pixels]:
    """A card with a programme's data: left-aligned labels and values, or two columns, on a plain ground."""
    random = Random(seed)
    letters = font(random.choice(FONTS[:5]), int(size[1] * random.uniform(0.045, 0.06)))
    ground = random.choice([(0, 0, 0), (16, 24, 60), (40, 40, 40), (200, 200, 200), (10, 60, 40)])
    ink = (20, 20, 20) if sum(ground) > 400 else (240, 240, 240)
    facts = [("PROGRAMME", "The Long Harbour"), ("EPISODE", f"{random.randint(1, 24)} of 24"),
             ("PRODUCTION NO", f"AX-{random.randint(1000, 9999)}"), ("DURATION", "00:48:12"),
             ("AUDIO", "Stereo LtRt, Ch 1-2"), ("FORMAT", "1080i50 16:9"), ("DATE", "14 March 2021"),
             ("STUDIO", "Northlight Pictures")]  # fmt: skip
    facts = facts[: random.randint(4, 8)]
    two = random.random() < 0.5
    rows: list[tuple[float, float, str, str]] = []
    for i, (label, value) in enumerate(facts):
        y = 0.14 + i * 0.1
        rows += [(0.1, y, "lm", label + ":"), (0.45, y, "lm", value)] if two else [(0.1, y, "lm", f"{label}: {value}")]
    base = written(np.full((size[1], size[0], 3), ground, np.uint8), rows, letters, ink)
    if not clock:
        return lambda n: base

    def paint(n: int) -> Pixels:
        image = Image.fromarray(base)
        draw = ImageDraw.Draw(image)
        r = size[1] // 8
        cx, cy = int(size[0] * 0.85), int(size[1] * 0.75)
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), outline=ink, width=3)
        angle = n / 25 / 60 * 2 * np.pi
        draw.line((cx, cy, cx + r * np.sin(angle), cy - r * np.cos(angle)), fill=ink, width=4)
        return np.asarray(image)

    return paint


def logo(size: Size, seed: int, frames: int) -> Callable[[int], Pixels]:
    """An emblem that grows a little on a dark ground, with a name below, from and to black."""
    random = Random(seed)
    letters = font(random.choice(FONTS), size[1] // 9)
    colour = tuple(random.randint(120, 255) for _ in range(3))
    name = random.choice(("NORTHLIGHT", "Blue Heron", "KESTREL FILMS", "Ora Pictures"))
    kind = seed % 3

    def paint(n: int) -> Pixels:
        image = Image.new("RGB", size, (0, 0, 0))
        draw = ImageDraw.Draw(image)
        r = size[1] * (0.16 + 0.03 * n / frames)
        cx, cy = size[0] / 2, size[1] * 0.4
        if kind == 0:
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), outline=colour, width=max(3, int(r / 5)))
        elif kind == 1:
            draw.polygon([(cx, cy - r), (cx + r, cy + r), (cx - r, cy + r)], fill=colour)
        else:
            draw.regular_polygon((cx, cy, r), 6, rotation=n, fill=colour)
        draw.text((cx, size[1] * 0.72), name, colour, letters, anchor="mm")
        return np.asarray(image)

    return faded(paint, frames, max(6, frames // 6))
