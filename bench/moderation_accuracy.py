"""How well moderation tells unsafe pictures from ordinary ones, by pictures of any origin.

    python -m bench.moderation_accuracy --ordinary FOLDER --unsafe Weapons=FOLDER --unsafe Smoking=FOLDER

For every name of the taxonomy given with a folder: the AUC of its confidence against the ordinary pictures, and how
many of its pictures are called at 50 and at 60. For the ordinary pictures: how many get any label at 50 and at 60, and
which (false alarms, as far as the folder is as ordinary as it claims). Content types can be measured the same way.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openrek.settings import Settings
from openrek.vision.image import RELAXED_FORMATS, ImageError, load_image
from openrek.vision.look import Look
from openrek.vision.moderation import NODES, PICTURE_SIDE, Moderation, moderate
from openrek.vision.moderation.heads import CONTENT_TYPES
from openrek.vision.runtime import Runtime

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tiff"}


def graded(folder: Path, runtime: Runtime, most: int | None) -> Iterator[Moderation]:
    """The moderation of every picture under a folder, or of `most` of them, evenly spread."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if most and len(paths) > most:
        paths = [paths[number * len(paths) // most] for number in range(most)]
    for path in paths:
        try:
            picture = load_image(path, longest=PICTURE_SIDE, formats=RELAXED_FORMATS)
        except ImageError as error:
            print(f"{path}: {error}")
            continue
        yield moderate(Look(picture, runtime))


def confidences(found: Sequence[Moderation], name: str) -> NDArray[np.float64]:
    """One confidence a picture, 0 where the label is not given."""
    if name in CONTENT_TYPES.values():
        return np.array([{each.name: each.confidence for each in one.content_types}.get(name, 0.0) for one in found])
    return np.array([{label.name: label.confidence for label in one.labels}.get(name, 0.0) for one in found])


def auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """The chance that a positive is above a negative; equal ones count half."""
    above = (positive[:, None] > negative[None]).mean()
    return float(above + (positive[:, None] == negative[None]).mean() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ordinary", type=Path, action="append", required=True, metavar="FOLDER")
    parser.add_argument("--unsafe", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--most", type=int, help="pictures of a folder, at most")
    options = parser.parse_args()
    wanted = [(name, Path(folder)) for name, _, folder in (item.partition("=") for item in options.unsafe)]
    for name, _ in wanted:
        if name not in NODES and name not in CONTENT_TYPES.values():
            parser.error(f"{name!r} is neither a name of the taxonomy nor a content type")
    settings = Settings()
    with Runtime(cache=settings.cache, threads=settings.threads, extra_cards=settings.home / "models.d") as runtime:
        ordinary = [one for folder in options.ordinary for one in graded(folder, runtime, options.most)]
        print(f"cannot see: {'; '.join(ordinary[0].blind)}")
        for cut in (0.5, 0.6):
            called = [
                {label.name for label in one.labels if label.level == 1 and label.confidence >= cut} for one in ordinary
            ]
            kinds = ", ".join(f"{name} {count}" for name, count in Counter(n for c in called for n in c).most_common())
            share = sum(bool(names) for names in called) / len(ordinary)
            print(f"ordinary: {share:.4f} of {len(ordinary)} get a label at {cut:.0%} ({kinds or 'none'})")
        for name, folder in wanted:
            values = confidences(list(graded(folder, runtime, options.most)), name)
            shares = " and ".join(f"{(values >= cut).mean():.3f} at {cut:.0%}" for cut in (0.5, 0.6))
            print(f"{name}: AUC {auc(values, confidences(ordinary, name)):.4f} on {len(values)} pictures; {shares}")


if __name__ == "__main__":
    main()
