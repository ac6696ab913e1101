"""Precision and recall of technical cues on films made here, none of which the detectors were fitted to frame by frame.

`python -m bench.cue_accuracy [--films N] [--seed S] [--keep FOLDER]`. A cue is found where one of its kind overlaps it
by half (intersection over union); edges are compared on those.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np

from bench import cue_films as films
from bench.cue_films import Film
from openrek.vision.video import VideoReader
from openrek.vision.video.analysis import Interval, analyse
from openrek.vision.video.cues import CueAnalyser

KINDS = ("ColorBars", "OpeningCredits", "EndCredits", "Slate", "StudioLogo")
SIZES = ((640, 360), (480, 270), (720, 404), (512, 384))
RATES = (Fraction(25), Fraction(24), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(30))


def scenes(film: Film, random: Random, shots: int, seconds: tuple[float, float] = (1.2, 2.5)) -> None:
    """Programme: shots of panned photos, some with a line of text (a lower third, a subtitle, a station's mark)."""
    for _ in range(shots):
        frames = int(random.uniform(*seconds) * float(film.rate))
        paint = films.scene(film.size, random.randrange(10_000), frames)
        text = random.random()
        if text < 0.35:
            letters = films.font("DejaVuSans-Bold.ttf", film.size[1] // 16)
            rows = [(0.5, 0.9, "mm", random.choice(films.NAMES) + " said so"), (0.06, 0.8, "lm", "LIVE")]
            shown = rows[: 1 + (text < 0.1)]
            film.add(
                frames,
                lambda n, paint=paint, shown=shown, letters=letters: films.written(
                    paint(n), shown, letters, (255, 255, 255), shadow=True
                ),
            )
        else:
            film.add(frames, paint)


def make(seed: int) -> tuple[Film, str]:
    """One film: a broadcast master, a feature, or a plain clip."""
    random = Random(seed)
    film = Film(random.choice(SIZES), random.choice(RATES))
    rate, size = float(film.rate), film.size
    kind = ("master", "feature", "roll", "cards", "plain", "decoy")[seed % 6]
    if kind == "master":
        standard = random.choice(("ebu75", "ebu100", "smpte", "rp219"))
        film.add(
            int(random.uniform(2, 5) * rate),
            films.bars(size, standard, noise=random.choice((0, 4, 10)), counter=random.random() < 0.5,
                       scroll=random.choice((0, 0, 0, 1.5)) if standard.startswith("ebu") else 0,
                       pillar=random.random() < 0.3, blur=random.choice((0, 1, 2)),
                       fade=random.choice((1, 1, 0.7))),
            "ColorBars",
        )  # fmt: skip
        if random.random() < 0.6:
            film.add(int(random.uniform(0.5, 1.5) * rate), films.plain(size), "BlackFrames")
        film.add(int(random.uniform(3, 6) * rate), films.slate(size, seed, clock=random.random() < 0.4), "Slate")
        film.add(int(random.uniform(0.5, 1.5) * rate), films.plain(size), "BlackFrames")
        scenes(film, random, 5)
    elif kind in ("feature", "roll", "cards"):
        if kind == "feature":
            frames = int(random.uniform(3, 6) * rate)
            film.add(frames, films.logo(size, seed, frames), "StudioLogo")
            if random.random() < 0.5:
                frames, paint = films.cards(size, seed, random.randint(3, 5), int(2 * rate), fade=int(rate * 0.3))
                film.add(frames, paint, "OpeningCredits")
        scenes(film, random, 6)
        if kind == "cards":
            under = random.choice((None, films.plain(size, (30, 40, 70)), films.plain(size, (225, 225, 220))))
            ink = (30, 30, 30) if under is not None and under(0)[0, 0, 0] > 200 else (240, 240, 240)
            frames, paint = films.cards(size, seed, random.randint(3, 6), int(random.uniform(1.5, 3) * rate),
                                        fade=random.choice((0, int(rate * 0.4))), under=under, ink=ink,
                                        gap=random.choice((0, 5, int(rate * 0.5))))  # fmt: skip
            late = 0
        else:
            pace = size[1] / random.uniform(4, 9) / rate
            if kind == "roll" and random.random() < 0.4:
                still = films.scene(size, seed, 400)
                frames, late, paint = films.roll(size, seed, pace, random.randint(4, 7), under=lambda n: still(n) // 2)
            else:
                ground = random.choice((None, None, films.plain(size, (20, 20, 60)), films.plain(size, (90, 20, 20))))
                frames, late, paint = films.roll(size, seed, pace, random.randint(4, 8), under=ground,
                                           columns=random.choice((1, 2)))  # fmt: skip
        film.add(frames, paint, "EndCredits", late)
        if random.random() < 0.4:
            film.add(int(1 * rate), films.plain(size), "BlackFrames")
    elif kind == "plain":
        scenes(film, random, 6)
    else:  # text that is no cue: a title card, a chapter card in the middle, a ticker
        frames = int(2.5 * rate)
        scenes(film, random, 3)
        letters = films.font("DejaVuSerif.ttf", size[1] // 10)
        card = films.written(films.plain(size)(0), [(0.5, 0.5, "mm", "Chapter Two")], letters, (230, 230, 230))
        film.add(frames, lambda n: card)
        scenes(film, random, 3)
        big = films.font("DejaVuSans.ttf", size[1] // 14)
        under = films.scene(size, seed, frames)
        film.add(frames, lambda n: films.written(under(n), [(1 - n / 60, 0.93, "lm", "BREAKING: " + "news " * 9)], big,
                                                 (255, 255, 0)))  # fmt: skip
    return film, kind


def overlap(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Intersection over union of two intervals."""
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / max(1, max(a[1], b[1]) - min(a[0], b[0]))


def judge(truth: list[tuple[str, int, int]], cues: Sequence[Interval]) -> dict[str, tuple[int, int, int, list[int]]]:
    """Per kind: right, missed, invented, and the edges' errors in frames."""
    out = {}
    for kind in KINDS:
        real = [(a, b) for name, a, b in truth if name == kind]
        said = [(cue.start, cue.end) for cue in cues if cue.kind == kind]
        pairs = [(a, b) for a in real for b in said if overlap(a, b) >= 0.5]
        edges = [abs(a[i] - b[i]) for a, b in pairs for i in (0, 1)]
        out[kind] = (len(pairs), len(real) - len({a for a, _ in pairs}), len(said) - len({b for _, b in pairs}), edges)
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Make films, analyse them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args(arguments)
    total: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    edges: dict[str, list[int]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(chosen.seed, chosen.seed + chosen.films):
            film, name = make(seed)
            path = folder / f"{seed}-{name}.mp4"
            if not path.exists():
                film.write(path, quality=Random(seed).choice((18, 23, 28, 33)))
            started = time.perf_counter()
            with VideoReader.open(path) as reader:
                cues = analyse(reader, [CueAnalyser()])["cues"]
            took = time.perf_counter() - started
            wrong = []
            for kind, (right, missed, invented, off) in judge(film.truth, cues).items():
                for i, value in enumerate((right, missed, invented)):
                    total[kind][i] += value
                edges[kind] += off
                if missed or invented or max(off, default=0) > 5:
                    wrong.append(kind)
            if wrong or chosen.verbose:
                said = " ".join(f"{cue.kind}[{cue.start},{cue.end}]{cue.confidence:.2f}" for cue in cues)
                print(
                    f"{path.name} {film.size} {wrong} {took:.1f}s\n   truth {film.truth}\n   said  {said}", flush=True
                )
    print("| cue | there | found | invented | edges within 5 frames | largest error |\n|---|---:|---:|---:|---:|---:|")
    for kind in KINDS:
        right, missed, invented = total[kind]
        off = np.array(edges[kind] or [0])
        print(f"| {kind} | {right + missed} | {right} | {invented} | {np.mean(off <= 5):.0%} | {off.max()} |")


if __name__ == "__main__":
    main()
