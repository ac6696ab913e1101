"""Measure the scale of similarities on press photos.

    python -m training.similarity.press --lfw FOLDER --pairs pairs.txt

FOLDER holds Labeled Faces in the Wild (Huang et al. 2007: FOLDER/Some_Name/Some_Name_0001.jpg, 250 x 250), `pairs.txt`
its published pairs; the pictures of the first `--most` pairs of each kind are read. Prints the accuracy on them, the
cosines that given shares of all pairs of two people reach (one photo of each person), and what the card's scale lets
through. The card's knots are placed by these numbers; see README.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from openrek.settings import Settings
from openrek.vision.faces.embedding import FACE_MODEL, Reading, finished
from openrek.vision.faces.similarity import Scale
from openrek.vision.runtime import Runtime
from training.similarity.calibrate import Floats, aligned, read_by
from training.similarity.pairs import Person, accuracy, cut_at, scores, seen

SHARES = (0.1, 0.01, 0.001, 0.0001)
"""Of pairs of two people."""

Photo = tuple[str, int]


def published(table: Path, most: int) -> tuple[list[tuple[Photo, Photo]], list[tuple[Photo, Photo]]]:
    """The first `most` pairs of one person, and of two people, each photo as (name, number)."""
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    one = [((row[0], int(row[1])), (row[0], int(row[2]))) for row in rows if len(row) == 3]
    two = [((row[0], int(row[1])), (row[2], int(row[3]))) for row in rows if len(row) == 4]
    return one[:most], two[:most]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, embed, fit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--most", type=int, default=3000)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    runtime = Runtime(cache=Settings().cache, threads=options.threads)
    model = runtime.model(FACE_MODEL)
    reading = Reading.of(model.card)
    one, two = published(options.pairs, options.most)
    photos = sorted({photo for pair in [*one, *two] for photo in pair})
    people: list[Person] = []
    places: dict[Photo, int] = {}
    for name, number in photos:
        pixels = cv2.imread(str(options.lfw / name / f"{name}_{number:04d}.jpg"))
        if pixels is None:
            continue  # some copies lack a few
        person = seen(name, np.ascontiguousarray(pixels[:, :, ::-1]), runtime)
        if person is not None:
            places[name, number] = len(people)
            people.append(person)
    print(f"{len(people)} of {len(photos)} photos have a face; {len({person.identity for person in people})} people")
    plain, mirrored = aligned(people, model, reading, runtime)
    vectors = finished(read_by(reading, plain, mirrored), reading.centre)

    def cosines(pairs: list[tuple[Photo, Photo]]) -> Floats:
        known = [(places[a], places[b]) for a, b in pairs if a in places and b in places]
        return np.array([vectors[a] @ vectors[b] for a, b in known], np.float32)

    same, different = cosines(one), np.sort(cosines(two))
    print(
        f"accuracy on {len(same)} and {len(different)} published pairs: {100 * accuracy(same, different):.2f} %; "
        f"true pairs where 0.1 % of those of two people pass: {100 * (same > cut_at(different, 1e-3)).mean():.2f} %"
    )
    _, first = np.unique([person.identity for person in people], return_index=True)
    others = scores(vectors[first], [people[index].identity for index in first])[1]
    for share in SHARES:
        print(f"{100 * share:g} % of {len(others)} pairs of two people reach a cosine of {cut_at(others, share):.4f}")
    scale = Scale.through(model.card.similarity)
    for level in (80.0, 90.0, 95.0, 99.0):
        least = scale.cosine_for(level)
        print(
            f"similarity {level:g} (cosine {least:.4f}): {100 * (same >= least).mean():.2f} % of the true pairs, "
            f"{(different >= least).sum()} of the published pairs of two people, "
            f"{100 * (others >= least).mean():.4f} % of all"
        )
    runtime.close()


if __name__ == "__main__":
    main()
