"""`python -m bench.celebrity_accuracy --people FOLDER --strangers FOLDER`: how many faces of a gallery are named,
rightly and wrongly, and how many strangers are taken for someone. `docs/celebrities.md` quotes its table.

FOLDER holds `images.zip`, that of the people also `labels.csv` (image, name). The first `--references` photos of each
person make the gallery, by the importer's own rules; the others are recognised, by the largest face in each.

    python -m bench.celebrity_accuracy --crowd FOLDER [--every N]

shows what a larger gallery does: FOLDER's `labels.csv` has columns image and identity. Of people with two photos and
more, some are drawn for a gallery, with two photos each; everybody else is a stranger to it.
"""

import argparse
import csv
import random
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.__main__ import table
from openrek.service.celebrities import CUT, cut_for
from openrek.service.celebrity_gallery import centres, match
from openrek.service.celebrity_import import OUTLIER, face_vector
from openrek.service.celebrity_photos import UnusableError, outliers
from openrek.settings import Settings
from openrek.store.celebrities import Vectors
from openrek.vision.faces import PICTURE_SIDE, detect_faces
from openrek.vision.faces.embedding import FACE_MODEL, embed_faces
from openrek.vision.faces.similarity import cosine_for, similarity
from openrek.vision.image import load_image
from openrek.vision.runtime import Runtime
from openrek.vision.runtime.cards import Card

Floats = NDArray[np.float32]
CUTS = (80.0, 90.0, 95.0, 97.0, 99.0)


Look = Callable[[bytes, Runtime], Floats]


def largest(photo: bytes, runtime: Runtime) -> Floats:
    """The vector (D,) of a photo's largest face. Raises UnusableError where it has none."""
    picture = load_image(photo, longest=PICTURE_SIDE)
    faces = detect_faces(picture, runtime, max_faces=1)
    if not len(faces):
        raise UnusableError("no face")
    return np.asarray(embed_faces(picture, faces, runtime)[0], np.float32)


def vectors(photos: Sequence[bytes], runtime: Runtime, look: Look = largest) -> tuple[Floats, int]:
    """The vectors (N, D) of those photos that can be used, and how many cannot."""
    found = []
    for photo in photos:
        try:
            found.append(look(photo, runtime))
        except UnusableError:
            continue
    return np.array(found, np.float32), len(photos) - len(found)


def crowd_vectors(folder: Path, every: int, runtime: Runtime) -> tuple[Floats, NDArray[np.str_]]:
    """The vectors (N, D) of a crowd's largest faces, and whose they are."""
    rows = list(csv.DictReader((folder / "labels.csv").open(newline="")))[::every]
    found, owners = [], []
    with zipfile.ZipFile(folder / "images.zip") as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        for row in rows:
            try:
                found.append(largest(archive.read(names[row["image"]]), runtime))
            except UnusableError:
                continue
            owners.append(row["identity"])
    return np.array(found, np.float32), np.array(owners)


SIZES = (12, 100, 300, 600, 850)
DRAWS = 10
CROWD_HEAD = ["people", "cut", "strangers named", f"at {CUT:g}", "named rightly", f"at {CUT:g}"]


def crowd(found: Floats, owners: NDArray[np.str_], card: Card) -> list[list[str]]:
    """A line for each size of the gallery: means of DRAWS galleries."""
    random_ = np.random.default_rng(1)
    names, counts = np.unique(owners, return_counts=True)
    lines = []
    for size in SIZES:
        if size > (counts >= 2).sum():
            break
        shares = []
        for _ in range(DRAWS):
            chosen = random_.choice(names[counts >= 2], size, replace=False)
            places = [np.flatnonzero(owners == name) for name in chosen]
            known = np.concatenate([place[:2] for place in places])
            people = centres(Vectors(0, np.repeat(chosen, 2)[order := np.argsort(np.repeat(chosen, 2))],
                                     found[known][order]))  # fmt: skip
            others = match(found[~np.isin(owners, chosen)], people)
            probes = np.concatenate([place[2:] for place in places])
            named = match(found[probes], people)
            strange, sure = similarity(others.cosines, card), similarity(named.cosines, card)
            right = named.ids == owners[probes]
            cuts = (cut_for(size, card), CUT)
            shares.append([(strange >= cut).mean() for cut in cuts] + [(right & (sure >= cut)).mean() for cut in cuts])
        mean = np.mean(shares, axis=0)
        lines.append([f"{size:,}", f"{cut_for(size, card):.2f}", *(f"{share:.1%}" for share in mean)])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=Path)
    parser.add_argument("--strangers", type=Path)
    parser.add_argument("--crowd", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of the crowd, use every Nth photo only")
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--count", type=int, default=1000, help="how many strangers, picked by a fixed seed")
    options = parser.parse_args()
    runtime = Runtime(cache=Settings().cache)
    card = runtime.catalogue[FACE_MODEL]
    if options.crowd:
        print(table(CROWD_HEAD, crowd(*crowd_vectors(options.crowd, options.every, runtime), card)))
        return
    if not (options.people and options.strangers):
        parser.error("--people and --strangers are needed, or --crowd")

    photos: dict[str, list[bytes]] = defaultdict(list)
    with zipfile.ZipFile(options.people / "images.zip") as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        for row in csv.DictReader((options.people / "labels.csv").open(newline="")):
            photos[row["name"]].append(archive.read(names[row["image"]]))
    with zipfile.ZipFile(options.strangers / "images.zip") as archive:
        files = sorted(name for name in archive.namelist() if not name.endswith("/"))
        random.Random(5).shuffle(files)
        strangers, lost = vectors([archive.read(name) for name in files[: options.count]], runtime)

    ids: list[str] = []
    references: list[Floats] = []
    probes: list[Floats] = []
    truth: list[str] = []
    odd = 0
    for name in sorted(photos):
        known, missed = vectors(photos[name][: options.references], runtime, face_vector)
        strange = outliers(known, cosine_for(OUTLIER, card))
        odd += int(strange.sum())
        references.append(known[~strange])
        ids += [name] * int((~strange).sum())
        rest, more = vectors(photos[name][options.references :], runtime)
        lost += missed + more
        probes.append(rest)
        truth += [name] * len(rest)
    people = centres(Vectors(0, np.array(ids), np.concatenate(references)))
    found, others = match(np.concatenate(probes), people), match(strangers, people)
    right = found.ids == np.array(truth)
    sure, wrongly = similarity(found.cosines, card), similarity(others.cosines, card)
    print(
        f"{len(people.ids)} people, {len(ids)} references ({odd} left out as someone else), {len(truth)} photos, "
        f"{len(strangers)} strangers; {lost} photos cannot be used; closest person right: {right.mean():.1%}\n"
    )
    rows = [
        [
            f"{cut:g}" + (" (the cut)" if cut == CUT else ""),
            f"{float((right & (sure >= cut)).mean()):.1%}",
            f"{float((~right & (sure >= cut)).mean()):.2%}",
            f"{float((wrongly >= cut).mean()):.2%}",
        ]
        for cut in sorted({*CUTS, CUT})
    ]
    print(table(["least similarity", "named rightly", "named wrongly", "strangers named"], rows))


if __name__ == "__main__":
    main()
