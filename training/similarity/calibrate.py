"""Fit the scale of similarities for the face embedding, and measure it on people who took no part.

    python -m training.similarity.calibrate --data DATA

DATA holds the sets of `pairs.SETS`. Half of the people of face-attributes fit what the card's table `preprocess` calls
`centre` (half of the mean vector) and the knots of the scale; the other half and all of celebrities measure. Prints the
card's two tables, then the measured table. `--people` bounds the people read, `--threads` the cores used.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openrek.settings import Settings
from openrek.vision.faces.align import cut
from openrek.vision.faces.embedding import FACE_MODEL, Reading, cut_out, finished, raw_embeddings
from openrek.vision.faces.similarity import Scale
from openrek.vision.runtime import Model, Runtime
from training.similarity.pairs import SETS, Person, accuracy, cut_at, held_back, read, scores

Floats = NDArray[np.float32]

SHARE_OF_MEAN = 0.5
"""How much of the mean vector is taken out; for the half that fits, all of `TRIED` are printed."""

TRIED = (0.0, 0.25, 0.5, 0.75, 1.0)

BOX = 1.3
"""Side of the plain baseline's crop in sides of the detector's box, which ends at forehead and chin."""

SHARES = ((20.0, 0.1), (50.0, 0.01), (80.0, 0.0007), (99.0, 0.00006))
"""Similarity, and the share of pairs of different people that may reach it in the half that fits: for 80 and 99 below
the promised 0.001 and 0.0001, since other people are never quite alike."""


def aligned(people: Sequence[Person], model: Model, reading: Reading, runtime: Runtime) -> tuple[Floats, Floats]:
    """Raw embeddings (K, N, D) of the K crops of each face as they are, and of their mirror images."""
    parts = []
    for person in people:  # one at a time: the crops of thousands would fill the memory
        (crops,) = cut_out(person.pixels, person.landmarks[None], reading, runtime)
        parts.append(raw_embeddings(model, np.concatenate([crops, crops[:, :, ::-1]])))
    plain, mirrored = np.stack(parts).reshape(len(people), 2, -1, parts[0].shape[1]).transpose(1, 2, 0, 3)
    return plain, mirrored


def read_by(reading: Reading, plain: Floats, mirrored: Floats) -> Floats:
    """What the service adds up (N, D), of what `aligned` gives."""
    if reading.flip == "second":
        return plain[0] + mirrored[1]
    return np.asarray((plain + mirrored if reading.flip else plain).sum(axis=0), np.float32)


def boxed(people: Sequence[Person], model: Model, reading: Reading) -> Floats:
    """Raw embeddings of the detector's boxes, made square and neither turned nor shifted."""
    crops = np.zeros((len(people), reading.size, reading.size, 3), np.uint8)
    for number, person in enumerate(people):
        scale = reading.size / (BOX * float((person.box[2:] - person.box[:2]).max()))
        shift = reading.size / 2 - scale * (person.box[:2] + person.box[2:]) / 2
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
        crops[number] = cut(person.pixels, matrix, reading.size)
    return raw_embeddings(model, crops)


def knots(different: Floats) -> list[tuple[float, float]]:
    """The knots of the scale from the cosines of different people's pairs, ascending."""
    inner = [(round(cut_at(different, share) + 5e-5, 4), level) for level, share in SHARES]
    return [(-1.0, 0.0), *inner, (1.0, 100.0)]


def row(title: str, vectors: Floats, names: list[str], scale: Scale | None = None) -> str:
    """A line of the measured table."""
    same, different = scores(vectors, names)
    text = f"{title:52} accuracy {100 * accuracy(same, different):6.2f} %"
    for share in (1e-3, 1e-4):
        text += f"  true at {100 * share:g} % false {100 * (same > cut_at(different, share)).mean():6.2f} %"
    for level in (80.0, 95.0, 99.0) if scale else ():
        assert scale
        least = scale.cosine_for(level)
        true, false = (100 * (cosines >= least).mean() for cosines in (same, different))
        text += f"  >= {level:g}: true {true:.2f} %, false {false:.4f} %"
    return f"{text}  ({len(same)} and {len(different)} pairs)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, embed, fit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--people", type=int, default=900)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    runtime = Runtime(cache=Settings().cache, threads=options.threads)
    model = runtime.model(FACE_MODEL)
    reading = Reading.of(model.card)
    scale: Scale | None = None
    none = centre = np.zeros(0, np.float32)
    for name, column in SETS.items():
        people, missed = read(options.data / name, column, runtime, options.people)
        test = np.array([scale is not None or held_back(person.identity) for person in people])
        plain, mirrored = aligned(people, model, reading, runtime)
        both = read_by(reading, plain, mirrored)
        if scale is None:
            fit = [person.identity for person in people if not held_back(person.identity)]
            mean = finished(both[~test], none).mean(axis=0)
            for share in TRIED:
                print(row(f"fitting half, {share:g} of the mean taken out", finished(both[~test], share * mean), fit))
            centre = np.round(SHARE_OF_MEAN * mean, 4)
            table = knots(scores(finished(both[~test], centre), fit)[1])
            scale = Scale.through(table)
            print("centre =", [round(float(value), 4) for value in centre])
            print("similarity =", [list(pair) for pair in table])
        names = [person.identity for person, kept in zip(people, test, strict=True) if kept]
        print(f"{name}: {len(names)} pictures of {len(set(names))} people; {missed} pictures without a face found")
        print(row("detector's box, not aligned", finished(boxed(people, model, reading)[test], none), names))
        print(row("aligned by five points", finished(plain[0, test], none), names))
        print(row("with the mirror image", finished((plain + mirrored)[0, test], none), names))
        print(row("as the service reads it", finished(both[test], none), names))
        print(row("and centred, on the fitted scale", finished(both[test], centre), names, scale))
        kept = Scale.through(model.card.similarity)
        print(row("with the card's centre, on the card's scale", finished(both[test], reading.centre), names, kept))
    runtime.close()


if __name__ == "__main__":
    main()
