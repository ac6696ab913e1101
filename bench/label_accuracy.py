"""`python -m bench.label_accuracy --data FOLDER [--coco PICTURES LABELS]`: how often labels are right, how many are
found, and whether a confidence means what it says. The model card of `tagger` quotes its tables.

FOLDER holds `objects-101` (Caltech-101: one object a photo, of at most 160 pixels) and `street-boxes` (Pascal VOC 2007,
of at most 288 pixels, four labels); `--coco` adds photos with YOLO label files in the order of COCO's 80 classes. The
first two fitted the tagger's calibration; COCO took no part in it.

Two tables for each set: what the tagger says by itself, and what DetectLabels answers. Judged are labels of things;
what heads and faces add (Sky, Person) is left to `bench.everyday_accuracy`: these sets do not say whether it is there.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from platformdirs import user_cache_path
from training.tagger.measure import named, pairs
from training.tagger.photos import Photo, coco, objects, street

from openrek.vision import objects as objects_module
from openrek.vision.backbone import MODEL
from openrek.vision.image import Picture
from openrek.vision.labels import FACE_SEARCH_SIDE, Taxonomy, detect_labels, taxonomy
from openrek.vision.labels.tagger import read_tags
from openrek.vision.look import Look
from openrek.vision.runtime import Runtime

DEFAULT, LOW = 0.55, 0.30


Answers = list[tuple[Photo, Mapping[str, float]]]


def answers(photos: Iterable[Photo], runtime: Runtime, detector: str) -> tuple[Answers, Answers]:
    """Each photo with the tagger's labels, and with all of DetectLabels'."""
    by_tagger: Answers = []
    by_all: Answers = []
    for photo in photos:
        look = Look(Picture.of(photo.pixels), runtime, face_search_side=FACE_SEARCH_SIDE, detector=detector)
        tags = read_tags(look.features, runtime.model(MODEL).metadata)
        by_tagger.append((photo, {tag.label.name: tag.confidence for tag in tags}))
        by_all.append((photo, {found.label.name: found.confidence for found in detect_labels(look)}))
    return by_tagger, by_all


def report(answered: Answers, table: Taxonomy, seen: frozenset[str]) -> None:
    judged = pairs(answered, table, seen)
    print(f"  at {DEFAULT:.0%}: precision {judged.precision(DEFAULT):.3f}, recall {judged.recall(DEFAULT):.3f}")
    print(f"  at {LOW:.0%}: precision {judged.precision(LOW):.3f}, recall {judged.recall(LOW):.3f}")
    if answered[0][0].known is None:
        print(f"  label or its parent given at {LOW:.0%}: {named(answered, table, LOW):.3f} of the photos")
    print(f"  calibration error from 10 % on: {judged.calibration_error():.3f}")
    print("  confidence  labels  stated  true")
    for edge, count, stated, true in judged.reliability()[1:]:
        print(f"  {edge:>9.0%}  {count:>6}  {stated:>6.2f}  {true:>4.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--coco", type=Path, nargs=2, metavar=("PICTURES", "LABELS"), action="append", default=[])
    parser.add_argument("--every", type=int, default=1, help="take every so manieth photo of the first two sets")
    parser.add_argument("--detector", default=objects_module.MODEL, help="the catalogue's detector")
    parser.add_argument("--mirror", help="folder of model files")
    options = parser.parse_args()
    table = taxonomy()
    tagger = frozenset(name for name, sources in table.sources.items() if "tagger" in sources)
    things = frozenset(
        name
        for name, sources in table.sources.items()
        if sources & {"tagger", "kinds", "objects"} and not sources & {"everyday", "faces"}
    )
    sets: list[tuple[str, Iterator[Photo]]] = [
        ("Caltech-101", objects(options.data)),
        ("VOC 2007", street(options.data)),
    ]
    sets = [(name, islice(photos, 0, None, options.every)) for name, photos in sets]
    sets += [(f"COCO {pictures.name}", coco(pictures, labels)) for pictures, labels in options.coco]
    with Runtime(cache=user_cache_path("openrek"), mirror=options.mirror) as runtime:
        for name, photos in sets:
            by_tagger, by_all = answers(photos, runtime, options.detector)
            print(f"\n{name}: {len(by_all)} photos; the tagger by itself")
            report(by_tagger, table, tagger)
            print(f"{name}: DetectLabels")
            report(by_all, table, things)


if __name__ == "__main__":
    main()
