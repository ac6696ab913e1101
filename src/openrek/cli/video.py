"""`openrek video analyze`: shots, cues and more of stored videos, without a server."""

import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from openrek.cli.common import UserError, console, console_err, counted, services_from, settings_from
from openrek.cli.video_parts import PARTS, Part

if TYPE_CHECKING:
    from openrek.service.services import Services
    from openrek.settings import Settings
    from openrek.vision.video.reader import VideoReader
    from openrek.vision.video.segments import Segment

app = typer.Typer(no_args_is_help=True, help="Look at stored videos without a server.")

SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp")
)
"""What a folder is searched for; a file named by itself is read whatever its name."""

_MOST_BYTES = 10 << 30
_TIMEOUT = 30.0


@app.callback()
def _group() -> None:
    """Look at stored videos without a server."""


@app.command()
def analyze(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Files, folders, or http(s) addresses.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")],
    shots: Annotated[bool, typer.Option("--shots", help="Camera shots.")] = False,
    cues: Annotated[bool, typer.Option("--cues", help="Black frames, colour bars, credits, slates, logos.")] = False,
    labels: Annotated[bool, typer.Option("--labels", help="Things and scenes, twice a second.")] = False,
    faces: Annotated[bool, typer.Option("--faces", help="Faces with all attributes.")] = False,
    people: Annotated[bool, typer.Option("--people", help="People and their paths.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Lines and words.")] = False,
    moderation: Annotated[bool, typer.Option("--moderation", help="Unsafe content; see its blind spots.")] = False,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Also a copy of each video with what was found.")
    ] = False,
    sheet: Annotated[bool, typer.Option("--sheet/--no-sheet", help="A contact sheet of the shots.")] = True,
) -> None:
    """Analyse videos; without options that name something, shots and cues.

    For each video OUT/<name>/ receives analysis.json (labels, faces, people, text and moderation as the Get operations
    answer them), segments.csv, shots.edl (CMX 3600; from 1000 shots on also shots-2.edl ...), chapters.vtt, cues.vtt
    and shots.jpg, and with --annotate annotated.mp4.
    """
    try:
        import openrek.vision.video  # noqa: F401 - says in a sentence where PyAV is missing
    except ImportError as error:
        raise UserError(str(error)) from error
    asked = {"shots": shots, "cues": cues, "labels": labels, "faces": faces, "people": people, "text": text}
    asked["moderation"] = moderation
    wanted = [name for name in PARTS if asked[name]] or ["shots", "cues"]
    parts = [PARTS[name] for name in wanted]
    failures = 0
    with (
        closing(services_from(settings_from())) as services,
        tempfile.TemporaryDirectory(prefix="openrek-video-") as folder,
    ):
        sources = find_videos(videos, Path(folder))
        for (name, path), target in zip(sources, _targets(output, [name for name, _ in sources]), strict=True):
            failures += not _analyze_one(name, path, target, parts, services, annotate=annotate, sheet=sheet)
    if failures:
        raise typer.Exit(1)


def find_videos(names: Sequence[str], folder: Path) -> list[tuple[str, Path]]:
    """(name to show, local file) of every video behind the names; what is at an address is fetched into `folder`.

    Raises UserError for a name that is nothing, and when no video is found at all.
    """
    found: dict[Path, str] = {}
    for name in names:
        if name.startswith(("http://", "https://")):
            path = fetch(name, folder / f"{len(found)}")
            found[path] = path.name
            continue
        path = Path(name).expanduser()
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            found.update({p: str(p.relative_to(path)) for p in inside})
        elif path.is_file():
            found[path] = path.name
        else:
            raise UserError(f"there is no file, folder or address {name!r}")
    if not found:
        raise UserError(f"no videos in {', '.join(names)} (looked for {', '.join(sorted(SUFFIXES))})")
    return [(name, path) for path, name in found.items()]


