"""What the frozen backbone and the surface say of photos and of pictures drawn from them, in one file.

python -m training.moderation.drawn_features --data DATA --out FEATURES
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.backbone import STRIDE, fit, regions
from openrek.vision.moderation.statistics import surface
from openrek.vision.runtime.session import Session
from training.moderation.augment import degrade
from training.moderation.draw import ANIMATED, ILLUSTRATED, figure
from training.moderation.features import MODEL
from training.moderation.pictures import read

PHOTOS: Final = {
    "street-boxes": 340, "landmarks": 110, "face-mask-boxes": 100, "ppe-boxes": 40, "scenes": 100,
    "moderation-objects": 200, "weapon-boxes": 120, "playing-cards": 40, "age-gender": 40,
}  # fmt: skip
"""How many photos of each set; weapon-boxes and moderation-objects, where drawings occur, are taken for photos."""

TEST: Final = "objects-101"

Pixels = NDArray[np.uint8]


def pictures(data: Path) -> Iterator[tuple[str, int, Pixels]]:
    """(key, kind, pixels): kind 0 photo, 1 animated, 2 illustrated, -1 to be tested (`key` then names its class)."""
    random = np.random.default_rng(11)
    for name, count in PHOTOS.items():
        samples = list(read(data, name))
        for number in np.linspace(0, len(samples) - 1, count).astype(int):
            key, photo = samples[number].key, samples[number].pixels
            yield key, 0, photo
            yield key, 0, degrade(photo, random)
            if name in ("street-boxes", "landmarks", "face-mask-boxes", "ppe-boxes"):
                for kind, styles in ((1, ANIMATED), (2, ILLUSTRATED)):
                    drawn = styles[int(random.integers(len(styles)))](photo, random)
                    yield key, kind, degrade(drawn, random) if random.random() < 0.7 else drawn
    for number in range(600):
        drawn = figure(random)
        yield f"figure/{number}", 1, degrade(drawn, random) if random.random() < 0.7 else drawn
    for number in range(200):
        sheet = page(random)
        yield f"page/{number}", 0, degrade(sheet, random) if random.random() < 0.7 else sheet
    labels = {line.split(",")[0]: line.split(",")[1] for line in (data / TEST / "labels.csv").read_text().splitlines()}
    for sample in read(data, TEST):
        yield f"{TEST}/{labels[sample.key.partition('/')[2]]}", -1, sample.pixels


def page(random: np.random.Generator) -> Pixels:
    """A page of text: flat and of few colours, but no drawing in the sense of the content types."""
    height, width = int(random.integers(240, 400)), int(random.integers(200, 400))
    sheet = np.full((height, width, 3), random.integers(225, 256), np.uint8)
    if random.random() < 0.2:
        sheet = 255 - sheet
    ink = int(255 - int(sheet[0, 0, 0])) // 2
    size, y = random.uniform(0.25, 0.8), 20
    while y < height - 5:
        letters = "".join(chr(int(random.integers(97, 123))) if random.random() < 0.83 else " " for _ in range(40))
        end = int(random.integers(8, 40))
        cv2.putText(sheet, letters[:end], (12, y), 0, size, (ink, ink, ink), 1 + int(size > 0.6), cv2.LINE_AA)
        y += int(34 * size * random.uniform(1, 1.6)) + 4
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    session = Session("tagger", MODEL, options.threads)
    keys, kinds, embeddings, surfaces = [], [], [], []
    for key, kind, pixels in pictures(options.data):
        fitted = fit(pixels)
        whole = regions(fitted.shape[0] // STRIDE, fitted.shape[1] // STRIDE)[:1]
        (embedding,) = session.run({"pixels": fitted[None], "regions": whole[None]}, ("embedding",))
        keys.append(key)
        kinds.append(kind)
        embeddings.append(embedding[0, 0].astype(np.float16))
        surfaces.append(surface(fitted))
    options.out.mkdir(parents=True, exist_ok=True)
    np.savez(
        options.out / "drawn-features.npz",
        keys=np.array(keys),
        kinds=np.array(kinds),
        embeddings=np.array(embeddings),
        surfaces=np.array(surfaces),
    )
    print(f"drawn: {len(keys)} pictures")


if __name__ == "__main__":
    main()
