"""Measure how alike faces are to users, whose vector is made of several faces.

    python -m training.similarity.users --data DATA

DATA holds the sets of `pairs.SETS`; of people with at least `--pictures` pictures, users are made of some by chance,
the person's other pictures are its own and those of all others are strangers. Prints which shares of them reach
similarity 80 by the card's scale, beside those of pairs of two faces, with cosines to the mean's direction times
powers of the mean's length: 0 is the direction alone, 1 the mean of the cosines to the faces, `openrek.store.users`
has another.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openrek.settings import Settings
from openrek.vision.faces.embedding import FACE_MODEL, Reading, finished
from openrek.vision.faces.similarity import scale_of
from openrek.vision.runtime import Runtime
from training.similarity.calibrate import Floats, aligned, read_by
from training.similarity.pairs import SETS, read, scores

FACES = (2, 3, 4, 8, 16)
"""Of a user."""
POWERS = (0.0, 0.5, 0.75, 1.0)
ROUNDS = 10
LEVEL = 80.0


def users_of(vectors: Floats, names: list[str], faces: int, random: np.random.Generator) -> list[Sequence[int]]:
    """Row numbers of `faces` pictures of each person that has more than those, by chance."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return [random.permutation(own)[:faces].tolist() for own in rows.values() if len(own) > faces]


def reached(
    vectors: Floats, names: list[str], faces: int, power: float, least: float
) -> tuple[int, float, float, float]:
    """How many users, and which shares of their own other pictures, of strangers' and of other users reach `least`."""
    random = np.random.default_rng(1)
    people = np.array(names)
    own, strangers, others, count = [], [], [], 0
    for _ in range(ROUNDS):
        users = users_of(vectors, names, faces, random)
        count = len(users)
        if not count:
            break
        means = np.stack([vectors[rows].mean(axis=0) for rows in users])
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        weighted = means * lengths ** (power - 1)
        cosines = weighted @ vectors.T
        same = people[[rows[0] for rows in users]][:, None] == people[None]
        strangers.append(cosines[~same])
        for number, rows in enumerate(users):
            same[number, rows] = False
        own.append(cosines[same])
        others.append((weighted @ weighted.T)[np.triu_indices(count, 1)])
    shares = [float((np.concatenate(part) >= least).mean()) if count else 0.0 for part in (own, strangers, others)]
    return count, shares[0], shares[1], shares[2]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, embed, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    runtime = Runtime(cache=Settings().cache, threads=options.threads)
    model = runtime.model(FACE_MODEL)
    reading = Reading.of(model.card)
    least = scale_of(model.card).cosine_for(LEVEL)
    for name, column in SETS.items():
        people, _ = read(options.data / name, column, runtime, 10_000, options.pictures)
        vectors = finished(read_by(reading, *aligned(people, model, reading, runtime)), reading.centre)
        names = [person.identity for person in people]
        same, different = scores(vectors, names)
        kept, let_in = (100 * float((cosines >= least).mean()) for cosines in (same, different))
        whose = f"{len(names)} pictures of {len(set(names))} people"
        print(f"{name}: {whose}; pairs true {kept:.1f} %, false {let_in:.3f} %")
        for faces in FACES:
            for power in POWERS:
                count, own, strangers, others = reached(vectors, names, faces, power, least)
                if count > 1:
                    print(
                        f"{count:4} users of {faces:2} faces, power {power:4}: true {100 * own:5.1f} %, "
                        f"false {100 * strangers:.3f} %, two users {100 * others:.3f} %"
                    )
    runtime.close()


if __name__ == "__main__":
    main()
