"""How well text is read: `python -m bench.text_accuracy FOLDER [TRUTH]`.

FOLDER holds pictures, TRUTH (default: `truth.csv` or `truth.json` in it) says what they hold:

- CSV with the columns `image` and `text` (or `plate`), one expected string a row, and optionally `left`, `top`,
  `width`, `height`, its box in pixels;
- JSON, an object picture -> list of expected strings; an empty list is a picture without text. With `--key` the object
  is looked up under that key first.

Without FOLDER, `--drawn N` draws N pictures of words on photos of the extra `demo`, of which everything is known.

Three ways of comparing are reported: as written; without case, accents and punctuation; and, as number plates need,
with 0 = O = Q and 1 = I too. A string is found where one line, or neighbouring lines together, hold it; a word where a
word equals it.
"""

import argparse
import csv
import json
import random
import re
import statistics
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from openrek.settings import Settings
from openrek.vision.geometry import corners, iou, polygon_bounds, share_inside
from openrek.vision.image import Picture, load_image
from openrek.vision.runtime import Runtime
from openrek.vision.text import TextResult, read_text
from openrek.vision.text.detector import find_text

WORDS = re.findall(
    r"\w+",
    """north gallery exit platform market coffee garden bridge station ticket harbour castle museum closed open push
    pull danger parking hotel bakery library river welcome street avenue private office kitchen theatre school hospital
    airport road works bus taxi level floor stairs lift tickets information left luggage fresh bread flowers sale""",
)
FONTS = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "STIXGeneral.ttf", ""]


@dataclass
class Sample:
    """A picture and the strings in it, each with its box (left, top, width, height) where that is known."""

    name: str
    load: Callable[[], Picture]
    expected: list[str]
    boxes: list[tuple[float, float, float, float] | None] = field(default_factory=list)


@dataclass
class Tally:
    strings: int = 0
    found: list[int] = field(default_factory=lambda: [0, 0, 0])
    words: int = 0
    words_found: int = 0
    reported: int = 0
    false: int = 0
    free: int = 0
    times: list[float] = field(default_factory=list)
    detection: list[float] = field(default_factory=list)
    judged: list[tuple[float, bool]] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)


# --- truth ------------------------------------------------------------------------------------------------------------


def read_truth(folder: Path, truth: Path, key: str | None) -> list[Sample]:
    if truth.suffix == ".csv":
        samples: dict[str, Sample] = {}
        with truth.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                name = row["image"]
                sample = samples.setdefault(name, Sample(name, lambda p=folder / name: load_image(p), []))
                sample.expected.append(row.get("text") or row["plate"])
                known = all(row.get(column) for column in ("left", "top", "width", "height"))
                box = (
                    (float(row["left"]), float(row["top"]), float(row["width"]), float(row["height"]))
                    if known
                    else None
                )
                sample.boxes.append(box)
        return list(samples.values())
    table = json.loads(truth.read_text(encoding="utf-8"))
    for part in [key] if key else []:
        table = table[part]
    return [Sample(name, lambda p=folder / name: load_image(p), list(strings)) for name, strings in table.items()]


def draw(number: int) -> Sample:
    """Words of 10 to 72 pixels on a blurred photo, 1920 x 1080, the same for the same number."""
    import skimage
    import sklearn.datasets

    chance = random.Random(number)
    science, scikit = Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images"
    photo = chance.choice(
        [science / "astronaut.png", science / "coffee.png", scikit / "china.jpg", scikit / "flower.jpg"]
    )
    picture = Image.open(photo).convert("RGB").resize((240, 135)).resize((1920, 1080), Image.Resampling.BICUBIC)
    expected: list[str] = []
    boxes: list[tuple[float, float, float, float] | None] = []
    taken: list[tuple[int, int, int, int]] = []
    while len(expected) < 20:
        text = " ".join(chance.choice(WORDS) for _ in range(chance.choice([1, 1, 2, 3])))
        text = chance.choice([str.upper, str.title, str.lower])(text)
        if chance.random() < 0.2:
            text += f" {chance.randint(1, 9999)}"
        font = _font(chance.choice(FONTS), chance.choice([10, 12, 14, 16, 20, 24, 32, 48, 72]))
        left, top, right, bottom = (int(value) for value in font.getbbox(text))
        width, height = right - left, bottom - top
        x, y = chance.randint(20, 1900), chance.randint(20, 1060)
        area = (x - height, y - height // 2, x + width + height, y + height + height // 2)
        apart = all(area[2] < a[0] or area[0] > a[2] or area[3] < a[1] or area[1] > a[3] for a in taken)
        if area[2] > 1915 or area[3] > 1075 or not apart:
            continue
        dark = float(np.asarray(picture.crop(area).convert("L")).mean()) < 128
        ImageDraw.Draw(picture).text((x - left, y - top), text, fill="white" if dark else "black", font=font)
        taken.append(area)
        expected.append(text)
        boxes.append((float(x), float(y), float(width), float(height)))
    return Sample(f"drawn {number}", lambda: Picture.of(np.asarray(picture)), expected, boxes)


def _font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if not name:
        return ImageFont.load_default(size)
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


# --- comparing --------------------------------------------------------------------------------------------------------


def as_written(text: str) -> str:
    return " ".join(text.split())


def plain(text: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))
    return re.sub(r"[\W_]", "", bare)


