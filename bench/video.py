"""`python -m bench.video [--write FILE] [--media FOLDER] [--other FOLDER] [PART...]`: stored video, speed and accuracy.

speed: only decoding with PyAV, each analyser, PySceneDetect's AdaptiveDetector and ContentDetector, and FFmpeg's
    blackdetect, in turns, each in a process of its own, on one core and on two.
cuts: hard cuts found, ours and PySceneDetect's, in the media's clips, in films made from them (`bench.films` and
    `bench.restless`), and in the films of `--other`, a folder with a truth.json like the media's.
analysers: what each analyser of `openrek video analyze` takes for a clip of 720 lines, alone and all in one run, on one
    core and on two, each in a process of its own.
black: black runs, ours and blackdetect's, in the media's clips.
length: time and memory against length: films of 1, 10 and 60 minutes (`--longest 360` adds six hours), and the people
    of 1 and 4 hours.

Without parts, all of them: about ten minutes on two quiet cores.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, Literal, cast

import av
import numpy as np

from bench.films import Film, Source, clip_source, compose, look, photo_source, write_film
from bench.restless import compose_restless
from openrek.vision.image import load_image

MEDIA = Path(os.environ.get("OPENREK_TEST_MEDIA") or Path(__file__).parents[2] / "shared" / "media")
SINGLE_SHOTS = ("basketball", "cctv-fi005", "cctv-fi028", "cctv-fi032", "cctv-fi085", "cctv-nofi003", "h264-444")
UNLISTED = {"video/fades-through-black.mp4": [("dissolve", 530, 556)]}
"""Soft transitions that are plainly there but not in the truth."""

SPEED_CLIPS = ("fades-through-black", "six-people-one-by-one", "bars-sd-burnt-timecode", "bars-hd", "fades-synthetic")
ANALYSED_CLIP = "slate-wipe-host"
"""A slate, and somebody who speaks: every analyser has something to find."""
ANALYSERS = ("labels", "faces", "people", "text", "moderation")
TOGETHER = ("shots", "cues", "shots+cues", *ANALYSERS, "+".join(("shots", "cues", *ANALYSERS)))
"""What is measured of it: analysers that share one decode are joined by a plus."""
SEE = "see:"

PARTS = ("speed", "analysers", "cuts", "black", "length")
ALONE = ("decode", "default", "shots+cues", "adaptive")
"""What is measured on one core too."""
MEASURES = ("decode", "default", "shots", "cues", "shots+cues", "adaptive", "content", "blackdetect")
NAMES = {
    "decode": "PyAV, only decoding, with threads for frames",
    "default": "PyAV, only decoding, as it comes",
    "shots": "openrek shots",
    "cues": "openrek cues",
    "shots+cues": "openrek shots and cues",
    "adaptive": "PySceneDetect AdaptiveDetector",
    "content": "PySceneDetect ContentDetector",
    "blackdetect": "FFmpeg blackdetect",
}


# --- what is measured; each returns what it found ---------------------------------------------------------------------


def decode(path: Path, threads: Literal["AUTO", "SLICE"] = "AUTO") -> list[int]:
    """Decode every frame; SLICE is PyAV's own default, AUTO lets several frames be decoded at once."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = threads
        return [sum(1 for _ in container.decode(stream))]


def analysed(path: Path, names: str) -> dict[str, Any]:
    from openrek.vision.video import Analyser, VideoReader, analyse
    from openrek.vision.video.cues import CueAnalyser
    from openrek.vision.video.shots import ShotDetector

    made: dict[str, Callable[[], Analyser]] = {"shots": ShotDetector, "cues": CueAnalyser}
    with VideoReader.open(path) as reader:
        return analyse(reader, [made[name]() for name in names.split("+")])


def ready_to_see(path: Path, names: str) -> Callable[[], dict[str, Any]]:
    """The analysis of a video by parts of `openrek video analyze`, with their models loaded; results by name."""
    from openrek.cli.video_parts import PARTS as ALL
    from openrek.service.services import Services
    from openrek.service.video_analysers.base import Looks
    from openrek.settings import Settings
    from openrek.vision.video import VideoReader, analyse, observe

    home = tempfile.TemporaryDirectory(prefix="openrek-bench-")
    settings = Settings(home=Path(home.name))
    services = Services(settings)
    looks = Looks(services)
    analysers = [ALL[name].analyser(looks, settings) for name in names.split("+")]
    with VideoReader.open(path) as reader:
        middle, second = reader.info.frames // 2, round(reader.info.rate)
        for first in (0, middle):
            observe(reader, analysers, first, first + second)

    def see() -> dict[str, Any]:
        with home, closing(services), VideoReader.open(path) as again:
            found = analyse(again, analysers)
            return {name: list(found[ALL[name].result]) for name in names.split("+")}

    return see


