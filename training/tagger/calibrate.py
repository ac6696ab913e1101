"""Fit the tagger's calibration: the confidence that a score deserves, measured on photos of other sources.

    python -m training.tagger.calibrate --data DATA --model tagger.onnx

DATA holds `objects-101` and `street-boxes` (see photos.py). Scores are sorted into bins, the two sources weigh alike in
each, and a bin's share of true labels becomes the confidence at its mean score (histogram binning, Zadrozny and Elkan
2001, with straight lines between the bins; the shares are made monotone first). Writes calibration.json.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from openrek.vision.backbone import STRIDE, fit, regions
from openrek.vision.labels.tagger import CLASSES, Members, label_scores
from openrek.vision.labels.taxonomy import Taxonomy, taxonomy
from openrek.vision.runtime.session import Session
from training.tagger.measure import Pairs, pairs
from training.tagger.photos import Photo, objects, street

HERE = Path(__file__).parent
EDGES = (0.02, 0.08, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.93, 1.001)


def scored(photos: Iterable[Photo], session: Session, table: Taxonomy) -> Iterator[tuple[Photo, Mapping[str, float]]]:
    """Each photo with the scores of all labels that the model reaches."""
    membership = table.membership("tagger", CLASSES)
    reached = np.flatnonzero(membership.sum(axis=1))
    names = [list(table)[i] for i in reached]
    members = Members.of(membership[reached])
    for photo in photos:
        pixels = fit(photo.pixels)
        rows, columns = (side // STRIDE for side in pixels.shape[:2])
        (logits,) = session.run({"pixels": pixels[None], "regions": regions(rows, columns)[None]}, ("logits",))
        yield photo, dict(zip(names, label_scores(logits[0], members).tolist(), strict=True))


def knots(sources: Iterable[Pairs]) -> list[list[float]]:
    """[[score, confidence], ...] from 0 to 1, both rising."""
    judged = list(sources)
    points: list[tuple[float, float, float]] = []
    for low, high in pairwise(EDGES):
        chosen = [(each.values >= low) & (each.values < high) for each in judged]
        weights = [1 / each.truth.sum() for each in judged]  # as many true labels from each source
        total = sum(w * c.sum() for w, c in zip(weights, chosen, strict=True))
        score = sum(w * e.values[c].sum() for w, e, c in zip(weights, judged, chosen, strict=True)) / total
        share = sum(w * e.truth[c].sum() for w, e, c in zip(weights, judged, chosen, strict=True)) / total
        points.append((float(score), float(share), float(total)))
    rising = _monotone([share for _, share, _ in points], [total for _, _, total in points])
    inner = [[round(score, 4), round(share, 4)] for (score, _, _), share in zip(points, rising, strict=True)]
    return [[0.0, 0.0], *inner, [1.0, max(0.995, inner[-1][1])]]


def _monotone(values: list[float], weights: list[float]) -> list[float]:
    """The closest rising values (pool adjacent violators)."""
    groups: list[list[float]] = []  # value, weight, length
    for value, weight in zip(values, weights, strict=True):
        groups.append([value, weight, 1])
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            last, before = groups.pop(), groups.pop()
            weight = last[1] + before[1]
            groups.append([(last[0] * last[1] + before[0] * before[1]) / weight, weight, last[2] + before[2]])
    return [value for value, _, length in groups for _ in range(int(length))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    table = taxonomy()
    seen = frozenset(name for name, sources in table.sources.items() if "tagger" in sources)
    session = Session("tagger", options.model, options.threads)
    judged = [pairs(scored(read(options.data), session, table), table, seen) for read in (objects, street)]
    fitted = knots(judged)
    (HERE / "calibration.json").write_text(json.dumps({"knots": fitted}, indent=1) + "\n")
    for score, confidence in fitted:
        print(f"score {score:.3f} -> confidence {confidence:.3f}")


if __name__ == "__main__":
    main()
