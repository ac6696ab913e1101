"""What the object detector says of pictures that it did not learn from, for the heads that read its answer.

    python -m training.moderation.evidence --data DATA --objects OBJECTS --out WORK

OBJECTS is what `python -m training.objects.prepare` wrote: it holds back the same pictures as for the detector's card.
Writes WORK/evidence.npz. With another detector this and `export` are all that has to be done again.
"""

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.settings import Settings
from openrek.vision.image import Picture
from openrek.vision.moderation.heads import best_of
from openrek.vision.objects import detect_objects
from openrek.vision.runtime import Runtime
from training.faces.splits import TEST, TRAIN, TUNE
from training.moderation.pictures import read
from training.objects import samples as boxed

READS: Final = {"pistol": "pistol", "knife": "knife", "long_gun": "long_gun"}
"""Head -> the detector's class that is evidence of it."""

OBJECTS: Final = tuple(dict.fromkeys(READS.values()))
LEARNT: Final = ("weapon-boxes", "street-boxes", "objects-101", "face-mask-boxes")
"""Sets of which the detector holds pictures back. Of building sites it learns from parts, the heads from mosaics."""

UNSEEN: Final = ("age-gender",)
"""Sets that the detector never learns from; half of their pictures is for tuning."""


def held_back(data: Path, objects: Path) -> Iterator[tuple[str, int, NDArray[np.uint8]]]:
    """(key, TUNE or TEST, pixels)."""
    for each in boxed.read(objects):
        if each.side != TRAIN and each.source in LEARNT:
            yield f"{each.source}/{each.name}", each.side, np.array(each.pixels)
    for name in UNSEEN:
        for sample in read(data, name):
            yield sample.key, (TUNE, TEST)[zlib.crc32(sample.key.encode()) % 2], sample.pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    keys, sides, best = [], [], []
    with Runtime(cache=Settings().cache, threads=options.threads) as runtime:
        for key, side, pixels in held_back(options.data, options.objects):
            found = detect_objects(Picture(pixels, pixels.shape[1], pixels.shape[0]), runtime)
            keys.append(key)
            sides.append(side)
            best.append(best_of(found, OBJECTS))
    np.savez(options.out / "evidence.npz", keys=np.array(keys), sides=np.array(sides), best=np.array(best))
    print(f"evidence: {len(keys)} pictures held back from the detector")


if __name__ == "__main__":
    main()