def cuts_of(path: Path) -> list[int]:
    """Hard cuts by openrek: frames at which one shot ends and the next begins."""
    shots = analysed(path, "shots")["shots"]
    return [after.start for before, after in pairwise(shots) if after.start == before.end + 1]


def starts_of(path: Path) -> list[int]:
    return [shot.start for shot in analysed(path, "shots")["shots"][1:]]


def scenes_of(path: Path, detector: str) -> list[int]:
    from scenedetect import AdaptiveDetector, ContentDetector, detect

    made = {"adaptive": AdaptiveDetector, "content": ContentDetector}[detector]()
    return [scene[0].frame_num for scene in detect(str(path), made)[1:]]


def blackdetect(path: Path) -> list[tuple[float, float]]:
    """Runs of black (start, end) in seconds by FFmpeg's filter, at its defaults but for runs of any length."""
    runs: list[tuple[float, float]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        graph = av.filter.Graph()
        source = graph.add_buffer(template=stream)
        black = graph.add("blackdetect", "d=0.01")
        source.link_to(black)
        black.link_to(graph.add("buffersink"))
        graph.configure()
        start: float | None = None
        for frame in container.decode(stream):
            graph.push(frame)
            told = graph.pull().metadata
            if "lavfi.black_start" in told:
                start = float(told["lavfi.black_start"])
            if "lavfi.black_end" in told and start is not None:
                runs.append((start, float(told["lavfi.black_end"])))
                start = None
        if start is not None:
            runs.append((start, float(frame.time or 0)))
    return runs


def people(hours: Fraction) -> int:
    """Follow two people who are seen five times a second, with their faces; how many items."""
    from openrek.service.video_analysers.base import Looks
    from openrek.service.video_analysers.persons import Crowd, PersonSamples, Seen
    from openrek.vision.video.analysis import Observations
    from openrek.vision.video.clock import regular_clock
    from openrek.vision.video.info import VideoInfo
    from openrek.vision.video.sketch import LOOK_BACK, SIGNATURE

    frames = int(hours * 3600 * 5)
    clock = regular_clock(Fraction(5), frames)
    info = VideoInfo("h264", "", frozenset(), clock.end_ms, 1280, 720, 1280, 720, "LIMITED", "yuv420p", clock)
    shot = np.zeros(6 + LOOK_BACK, np.float32).tobytes() + bytes(SIGNATURE[0] * SIGNATURE[1] + 24)

    def seen(n: int) -> Seen:
        x = 0.2 + 0.1 * np.sin(n / 50)
        boxes = np.array([[x, 0.2, x + 0.1, 0.8], [x + 0.4, 0.2, x + 0.5, 0.8]], np.float32)
        points = [{"Type": f"point{i}", "X": x + i / 100, "Y": 0.3} for i in range(5)]
        face = {"BoundingBox": {"Left": x, "Top": 0.2, "Width": 0.05, "Height": 0.1}, "Landmarks": points}
        scores, faces = np.full(2, 0.9, np.float32), np.arange(2)
        return Seen(shot, Crowd(boxes, scores, faces, [face, dict(face)], np.zeros((0, 0), np.float32), faces >= 0))

    observations = Observations(lambda: ((n, seen(n)) for n in range(frames)))
    looks = cast(Looks, SimpleNamespace(search_faces=lambda side: None))  # nothing is looked at
    analyser = PersonSamples(looks, Fraction(1, 5))
    return sum(1 for _ in analyser.decide(info, observations))


def ready(name: str, path: Path) -> Callable[[], Any]:
    """A measure, with everything loaded that a worker loads once."""
    if name.startswith(SEE):
        return ready_to_see(path, name.removeprefix(SEE))
    if name == "people":
        import openrek.service.video_analysers.persons

        return lambda: people(Fraction(path.name))
    if name in ("decode", "default"):
        return lambda: decode(path, "AUTO" if name == "decode" else "SLICE")
    if name == "blackdetect":
        return lambda: blackdetect(path)
    if name in ("adaptive", "content"):
        import scenedetect  # noqa: F401 - loaded before the clock starts

        return lambda: scenes_of(path, name)
    import openrek.vision.video.cues
    import openrek.vision.video.shots  # noqa: F401 - loaded before the clock starts

    return lambda: analysed(path, name)


def child(name: str, path: Path, cores: int) -> None:
    """In a process of its own: measure, and print seconds, seconds of processor time and peak memory."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    import cv2

    cv2.setNumThreads(cores)
    measure = ready(name, path)
    busy = time.process_time()
    begun = time.perf_counter()
    measure()
    took, busy = time.perf_counter() - begun, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": took, "busy": busy, "peak": peak}))


def measured(name: str, path: Path, cores: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.video", "--child", name, str(path), str(cores)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(result.stdout.splitlines()[-1]))


# --- tables -----------------------------------------------------------------------------------------------------------


def speed(media: Path, rounds: int) -> str:
    clips = [media / "video" / f"{name}.mp4" for name in SPEED_CLIPS]
    rows = []
    for cores in (n for n in (1, 2) if n <= len(os.sched_getaffinity(0))):
        names = MEASURES if cores > 1 else ALONE
        taken: dict[tuple[str, Path], list[dict[str, float]]] = {}
        for path in clips * rounds:
            for name in names:
                taken.setdefault((name, path), []).append(measured(name, path, cores))
        for name in names:
            cells = []
            for path in clips:
                runs, plain = taken[name, path], taken["decode", path]
                if name == "decode":
                    best = min(run["seconds"] for run in runs)
                    cells.append(f"{_length(path) / best:.0f}× real time")
                    continue
                # in each round against decoding in the same round, and the middle of the rounds
                took, busy = (
                    median(own[key] / base[key] for own, base in zip(runs, plain, strict=True))
                    for key in ("seconds", "busy")
                )
                cells.append(f"{took:.2f} ({busy:.2f})")
            rows.append([str(cores), NAMES[name], *cells])
    titles = [f"{path.stem}, {_size(path)}" for path in clips]
    return (
        "## Speed\n\nTime against only decoding every frame with PyAV in the same round, with threads that decode "
        "several frames at once as openrek does (PyAV itself does not, unless it is asked to), and processor time "
        f"against its processor time in brackets; median of {rounds} rounds. Load of the machine during the run: "
        f"{os.getloadavg()[0]:.1f}.\n\n" + table(["cores", "what", *titles], rows)
    )


def analysers(media: Path) -> str:
    from openrek.cli.video_parts import PARTS as ALL
    from openrek.settings import Settings

    path, settings = media / "video" / f"{ANALYSED_CLIP}.mp4", Settings()
    seconds = _length(path)
    counts = [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]
    rows = []
    for names in TOGETHER:
        runs = [measured(SEE + names, path, cores) for cores in counts]
        each = names.split("+")
        steps = [f"{float(settings.exact(ALL[one].step)):g} s" if ALL[one].step else "frame" for one in each]
        rows.append(
            [
                "all in one run" if len(each) > 2 else " and ".join(each),
                "as above" if len(each) > 2 else " and ".join(dict.fromkeys(steps)),
                *(f"{seconds / run['seconds']:.2g}×" for run in runs),
                *(f"{run['peak']:.0f} MB" for run in runs),
            ]
        )
    cores = [f"{n} core{'' if n == 1 else 's'}" for n in counts]
    return (
        "## Analysers\n\nMultiples of real time, decoding included, and the peak memory of the process; models are "
        f"loaded before the clock starts. The clip is {path.stem}, {seconds:.0f} s, {_size(path)}: a slate, then "
        f"somebody who speaks. Faces are read with all attributes. Load of the machine: "
        f"{os.getloadavg()[0]:.1f}.\n\n"
        + table(["analyser", "looks at every", *cores, *(f"memory, {each}" for each in cores)], rows)
    )


def accuracy(media: Path, films: int, other: Path | None) -> str:
    detectors: dict[str, Callable[[Path], list[int]]] = {
        "openrek shots": cuts_of,
        "AdaptiveDetector": lambda path: scenes_of(path, "adaptive"),
        "ContentDetector": lambda path: scenes_of(path, "content"),
    }
    real = marked(media)
    real += [(media / "video" / f"{name}.mp4", [], []) for name in SINGLE_SHOTS]
    with tempfile.TemporaryDirectory() as folder:
        made = made_films(media, films, Path(folder))
        restless = made_films(media, films, Path(folder), restless=True)
        rows = []
        sets = [
            ("clips of the media folder", real),
            (f"{films} films made from them", made),
            (f"{films} restless films made from them", restless),
        ]
        if other is not None:
            sets.append(("films of other origin", marked(other)))
        for title, known in sets:
            for name, detector in detectors.items():
                exact, near = Score(), Score()
                begun = time.perf_counter()
                for path, cuts, soft in known:
                    found = detector(path)
                    exact.add(found, cuts, soft, 0)
                    near.add(found, cuts, soft, 1)
                took = time.perf_counter() - begun
                title = f"{title} ({len(known)})" if name == "openrek shots" else title
                rows.append([title, name, exact.line(), near.line(), f"{took:.1f} s"])
    return (
        "## Hard cuts\n\nPrecision, recall and F1 of hard cuts, within 0 frames and within 1. What a detector reports "
        "inside a soft transition counts neither way.\n\n"
        + table(["films", "detector", "within 0 frames", "within 1 frame", "time"], rows)
    )


def marked(folder: Path) -> list[tuple[Path, list[int], list[tuple[str, int, int]]]]:
    """Clips of a folder whose cuts are known: path, hard cuts, and soft transitions (kind, first, last)."""
    found: list[tuple[Path, list[int], list[tuple[str, int, int]]]] = []
    for name, known in json.loads((folder / "truth.json").read_text())["video"].items():
        if "hard_cuts" in known:
            soft = [(each["type"], *each["frames"]) for each in known.get("soft", [])]
            found.append((folder / name, known["hard_cuts"], [*soft, *UNLISTED.get(name, [])]))
    return found


def black(media: Path) -> str:
    truth = json.loads((media / "truth.json").read_text())["video"]
    rows = []
    for name, known in truth.items():
        if "black" not in known:
            continue
        from openrek.vision.video import VideoReader

        with VideoReader.open(media / name) as reader:
            clock = reader.info.clock
        ours = [f"{cue.start}–{cue.end}" for cue in analysed(media / name, "cues")["cues"] if cue.kind == "BlackFrames"]
        theirs = [
            f"{clock.frame_at(round(start * 1000))}–{clock.frame_at(round(end * 1000))}"
            for start, end in blackdetect(media / name)
        ]
        expected = ", ".join(f"{a}–{b}" for a, b in known["black"])
        rows.append([Path(name).stem, expected, ", ".join(ours) or "none", ", ".join(theirs) or "none"])
    return (
        "## Black frames\n\nRuns in frames. A cue ends on the frame at which the next begins; blackdetect's end is the "
        "first frame that is not black. Truth was taken by eye, fades at their middle.\n\n"
        + table(["clip", "truth", "openrek", "blackdetect"], rows)
    )


def length(minutes: Sequence[int]) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        minute = Path(folder) / "minute.mp4"
        rng = np.random.default_rng(7)
        noise = [rng.integers(0, 255, (180, 320, 3), np.uint8) // 3 * 2 for _ in range(6)]
        sources = [photo_source(str(n), np.repeat(np.repeat(p[::20, ::20], 20, 0), 20, 1)) for n, p in enumerate(noise)]
        write_film(minute, _first(compose(sources, 40, rng, Film()), 1500), preset="ultrafast")
        for count in minutes:
            film = Path(folder) / f"{count}.mp4"
            _repeat(minute, film, count)
            for name in ("decode", "shots+cues") if count <= 10 else ("shots+cues",):
                run = measured(name, film, min(2, len(os.sched_getaffinity(0))))
                cost = f"{run['seconds']:.1f} s", f"{run['seconds'] / count:.2f} s", f"{run['peak']:.0f} MB"
                rows.append([f"{count} min", NAMES[name], *cost])
            film.unlink()
    for hours in (1, 4):
        run = measured("people", Path(str(hours)), 1)
        cost = f"{run['seconds']:.1f} s", f"{run['seconds'] / hours / 60:.2f} s", f"{run['peak']:.0f} MB"
        rows.append([f"{hours} h", "the decision on two people, always seen", *cost])
    return (
        "## Length\n\nA film of 320 x 180 pixels at 25 frames a second, so that what is not decoding shows most; and "
        "what a worker has to hold to follow people.\n\n"
        + table(["length", "what", "time", "a minute of film", "peak memory"], rows)
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


class Score:
    """Counts of a detector's cuts against the truth."""

    def __init__(self) -> None:
        self.right = self.wrong = self.missed = 0

    def add(self, found: Sequence[int], cuts: Sequence[int], soft: Sequence[tuple[str, int, int]], reach: int) -> None:
        left = list(found)
        for cut in cuts:
            hit = min((f for f in left if abs(f - cut) <= reach), key=lambda f: abs(f - cut), default=None)
            if hit is None:
                self.missed += 1
            else:
                left.remove(hit)
                self.right += 1
        self.wrong += sum(not any(a - 1 <= f <= b + 1 for _, a, b in soft) for f in left)

    def line(self) -> str:
        precision = self.right / max(1, self.right + self.wrong)
        recall = self.right / max(1, self.right + self.missed)
        f1 = 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)
        return f"P {precision:.3f} R {recall:.3f} F1 **{f1:.3f}** ({self.wrong} false, {self.missed} missed)"