def fetch(address: str, folder: Path) -> Path:
    """Fetch the file at an http(s) address into a folder, at most 10 GiB, with a progress bar. Raises UserError."""
    import requests

    from openrek.cli.progress import DownloadBars

    name = os.path.basename(unquote(urlsplit(address).path)) or "video"
    folder.mkdir(parents=True)
    path = folder / name
    try:
        answer = requests.get(address, stream=True, timeout=_TIMEOUT)
        with answer, path.open("wb") as file, DownloadBars() as bar:
            answer.raise_for_status()
            total = int(answer.headers.get("Content-Length", 0)) or None
            done = 0
            for piece in answer.iter_content(1 << 20):
                done += file.write(piece)
                if done > _MOST_BYTES:
                    raise UserError(f"{address} is larger than {_MOST_BYTES >> 30} GiB")
                bar(name, done, total)
    except (requests.RequestException, OSError) as error:
        raise UserError(f"{address} cannot be fetched: {error}") from error
    return path


def _targets(output: Path, names: Sequence[str]) -> list[Path]:
    """A folder for each video; videos of the same name get a number, so that none is written over."""
    taken: dict[str, int] = {}
    targets: list[Path] = []
    for name in names:
        stem = "-".join(Path(name).with_suffix("").parts)
        taken[stem] = taken.get(stem, 0) + 1
        targets.append(output / (stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"))
    return targets


def _analyze_one(
    name: str, path: Path, target: Path, parts: Sequence[Part], services: "Services", *, annotate: bool, sheet: bool
) -> bool:
    """Whether it could be analysed, and the results written."""
    from openrek.vision.video import VideoError, VideoReader

    try:
        with VideoReader.open(path) as reader:
            _make(target)
            _analyze(name, target, reader, parts, services, annotate=annotate, sheet=sheet)
    except (VideoError, UserError) as error:
        problem = str(error)
    except OSError as error:  # of reading or writing
        problem = f"{error.filename or target}: {error.strerror or error}"
    else:
        return True
    console_err.print(f"[red]{escape(name)}[/red]: {escape(problem)}", highlight=False, soft_wrap=True)
    return False


def _make(folder: Path) -> None:
    """Make a folder, and see before hours of work whether it can be written to. Raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"{folder} cannot be written to: {error.strerror or error}") from error


def _analyze(
    name: str,
    target: Path,
    reader: "VideoReader",
    parts: Sequence[Part],
    services: "Services",
    *,
    annotate: bool,
    sheet: bool,
) -> None:
    from openrek.cli.video_exports import Items
    from openrek.service.video_analysers.base import Looks
    from openrek.vision.video import analyse
    from openrek.vision.video.segments import segments

    looks = Looks(services)
    analysers = [part.analyser(looks, services.settings) for part in parts]
    begun = time.perf_counter()
    with frame_bar(f"analysing {name}", reader) as progress:
        decided = analyse(reader, analysers, progress=progress)
        results: dict[str, Any] = {
            one: Items(found) if isinstance(found, Iterator) else found for one, found in decided.items()
        }
    took = time.perf_counter() - begun
    cues, shots = results.get("cues", ()), results.get("shots", ())
    rows = segments(reader.info.clock, cues=cues, shots=shots)
    _write_results(name, target, reader, parts, results, rows)
    if sheet and (found := [row for row in rows if row.group == "shot"]):
        from openrek.cli.video_pictures import shot_sheet

        shot_sheet(reader, found).save(target / "shots.jpg", quality=88)
    if annotate:
        _annotate(name, target, reader, parts, results, rows, services.settings)
    found_items = {part.name: len(results[part.result]) for part in parts if part.marks is not None}
    _report(name, target, reader, rows, found_items, took)


def _write_results(
    name: str,
    target: Path,
    reader: "VideoReader",
    parts: Sequence[Part],
    results: Mapping[str, Any],
    rows: Sequence["Segment"],
) -> None:
    from openrek.cli.video_exports import chapters_of, csv_of, edls_of, json_of, segment_row, video_row

    info = reader.info
    document: dict[str, Any] = {"file": name, "video": video_row(info), "skipped_packets": reader.corrupt}
    if rows or {"shots", "cues"} & results.keys():
        document["segments"] = [segment_row(row) for row in rows]
    items = {part.name: results[part.result] for part in parts if part.marks is not None}
    with (target / "analysis.json").open("w", encoding="utf-8") as file:
        file.writelines(json_of(document, items))
    (target / "segments.csv").write_text(csv_of(rows), "utf-8", newline="")
    shots, cues = ([row for row in rows if row.group == group] for group in ("shot", "cue"))
    if shots:
        for number, edl in enumerate(edls_of(Path(name).stem, name, shots, info.rate), 1):
            (target / (f"shots-{number}.edl" if number > 1 else "shots.edl")).write_text(edl, "utf-8", newline="")
        (target / "chapters.vtt").write_text(chapters_of(shots, info.clock), "utf-8")
    if cues:
        (target / "cues.vtt").write_text(chapters_of(cues, info.clock), "utf-8")


def _annotate(
    name: str,
    target: Path,
    reader: "VideoReader",
    parts: Sequence[Part],
    results: Mapping[str, Any],
    rows: Sequence["Segment"],
    settings: "Settings",
) -> None:
    from av.error import FFmpegError

    from openrek.cli.video_pictures import Layer, annotated_copy
    from openrek.vision.video.timecode import Timecode

    info = reader.info
    layers = [
        Layer(info.clock, settings.exact(part.step), part.frame_marks(results[part.result], info), tracked=part.tracked)
        for part in parts
        if part.marks is not None
    ]
    code = Timecode.of(reader.info.rate)
    groups = [
        ([row.start_frame for row in group], group)
        for group in ([row for row in rows if row.group == name] for name in ("cue", "shot"))
    ]

    def caption(frame: int) -> str:
        now = []
        for starts, group in groups:
            place = bisect_right(starts, frame)
            # neighbouring cues share a frame
            now += [row for row in group[max(0, place - 2) : place] if frame <= row.end_frame]
        return "  ".join([code.format(frame), *dict.fromkeys(row.title for row in now)])

    copy = target / "annotated.mp4"
    try:
        with frame_bar(f"drawing {name}", reader) as progress:
            annotated_copy(reader, copy, caption, layers, progress)
    except FFmpegError as error:
        copy.unlink(missing_ok=True)
        raise UserError(f"the annotated copy cannot be written: {error.strerror}") from error


def _report(
    name: str, target: Path, reader: "VideoReader", rows: Sequence["Segment"], items: Mapping[str, int], took: float
) -> None:
    table = Table(title=f"{escape(name)}", title_justify="left")
    for column in ("segment", "from", "to", "frames", "seconds", "confidence"):
        table.add_column(column, justify="left" if column == "segment" else "right")
    for row in rows:
        span = f"{row.start_frame}–{row.end_frame}"
        seconds, confidence = f"{row.duration_ms / 1000:.2f}", f"{row.confidence * 100:.0f}%"
        table.add_row(row.title, row.start_timecode, row.end_timecode, span, seconds, confidence)
    if rows:
        console.print(table)
    for kind, count in items.items():
        console.print(f"{kind}: {counted(count, 'item')}", highlight=False)
    damage = f"; {counted(reader.corrupt, 'damaged packet')} skipped" if reader.corrupt else ""
    console.print(
        f"{counted(reader.info.frames, 'frame')} in {took:.1f} s, {times_real_time(reader.info.duration_ms, took)}"
        f"{damage}; results in {target}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def times_real_time(duration_ms: int, took: float) -> str:
    """How fast a video was gone through. took: seconds, more than 0."""
    speed = duration_ms / 1000 / took
    return f"{speed:.{0 if speed >= 10 else 1 if speed >= 0.95 else 2}f} times real time"


@contextmanager
def frame_bar(description: str, reader: "VideoReader") -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal, with frames a second and the time that is left."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console_err,
        transient=True,
        disable=not console_err.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=reader.info.frames, rate="")
        begun = time.perf_counter()

        def progress(frame: int) -> None:
            if frame % 16 == 0:
                rate = (frame + 1) / max(1e-6, time.perf_counter() - begun)
                bar.update(task, completed=frame + 1, rate=f"{rate:.0f} frames/s")

        yield progress
