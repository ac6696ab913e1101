"""`python -m bench.face_pipeline [--data FOLDER] [--write FILE]`: faces a second, against dlib's pipeline in one run.

What is timed is what an application does with a picture of people: find the faces, read all attributes and 30 landmarks
of each, and embed each. dlib's pipeline is that of the package face_recognition: its histogram-of-gradients detector on
the picture enlarged once, five points, one embedding a face; it has no attributes. It runs where dlib is installed
(`pip install dlib-bin`, for this benchmark alone); its points come out of the package that the embedding comes from.

Both get the same decoded pictures, in turns, picture by picture, in processes that are pinned to one core each: on one
core, then on all cores at once. What counts is the time that the core worked for the process, so that others on the
machine change the absolutes little. Recall, where FOLDER is given, is over the hand-drawn boxes of `face-mask-boxes`
(street and crowd photos of at most 400 pixels, most faces behind a mask), of all sizes and of those at least 40 pixels
high.
"""

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.__main__ import machine, put, table
from bench.face_accuracy import crowds
from bench.photo import photo_1080p
from openrek.settings import Settings
from openrek.vision import geometry
from openrek.vision.faces import PICTURE_SIDE, detect_faces
from openrek.vision.faces.attributes import Trait, face_attributes
from openrek.vision.faces.embedding import embed_faces
from openrek.vision.image import Picture, load_image
from openrek.vision.runtime import Runtime
from openrek.vision.runtime.catalogue import Catalogue

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float64]
Pipeline = Callable[[Pixels], Boxes]
"""Finds, reads and embeds the faces of a picture (H, W, 3); their boxes (N, 4)."""

FOUND: Final = 0.4
"""IoU with the box drawn by hand."""
LARGE: Final = 40.0

_POINTS_CARD: Final = """
name = "dlib-points"
task = "reference"
version = "1"
licence = "CC0-1.0"
summary = "dlib's five points."
training_data = "A few thousand faces that dlib's author marked."
file = "shape_predictor_5_face_landmarks.dat"
sha256 = "{sha256}"
size = {size}
sources = ["pypi:face-recognition-models==0.3.0!face_recognition_models/models/shape_predictor_5_face_landmarks.dat"]
"""
_POINTS_SHA256: Final = "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"
_POINTS_SIZE: Final = 9_150_489


@dataclass
class Scene:
    """A picture, and the boxes drawn by hand, where there are any."""

    pixels: Pixels
    boxes: Boxes | None


@dataclass
class Tally:
    """What one pipeline did."""

    pictures: int = 0
    seconds: float = 0.0
    found: int = 0
    drawn: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    met: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})

    def add(self, seconds: float, boxes: Boxes, drawn: Boxes | None) -> None:
        self.pictures += 1
        self.seconds += seconds
        self.found += len(boxes)
        if drawn is None:
            return
        overlap = geometry.iou(drawn.astype(np.float32), boxes.astype(np.float32))
        met = overlap.max(axis=1, initial=0) >= FOUND
        for large, seen in zip(drawn[:, 3] - drawn[:, 1] >= LARGE, met, strict=True):
            for kind in {False, bool(large)}:
                self.drawn[kind] += 1
                self.met[kind] += bool(seen)


# --- the two pipelines ------------------------------------------------------------------------------------------------


def ours() -> Pipeline:
    settings = Settings()
    runtime = Runtime(cache=settings.cache, offline=settings.offline, mirror=settings.model_mirror,
                      index_url=settings.index_url, threads=1)  # fmt: skip

    def run(pixels: Pixels) -> Boxes:
        picture = Picture(pixels, pixels.shape[1], pixels.shape[0])
        faces = detect_faces(picture, runtime)
        if len(faces):
            found = face_attributes(picture, faces, runtime, set(Trait))
            embed_faces(picture, faces, runtime, thirty=found.landmarks)
        return faces.boxes.astype(np.float64)

    return run


def dlibs() -> Pipeline:
    import dlib

    points, embedding = reference_files()
    detector: Any = dlib.get_frontal_face_detector()
    predictor: Any = dlib.shape_predictor(str(points))
    encoder: Any = dlib.face_recognition_model_v1(str(embedding))

    def run(pixels: Pixels) -> Boxes:
        found = detector(pixels, 1)
        for face in found:
            encoder.compute_face_descriptor(pixels, predictor(pixels, face), 1)
        edges = [[face.left(), face.top(), face.right() + 1, face.bottom() + 1] for face in found]
        return np.array(edges, np.float64).reshape(-1, 4)

    return run


