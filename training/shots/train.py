"""`python -m training.shots.train`: the two small networks that decide on cuts and soft transitions.

Films with known transitions are made from single-shot clips and photographs (`bench.films`), sketched as the product
does, and every suspect and span is described by the numbers the product uses. Sources are split in two halves first:
films of one half teach, films of the other measure; the shipped weights are then fitted on all of them. Clips named
with --negatives have no transition and count as such.
"""

import argparse
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from bench.films import Film, Source, clip_source, compose, look, photo_source, write_film
from bench.restless import compose_restless
from numpy.typing import NDArray
from PIL import Image
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from openrek.vision.video import VideoReader
from openrek.vision.video.cuts import REACH, suspects
from openrek.vision.video.shots import HARD_FROM, SOFT_FROM
from openrek.vision.video.sketch import Sketcher, Sketches
from openrek.vision.video.transitions import describe, spans

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
RATES = (Fraction(25), Fraction(30000, 1001), Fraction(24), Fraction(30))
NETWORKS = 6
"""Fitted for hard cuts; `Networks`."""
PIECE = 40
"""Frames of the pieces of a film whose ends are taught as ends of films."""
NEGATIVE_WEIGHT = 4
"""What real clips show is little; it counts this often."""


@dataclass
class Rows:
    """Descriptions with their labels."""

    cuts: list[NDArray[np.float64]] = field(default_factory=list)
    is_cut: list[bool] = field(default_factory=list)
    soft: list[NDArray[np.float64]] = field(default_factory=list)
    is_soft: list[bool] = field(default_factory=list)
    missed_cuts: int = 0
    missed_soft: int = 0

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(
            self.cuts + other.cuts,
            self.is_cut + other.is_cut,
            self.soft + other.soft,
            self.is_soft + other.is_soft,
            self.missed_cuts + other.missed_cuts,
            self.missed_soft + other.missed_soft,
        )


def observed(path: Path) -> tuple[NDArray[np.int64], list[bytes]]:
    """The numbers of a video's frames, and their observations."""
    sketcher = Sketcher()
    with VideoReader.open(path) as reader:
        seen = [(frame.index, sketcher.observe([frame])[0]) for frame in reader.frames()]
    return np.array([number for number, _ in seen]), [observation for _, observation in seen]


def rows_of(path: Path, film: Film, weight: int = 1) -> Rows:
    """What the product would decide on in a film, with the truth."""
    frames, seen = observed(path)
    sketches, rows = Sketches(frames, seen), Rows()
    places, described = suspects(sketches)
    rows.cuts, rows.is_cut = list(described) * weight, [int(place) in film.cuts for place in places] * weight
    rows.missed_cuts = len(set(film.cuts) - set(places.tolist()))
    for low in range(0, len(seen) - PIECE, PIECE):  # a film may end anywhere
        places, described = suspects(Sketches(frames[low : low + PIECE], seen[low : low + PIECE]))
        last = places >= PIECE - REACH
        rows.cuts += list(described[last])
        rows.is_cut += [int(place) + low in film.cuts for place in places[last]]
    edges, found = [0, *film.cuts, len(sketches.frames)], set()
    for low, high in pairwise(edges):
        for first, last in spans(sketches, low, high):
            shared = [min(last, b) - max(first, a) + 1 for _, a, b in film.soft]
            lengths = [b - a + 1 for _, a, b in film.soft]
            right = [
                n
                for n, (both, length) in enumerate(zip(shared, lengths, strict=True))
                if both >= 0.5 * min(last - first + 1, length) and both >= 0.4 * (last - first + 1)
            ]
            if not right and any(both > 0 for both in shared):
                continue  # neither right nor wrong
            found.update(right)
            rows.soft += [describe(sketches, first, last, low, high)] * weight
            rows.is_soft += [bool(right)] * weight
    rows.missed_soft = len(film.soft) - len(found)
    return rows


def make(path: Path, sources: Sequence[Source], seed: int, number: int, restless: bool) -> Film:
    """One film of these sources, of the usual kind or of short shots and fast movement."""
    rng, film = np.random.default_rng([seed, number, restless]), Film()
    usual = look(compose(sources, 45, rng, film), rng, film)  # makes nothing until it is asked to
    frames = compose_restless(sources, 70, rng, film) if restless else usual
    write_film(path, frames, RATES[number % 4], int(rng.choice([18, 24, 30, 36])))
    return film


def made(sources: Sequence[Source], usual: int, restless: int, seed: int, folder: Path) -> Iterator[tuple[Path, Film]]:
    """So many films of each kind."""
    for number in range(usual + restless):
        path = folder / f"{seed}-{number}.mp4"
        yield path, make(path, sources, seed, number, number >= usual)
        path.unlink()


def photographs(folder: Path, each: int, rng: np.random.Generator) -> list[Source]:
    """Some pictures of every images.zip below a folder."""
    found: list[Source] = []
    for archive in sorted(folder.glob("*/images.zip")):
        with zipfile.ZipFile(archive) as file:
            names = sorted(
                name for name in file.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png", ".webp"))
            )
            for name in rng.choice(names, min(each, len(names)), replace=False):
                picture = Image.open(io.BytesIO(file.read(str(name)))).convert("RGB")
                if min(picture.size) >= 150:
                    found.append(photo_source(str(name), np.asarray(picture)))
    return found


