"""Fit the scale of similarities on press photos, and measure it on people who took no part.

    python -m training.similarity.press --lfw FOLDER --pairs pairs.txt

FOLDER holds Labeled Faces in the Wild (Huang et al. 2007: FOLDER/Some_Name/Some_Name_0001.jpg, 250 x 250), `pairs.txt`
its published pairs. The pictures of the first `--most` pairs of each kind are read; half of the people, by a hash of
their name, fit the knots of the scale at the card's `centre`, and the other half measure: all pairs of two people, and
the published pairs of one. Prints the card's table, then the measured lines.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.settings import Settings
from openrek.vision.faces.embedding import FACE_MODEL, Reading, finished
from openrek.vision.faces.similarity import Scale
from openrek.vision.runtime import Runtime
from training.similarity.calibrate import Floats, aligned, read_by
from training.similarity.pairs import Person, accuracy, cut_at, held_back, scores, seen

SHARES = ((20.0, 0.1), (50.0, 0.01), (80.0, 0.0007), (99.0, 0.00006))
"""Similarity, and the share of pairs of different people that may reach it in the half that fits: for 80 and 99 below
the promised 0.001 and 0.0001, since other people are never quite alike."""

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
    test = np.array([held_back(person.identity) for person in people])

    def half(chosen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        names = [person.identity for person, kept in zip(people, chosen, strict=True) if kept]
        return scores(vectors[chosen], names)

    inner = [(round(cut_at(half(~test)[1], share) + 5e-5, 4), level) for level, share in SHARES]
    knots = [(-1.0, 0.0), *inner, (1.0, 100.0)]
    print("similarity =", [list(pair) for pair in knots])

    def cosines(pairs: list[tuple[Photo, Photo]], whole: bool) -> Floats:
        known = [(places[a], places[b]) for a, b in pairs if a in places and b in places]
        known = [(a, b) for a, b in known if whole or (test[a] and test[b])]
        return np.array([vectors[a] @ vectors[b] for a, b in known], np.float32)

    same, different = cosines(one, True), np.sort(cosines(two, True))
    print(
        f"accuracy on {len(same)} and {len(different)} published pairs: {100 * accuracy(same, different):.2f} %; "
        f"true pairs where 0.1 % of those of two people pass: {100 * (same > cut_at(different, 1e-3)).mean():.2f} %"
    )
    same, others = cosines(one, False), half(test)[1]
    for title, scale in (("fitted", Scale.through(knots)), ("the card's", Scale.through(model.card.similarity))):
        for level in (80.0, 99.0):
            least = scale.cosine_for(level)
            print(
                f"{title} scale, >= {level:g} (cosine {least:.4f}): {100 * (same >= least).mean():.2f} % of "
                f"{len(same)} true pairs, {100 * (others >= least).mean():.4f} % of {len(others)} pairs of two people, "
                f"{(different >= least).sum()} of {len(different)} published pairs of two people"
            )
    runtime.close()


if __name__ == "__main__":
    main()