def made_films(
    media: Path, count: int, folder: Path, restless: bool = False
) -> list[tuple[Path, list[int], list[tuple[str, int, int]]]]:
    """Films of the media's clips and photographs; the same ones in every run."""
    sources: list[Source] = [clip_source(media / "video" / f"{name}.mp4") for name in SINGLE_SHOTS]
    for path in sorted([*(media / "photos").glob("*.jpg"), *(media / "text").glob("*.jpg")]):
        sources.append(photo_source(path.stem, load_image(path, longest=1000).pixels))
    films = []
    for number in range(count):
        rng = np.random.default_rng([2026, number])
        film, path = Film(), folder / f"{number}-{restless}.mp4"
        rate = (Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001))[number % 3]
        usual = look(compose(sources, 40, rng, film), rng, film)  # makes nothing until it is asked to
        frames = compose_restless(sources, 60, rng, film) if restless else usual
        write_film(path, frames, rate, int(rng.choice([20, 26, 32])))
        films.append((path, film.cuts, film.soft))
    return films


def _first(frames: Any, count: int) -> Any:
    for n, frame in enumerate(frames):
        if n == count:
            return
        yield frame


def _repeat(minute: Path, target: Path, count: int) -> None:
    """The same minute again and again, without encoding it anew."""
    with av.open(str(minute)) as source, av.open(str(target), "w") as copy:
        stream = source.streams.video[0]
        out = copy.add_stream_from_template(stream)
        length = int(60 / stream.time_base) if stream.time_base else 0
        for n in range(count):
            source.seek(0)
            for packet in source.demux(stream):
                if packet.dts is None or packet.pts is None:
                    continue
                packet.pts, packet.dts = packet.pts + n * length, packet.dts + n * length
                packet.stream = out
                copy.mux(packet)


