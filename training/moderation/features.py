"""What the frozen backbone says of every view of every picture, kept in one file a set.

    python -m training.moderation.features --data DATA --objects OBJECTS --out FEATURES

OBJECTS is what `python -m training.objects.prepare` wrote: its pictures of weapons stand upright.

For each view: the embeddings of its regions (fp16), and for each region and head 1 (shown), 0 (not shown) or -1 (says
nothing: a region that holds a part of the thing, or a set that does not label it).
"""

import argparse
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.vision.backbone import STRIDE, fit, regions
from openrek.vision.runtime.session import Session
from training.moderation.augment import paste, view
from training.moderation.pictures import HEADS, SETS, Box, Sample, read, read_upright

MODEL: Final = Path(__file__).parents[2] / "src/openrek/vision/models/tagger.onnx"
VIEWS: Final = {
    "weapon-boxes": 7, "smoking-boxes": 6, "fire-boxes": 3, "playing-cards": 4, "moderation-objects": 1,
    "street-boxes": 3, "objects-101": 2, "ppe-boxes": 1, "face-mask-boxes": 2, "age-gender": 1,
}  # fmt: skip
"""Views beside the untouched picture."""
PASTES: Final = 2400


def region_boxes(rows: int, columns: int) -> NDArray[np.float32]:
    """(R, 4) ratios `xyxy` of the backbone's regions for a map of rows x columns."""
    boxes = []
    for weights in regions(rows, columns).reshape(-1, rows, columns):
        inside = np.argwhere(weights > 0)
        (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
        boxes.append((left / columns, top / rows, right / columns, bottom / rows))
    return np.array(boxes, np.float32)


def region_truth(sample: Sample, boxes: NDArray[np.float32]) -> NDArray[np.int8]:
    """(R, heads) in {-1, 0, 1}. A region shows a thing when it holds 70 % of it, or when the thing covers half of it;
    under 10 % of both it does not; between, and where the thing is tiny in the region, nothing is said."""
    truth = np.zeros((len(boxes), len(HEADS)), np.int8)
    for head in sample.unknown:
        truth[:, HEADS.index(head)] = -1
    for head, box in sample.shown:
        column = truth[:, HEADS.index(head)]
        for number, region in enumerate(boxes):
            inside = _overlap(box, region)
            share, cover = inside / max(_area(box), 1e-9), inside / _area(region)
            if (share >= 0.7 and (cover >= 0.004 or number == 0)) or cover >= 0.5:
                column[number] = 1
            elif share >= 0.1 and column[number] == 0:
                column[number] = -1
    return truth


def _area(box: Box | NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _overlap(a: Box, b: NDArray[np.float32]) -> float:
    width = min(a[2], float(b[2])) - max(a[0], float(b[0]))
    height = min(a[3], float(b[3])) - max(a[1], float(b[1]))
    return max(width, 0.0) * max(height, 0.0)


def pictures(data: Path, objects: Path, name: str) -> Iterator[Sample]:
    """A set's pictures as they came, turned ones stood up."""
    return read_upright(objects) if name == "weapon-boxes" else read(data, name)


def views(data: Path, objects: Path, name: str) -> Iterator[Sample]:
    """The untouched picture, then its views; seeded by the picture's name."""
    for sample in pictures(data, objects, name):
        yield sample
        random = np.random.default_rng(zlib.crc32(sample.key.encode()))
        for _ in range(VIEWS[name]):
            yield view(sample, random)


def pastes(data: Path, objects: Path) -> Iterator[Sample]:
    """Things of the boxed sets, weapons twice as often, and of no head, in street photos, faces' photos and scenes."""
    random = np.random.default_rng(7)
    things = {
        name: [each for each in pictures(data, objects, name) if each.shown]
        for name in ("weapon-boxes", "smoking-boxes", "fire-boxes", "playing-cards")
    }
    others = [
        Sample(each.key, each.pixels, (("none", (0.0, 0.0, 1.0, 1.0)),))
        for each in read(data, "objects-101")
        if not each.shown and not each.unknown
    ]
    grounds = [each for name in ("street-boxes", "face-mask-boxes", "scenes") for each in read(data, name)]
    kinds = [*things.values(), things["weapon-boxes"], others, others, others]
    for number in range(PASTES):
        ground = grounds[int(random.integers(len(grounds)))]
        yield paste(kinds[number % len(kinds)], ground, random)


def record(samples: Iterable[Sample], session: Session, out: Path) -> int:
    """Write one set's features; returns the number of views."""
    keys: list[str] = []
    starts: list[int] = [0]
    embeddings: list[NDArray[np.float16]] = []
    truths: list[NDArray[np.int8]] = []
    for sample in samples:
        pixels = fit(sample.pixels)
        rows, columns = (side // STRIDE for side in pixels.shape[:2])
        (embedding,) = session.run({"pixels": pixels[None], "regions": regions(rows, columns)[None]}, ("embedding",))
        keys.append(sample.key)
        embeddings.append(embedding[0].astype(np.float16))
        truths.append(region_truth(sample, region_boxes(rows, columns)))
        starts.append(starts[-1] + len(truths[-1]))
    np.savez(out, keys=np.array(keys), starts=np.array(starts), embeddings=np.concatenate(embeddings),
             truths=np.concatenate(truths))  # fmt: skip
    return len(keys)


def record_classifier(data: Path, session: Session, out: Path) -> None:
    """Write the backbone's last layer, embedding (1280) to logits (1000): what its outputs satisfy exactly."""
    embeddings, logits = [], []
    for number, sample in enumerate(read(data, "objects-101")):
        if number % 4 == 0:
            pixels = fit(sample.pixels)
            weights = regions(*(side // STRIDE for side in pixels.shape[:2]))
            feeds = {"pixels": pixels[None], "regions": weights[None]}
            embedding, logit = session.run(feeds, ("embedding", "logits"))
            embeddings.append(embedding[0])
            logits.append(logit[0])
    known = np.concatenate(embeddings).astype(np.float64)
    known = np.concatenate([known, np.ones((len(known), 1))], axis=1)
    solved = np.linalg.lstsq(known, np.concatenate(logits).astype(np.float64), rcond=None)[0]
    np.savez(out, weight=solved[:-1].T.astype(np.float32), bias=solved[-1].astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    session = Session("tagger", MODEL, options.threads)
    if not (options.out / "classifier.npz").exists():
        record_classifier(options.data, session, options.out / "classifier.npz")
    for name in options.only or (*SETS, "paste"):
        target = options.out / f"{name}.npz"
        if target.exists():
            continue
        started = time.monotonic()
        data, objects = options.data, options.objects
        samples = pastes(data, objects) if name == "paste" else views(data, objects, name)
        count = record(samples, session, target)
        print(f"{name}: {count} views in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
