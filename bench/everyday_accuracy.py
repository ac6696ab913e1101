"""`python -m bench.everyday_accuracy --panoptic JSON PICTURES`: what DetectLabels finds in everyday photos.

JSON is a file of COCO's panoptic annotations (`panoptic_val2017.json`), PICTURES the folder of its photos; both may be
given several times. COCO's photos are Flickr's, and took no part in fitting anything but the classes of a detector that
was taught by one trained on COCO's other photos.

The main nouns of a photo stand in for a caption's: people, animals and things whose largest example covers at least 3 %
of it, and ground, water, sky and the like from 10 %. Smaller ones are neither asked for nor held against a label.
"""

import argparse
from pathlib import Path

from platformdirs import user_cache_path
from training.tagger.photos import COCO, GROUND, Shares, panoptic

from openrek.vision.image import load_image
from openrek.vision.labels import FACE_SEARCH_SIDE, PICTURE_SIDE, detect_labels, taxonomy
from openrek.vision.look import Look
from openrek.vision.runtime import Runtime

DEFAULT, LOW = 0.55, 0.30
THING, STUFF = 0.03, 0.10

ALSO = {"Plant": ("Tree", "Grass", "Flower", "Potted Plant"), "Street": ("Road",)}
"""Labels that COCO does not annotate, and what makes them right."""


def nouns(photo: Shares) -> frozenset[str]:
    """What a caption would name."""
    return frozenset(name for name, share in photo.shares.items() if share >= (STUFF if name in GROUND else THING))


def shows(photo: Shares, label: str) -> bool:
    return any(name in photo.shares for name in (label, *ALSO.get(label, ())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    both = ("JSON", "PICTURES")
    parser.add_argument("--panoptic", type=Path, nargs=2, metavar=both, action="append", required=True)
    parser.add_argument("--detector", default="objects", help="the catalogue's detector")
    parser.add_argument("--mirror", help="folder of model files")
    options = parser.parse_args()
    judged: list[tuple[Shares, dict[str, float]]] = []
    with Runtime(cache=user_cache_path("openrek"), mirror=options.mirror) as runtime:
        for annotations, pictures in options.panoptic:
            for photo in panoptic(annotations, pictures):
                picture = load_image(photo.path, longest=PICTURE_SIDE)
                look = Look(picture, runtime, face_search_side=FACE_SEARCH_SIDE, detector=options.detector)
                judged.append((photo, {found.label.name: found.confidence for found in detect_labels(look)}))
    report(judged)


def report(judged: list[tuple[Shares, dict[str, float]]]) -> None:
    known = [*COCO, *GROUND, *ALSO]
    seen = {name for name in known if taxonomy().sources[name]}
    pairs = [(found.get(name, 0.0), shows(photo, name)) for photo, found in judged for name in seen]
    asked = [found.get(name, 0.0) for photo, found in judged for name in nouns(photo)]
    print(f"{len(judged)} photos, {len(asked)} main nouns")
    for least in (DEFAULT, LOW):
        given = [shown for confidence, shown in pairs if confidence >= least]
        found = sum(confidence >= least for confidence in asked) / len(asked)
        right = sum(given) / len(given)
        print(f"  at {least:.0%}: main nouns found {found:.3f}; of {len(given)} labels {right:.3f} right")
    large = [found.get("Person", 0.0) for photo, found in judged if photo.shares.get("Person", 0) >= 0.1]
    without = [found.get("Person", 0.0) for photo, found in judged if not shows(photo, "Person")]
    print(f"  Person, where one covers 10 % or more: {_share(large):.3f} of {len(large)} photos")
    print(f"  Person, where there is none: {_share(without):.3f} of {len(without)} photos")
    print(f"{'label':16} noun in  found at 55 / 30 %  given at 55 %  right")
    for name in sorted(seen, key=lambda name: -sum(name in nouns(photo) for photo, _ in judged)):
        asked = [found.get(name, 0.0) for photo, found in judged if name in nouns(photo)]
        given = [shows(photo, name) for photo, found in judged if found.get(name, 0.0) >= DEFAULT]
        if len(asked) >= 5 or len(given) >= 5:
            precise = f"{sum(given) / len(given):.2f}" if given else "-"
            shares = f"{_share(asked):.2f} / {_share(asked, LOW):.2f}" if asked else "-"
            print(f"{name:16} {len(asked):7}  {shares:>18}  {len(given):13}  {precise:>5}")


def _share(values: list[float], least: float = DEFAULT) -> float:
    return sum(value >= least for value in values) / len(values) if values else 0.0


if __name__ == "__main__":
    main()