def reference_files() -> tuple[Path, Path]:
    """The files of dlib's five points and of its embedding, fetched where they are not in the cache."""
    settings = Settings()
    with tempfile.TemporaryDirectory() as folder:
        card = _POINTS_CARD.format(sha256=_POINTS_SHA256, size=_POINTS_SIZE)
        (Path(folder) / "dlib-points.toml").write_text(card)
        catalogue = Catalogue(Path(folder))
        cards = [catalogue["dlib-points"], catalogue["face-embedding"]]
        runtime = Runtime(cache=settings.cache, offline=settings.offline, mirror=settings.model_mirror,
                          index_url=settings.index_url, extra_cards=Path(folder))  # fmt: skip
        with contextlib.closing(runtime):
            runtime.library.pull(cards)
            points, embedding = (runtime.library.cache.original(card) for card in cards)
    return points, embedding


# --- running ----------------------------------------------------------------------------------------------------------


def take_turns(core: int, scenes: Sequence[Scene], rounds: int, with_dlib: bool, results: Any) -> None:
    """On one core: each picture by each pipeline, in turns; the first picture warms up."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    pipelines = {"openrek": ours()} | ({"dlib": dlibs()} if with_dlib else {})
    tallies = {name: Tally() for name in pipelines}
    for pipeline in pipelines.values():
        pipeline(scenes[0].pixels)
    for _ in range(rounds):
        for scene in scenes:
            for name, pipeline in pipelines.items():
                started = time.process_time()
                boxes = pipeline(scene.pixels)
                tallies[name].add(time.process_time() - started, boxes, scene.boxes)
    results.put(tallies)


def measure(cores: Sequence[int], scenes: Sequence[Scene], rounds: int, with_dlib: bool) -> list[dict[str, Tally]]:
    """Every core works on all scenes at the same time."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    arguments = [(core, scenes, rounds, with_dlib, results) for core in cores]
    processes = [context.Process(target=take_turns, args=each) for each in arguments]
    for process in processes:
        process.start()
    tallies = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return tallies


def report(title: str, scenes: Sequence[Scene], rounds: int, with_dlib: bool) -> str:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    rows = []
    for count in dict.fromkeys((1, len(cores))):
        tallies = measure(cores[:count], scenes, rounds, with_dlib)
        speeds = {name: sum(each[name].pictures / each[name].seconds for each in tallies) for name in tallies[0]}
        for name in tallies[0]:
            faces = sum(each[name].found / each[name].seconds for each in tallies)
            one = tallies[0][name]
            recalls = [f"{one.met[kind] / one.drawn[kind]:.1%}" if one.drawn[kind] else "" for kind in (False, True)]
            ratio = f"**{speeds[name] / speeds['dlib']:.1f}x**" if with_dlib else ""
            rows.append([name, str(count), f"{1000 * count / speeds[name]:.0f} ms", f"{faces:.1f}", ratio, *recalls])
    header = ["pipeline", "cores", "a picture", "faces found a second", "pictures against dlib's", "recall"]
    return f"### {title}\n\n" + table([*header, f"recall, {LARGE:.0f} px and more"], rows)


def scenes_of(data: Path, every: int) -> Iterator[Scene]:
    for _, pixels, boxes in crowds(data, every):
        yield Scene(np.ascontiguousarray(pixels), boxes)


def section(data: Path | None, every: int, rounds: int) -> str:
    """The part of docs/benchmarks.md."""
    with_dlib = find_spec("dlib") is not None
    photo = load_image(photo_1080p(), longest=PICTURE_SIDE).pixels
    parts = [
        "## Faces a second: find, read all attributes, embed",
        "Against the pipeline of the package face_recognition (dlib: detector on the picture enlarged once, five "
        "points, embedding; no attributes), in turns, a process a core, in processor time."
        if with_dlib
        else "dlib is not installed (`pip install dlib-bin`): there is nothing to compare with in this run.",
        report("The 1080p mosaic of photos", [Scene(photo, None)], 3 * rounds, with_dlib),
    ]
    if data is not None:
        scenes = list(scenes_of(data, every))
        parts.append(report(f"{len(scenes)} street and crowd photos of at most 400 px", scenes, 1, with_dlib))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the labelled sets (bench.face_accuracy)")
    parser.add_argument("--every", type=int, default=4, metavar="N", help="use every Nth picture only")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="put the tables into this Markdown file")
    options = parser.parse_args()
    text = section(options.data, options.every, options.rounds)
    print(machine(), text, sep="\n\n")
    if options.write:
        put(options.write, [text])


if __name__ == "__main__":
    main()