def _length(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.duration or 0) / av.time_base


def _size(path: Path) -> str:
    with av.open(str(path)) as container:
        return f"{container.streams.video[0].width} x {container.streams.video[0].height}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)}; all without")
    parser.add_argument("--media", type=Path, default=MEDIA, help="the test media")
    parser.add_argument("--other", type=Path, help="films of other origin, with a truth.json, for `cuts`")
    parser.add_argument("--write", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--films", type=int, default=4, help="films to make for the accuracy of cuts")
    parser.add_argument("--longest", type=int, default=60, help="minutes of the longest film")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), int(options.child[2]))
        return
    if wrong := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    from bench.__main__ import machine

    parts = [part for part in PARTS if part in (options.parts or PARTS)]
    if not options.media.is_dir():
        print("without --media (or OPENREK_TEST_MEDIA) only the cost against length is measured", file=sys.stderr)
        parts = ["length"]
    make: dict[str, Callable[[], str]] = {
        "speed": lambda: speed(options.media, options.rounds),
        "analysers": lambda: analysers(options.media),
        "cuts": lambda: accuracy(options.media, options.films, options.other),
        "black": lambda: black(options.media),
        "length": lambda: length([n for n in (1, 10, 60, 360) if n <= options.longest]),
    }
    sections = []
    for part in parts:
        begun = time.perf_counter()
        sections.append(make[part]())
        print(f"{part}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    title = "# Benchmarks of stored video\n\nWritten by `make bench-video`. Compare ratios, not absolutes."
    text = "\n\n".join([title, machine(), *sections]) + "\n"
    print(text)
    if options.write:
        options.write.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