def plate(text: str) -> str:
    return plain(text).translate(str.maketrans("oqi", "001"))


COMPARISONS = (as_written, plain, plate)


def judge(sample: Sample, result: TextResult, tally: Tally) -> list[str]:
    """Count one picture; the strings that no comparison finds are returned."""
    missing = []
    lines = [line.text for line in result.lines]
    for text in sample.expected:
        tally.strings += 1
        hits = [compare(text) in compare(" ".join(lines)) for compare in COMPARISONS]
        tally.found = [count + hit for count, hit in zip(tally.found, hits, strict=True)]
        if not any(hits):
            missing.append(text)
    left = [plain(word.text) for word in result.words]
    for word in (plain(part) for text in sample.expected for part in text.split()):
        tally.words += 1
        if word in left:
            left.remove(word)
            tally.words_found += 1
    tally.reported += len(result.words)
    if not sample.expected:
        tally.free += 1
        tally.false += len(result.words)
    for box, text in zip(sample.boxes, sample.expected, strict=False):
        if box is None:
            continue
        outline = corners([[box[0], box[1], box[0] + box[2], box[1] + box[3]]])[0]
        parts = [word for word in result.words if share_inside(word.quad, outline) > 0.3]
        if parts:
            confidence = statistics.fmean(word.confidence for word in parts)
            together = "".join(word.text for word in parts)
            tally.judged.append((confidence, plate(text) in plate(together)))
            if plain(text) == plain(together):
                bounds = polygon_bounds(np.concatenate([word.quad for word in parts]))
                tally.overlaps.append(float(iou(bounds[None], polygon_bounds(outline)[None])[0, 0]))
    return missing


# --- reporting --------------------------------------------------------------------------------------------------------


def report(tally: Tally, turn: int) -> Iterator[str]:
    share = [f"{100 * count / tally.strings:.1f} %" if tally.strings else "-" for count in tally.found]
    yield f"turned by {turn}: {tally.strings} strings; found as written {share[0]}, plain {share[1]}, 0=O {share[2]}"
    if tally.words:
        yield (
            f"  words: {tally.words} expected, {100 * tally.words_found / tally.words:.1f} % found; "
            f"{tally.reported} reported"
        )
    if tally.free:
        yield f"  pictures without text: {tally.free}, words reported there: {tally.false}"
    if tally.times:
        whole, first = statistics.median(tally.times), statistics.median(tally.detection)
        yield f"  median time: detection {first * 1000:.0f} ms, whole {whole * 1000:.0f} ms"
    if tally.overlaps:
        mean = statistics.fmean(tally.overlaps)
        yield f"  boxes: mean IoU with the known ones {mean:.3f} ({len(tally.overlaps)} strings)"
    if tally.judged:
        yield "  confidence     strings  mean   right"
        edges = (0.0, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.01)
        for low, high in pairwise(edges):
            part = [(confidence, right) for confidence, right in tally.judged if low <= confidence < high]
            if part:
                mean = statistics.fmean(confidence for confidence, _ in part)
                right = statistics.fmean(right for _, right in part)
                yield f"  {low:.2f} - {min(high, 1):.2f}  {len(part):9}  {mean:.3f}  {right:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("truth", nargs="?", type=Path)
    parser.add_argument("--key", help="member of a JSON truth that holds the table")
    parser.add_argument("--drawn", type=int, default=0, metavar="N", help="draw N pictures instead")
    parser.add_argument("--turn", type=int, nargs="*", default=[0], choices=[0, 90, -90, 180], help="clockwise degrees")
    parser.add_argument("--missing", action="store_true", help="list what was not found")
    arguments = parser.parse_args()
    if arguments.drawn:
        samples = [draw(number) for number in range(arguments.drawn)]
    elif arguments.folder:
        usual = [arguments.folder / name for name in ("truth.csv", "truth.json")]
        truth = arguments.truth or next((path for path in usual if path.exists()), None)
        if truth is None:
            sys.exit(f"There is no truth.csv or truth.json in {arguments.folder}; name the truth file.")
        samples = read_truth(arguments.folder, truth, arguments.key)
    else:
        parser.error("name a folder, or use --drawn")
    settings = Settings()
    runtime = Runtime(
        cache=settings.cache, offline=settings.offline, mirror=settings.model_mirror, threads=settings.threads
    )
    for turn in arguments.turn:
        tally = Tally()
        for sample in samples:
            picture = sample.load()
            if turn:
                picture = Picture.of(np.ascontiguousarray(np.rot90(picture.pixels, -turn // 90)))
            start = time.perf_counter()
            find_text(picture.pixels, runtime.model("text-detector"))
            tally.detection.append(time.perf_counter() - start)
            start = time.perf_counter()
            result = read_text(picture, runtime)
            tally.times.append(time.perf_counter() - start)
            upright = sample if turn == 0 else Sample(sample.name, sample.load, sample.expected)
            missing = judge(upright, result, tally)
            if missing and arguments.missing:
                print(f"{sample.name}: {missing} not in {[line.text for line in result.lines]}")
        print("\n".join(report(tally, turn)), flush=True)
    runtime.close()


if __name__ == "__main__":
    main()