class Networks:
    """Networks that begin from different numbers; their mean is one network with all their hidden units."""

    def __init__(self, count: int) -> None:
        self.scaler = StandardScaler()
        self.nets = [MLPClassifier((16,), alpha=0.3, max_iter=3000, random_state=seed) for seed in range(count)]

    def fit(self, described: NDArray[np.float64], truth: NDArray[np.bool_]) -> "Networks":
        scaled = self.scaler.fit_transform(described)
        for net in self.nets:
            net.fit(scaled, truth)
        return self

    def probability(self, described: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = self.scaler.transform(described)
        active = [np.maximum(scaled @ net.coefs_[0] + net.intercepts_[0], 0) for net in self.nets]
        logits = [a @ net.coefs_[1][:, 0] + net.intercepts_[1] for a, net in zip(active, self.nets, strict=True)]
        return np.asarray(1 / (1 + np.exp(-np.mean(logits, axis=0))), np.float64)

    def weights(self) -> dict[str, Any]:
        return {
            "mean": self.scaler.mean_.round(4).tolist(),
            "scale": self.scaler.scale_.round(4).tolist(),
            "hidden": np.concatenate([net.coefs_[0] for net in self.nets], axis=1).round(4).tolist(),
            "bias": np.concatenate([net.intercepts_[0] for net in self.nets]).round(4).tolist(),
            "out": np.concatenate([net.coefs_[1][:, 0] / len(self.nets) for net in self.nets]).round(4).tolist(),
            "offset": round(float(np.mean([net.intercepts_[1][0] for net in self.nets])), 4),
        }


def report(name: str, truth: Sequence[bool], sure: NDArray[np.float64], least: float, missed: int) -> None:
    """Precision, recall and F1; what never became a candidate counts as missed."""
    right, said = np.array(truth), sure >= least
    hits, wrong, lost = int((right & said).sum()), int((~right & said).sum()), int((right & ~said).sum()) + missed
    print(f"{name}: P {hits / max(1, hits + wrong):.3f} R {hits / max(1, hits + lost):.3f}", end=" ")
    print(f"F1 {2 * hits / max(1, 2 * hits + wrong + lost):.3f} ({hits} right, {wrong} false, {lost} missed)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="videos of one shot each")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of sets with images.zip")
    parser.add_argument("--negatives", type=Path, nargs="*", default=[], help="videos without a transition")
    parser.add_argument("--films", type=int, default=8, help="films of each half")
    parser.add_argument("--restless", type=int, default=16, help="films of each half of short shots and fast movement")
    parser.add_argument("--cuts-only", action="store_true", help="leave the transitions of --out as they are")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("src/openrek/vision/video/shots.json"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    sources = [*map(clip_source, options.clips), *photographs(options.pictures, 40, rng)]
    sources = [sources[i] for i in rng.permutation(len(sources)) if len(sources[i].pixels) != 2]
    halves: list[Rows] = []
    for half in (0, 1):
        rows = Rows()
        for path, film in made(sources[half::2], options.films, options.restless, half + 1, options.work):
            rows += rows_of(path, film)
            print(f"film of {film.frames} frames, {len(film.cuts)} cuts, {len(film.soft)} soft", flush=True)
        halves.append(rows)
    teach, test = halves
    for name, x, y, u, v, least, missed in (
        ("hard cuts", teach.cuts, teach.is_cut, test.cuts, test.is_cut, HARD_FROM, test.missed_cuts),
        ("soft transitions", teach.soft, teach.is_soft, test.soft, test.is_soft, SOFT_FROM, test.missed_soft),
    ):
        fitted = Networks(NETWORKS).fit(np.array(x), np.array(y))
        report(f"{name}, films of the other half", v, fitted.probability(np.array(u)), least, missed)
    both = teach + test
    for path in options.negatives:
        both += rows_of(path, Film(), NEGATIVE_WEIGHT)
    final = {"cuts": Networks(NETWORKS).fit(np.array(both.cuts), np.array(both.is_cut)).weights()}
    if options.cuts_only:
        final["transitions"] = json.loads(options.out.read_text("utf-8"))["transitions"]
    else:
        final["transitions"] = Networks(1).fit(np.array(both.soft), np.array(both.is_soft)).weights()
    options.out.write_text(_readable(final) + "\n", "utf-8")


def _readable(value: Any, indent: int = 0) -> str:
    """JSON with a row of weights a line."""
    space = " " * (indent + 1)
    if isinstance(value, dict):
        rows = [f"{space}{json.dumps(key)}: {_readable(inner, indent + 1)}" for key, inner in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n" + ",\n".join(f"{space}{json.dumps(row)}" for row in value) + "\n" + " " * indent + "]"
    return json.dumps(value)


if __name__ == "__main__":
    main()
