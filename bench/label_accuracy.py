"""`python -m bench.label_accuracy --data FOLDER [--coco PICTURES LABELS]`: how often labels are right, how many are
found, and whether a confidence means what it says. The model card of `tagger` quotes its tables.

FOLDER holds `objects-101` (Caltech-101: one object a photo, of at most 160 pixels) and `street-boxes` (Pascal VOC 2007,
of at most 288 pixels, four labels); `--coco` adds photos with YOLO label files in the order of COCO's 80 classes. The
first two fitted the calibration; COCO took no part in it. Only tags are measured, without what faces add.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from platformdirs import user_cache_path
from training.tagger.measure import named, pairs
from training.tagger.photos import Photo, coco, objects, street

from openrek.vision.image import Picture
from openrek.vision.labels.tagger import tag
from openrek.vision.labels.taxonomy import taxonomy
from openrek.vision.runtime import Runtime

DEFAULT, LOW = 0.55, 0.30


def answers(photos: Iterable[Photo], runtime: Runtime) -> Iterator[tuple[Photo, Mapping[str, float]]]:
    for photo in photos:
        yield photo, {found.label.name: found.confidence for found in tag(Picture.of(photo.pixels), runtime)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--coco", type=Path, nargs=2, metavar=("PICTURES", "LABELS"), action="append", default=[])
    options = parser.parse_args()
    table = taxonomy()
    seen = frozenset(name for name, sources in table.sources.items() if "tagger" in sources)
    sets = [("Caltech-101", objects(options.data)), ("VOC 2007", street(options.data))]
    sets += [(f"COCO {pictures.name}", coco(pictures, labels)) for pictures, labels in options.coco]
    with Runtime(cache=user_cache_path("openrek")) as runtime:
        for name, photos in sets:
            answered = list(answers(photos, runtime))
            judged = pairs(answered, table, seen)
            print(f"\n{name}: {judged.photos} photos")
            print(f"  at {DEFAULT:.0%}: precision {judged.precision(DEFAULT):.3f}, recall {judged.recall(DEFAULT):.3f}")
            print(f"  at {LOW:.0%}: precision {judged.precision(LOW):.3f}, recall {judged.recall(LOW):.3f}")
            if answered[0][0].known is None:
                print(f"  label or its parent given at {LOW:.0%}: {named(answered, table, LOW):.3f} of the photos")
            print(f"  calibration error from 10 % on: {judged.calibration_error():.3f}")
            print("  confidence  labels  stated  true")
            for edge, count, stated, true in judged.reliability()[1:]:
                print(f"  {edge:>9.0%}  {count:>6}  {stated:>6.2f}  {true:>4.2f}")


if __name__ == "__main__":
    main()
