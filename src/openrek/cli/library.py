"""`openrek index` and `openrek search`: folders of photos as a searchable library, without a server."""

import hashlib
import json
import os
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from openrek.cli.blind import blind_sentence
from openrek.cli.common import HomeOption, JsonOption, UserError, console, console_err, services_from, settings_from
from openrek.cli.photos import SUFFIXES
from openrek.cli.progress import work_bar
from openrek.settings import Profile, Settings
from openrek.store.library import FileState, Library, Looked
from openrek.store.library_query import Field, QueryError, parse
from openrek.store.library_search import Hit, search, unknown_words

FILE_NAME: Final = "library.db"
WORKERS: Final = 2  # one photo is read and decoded while the models look at another
MOST_BYTES: Final = 1 << 30
SEARCH_CONTEXT: Final = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""Lets `-beach` be a word of the query; a short option would read its letters as options."""

IndexOption = Annotated[
    Path | None,
    typer.Option("--index", metavar="FILE", help=f"The library's file; default: {FILE_NAME} in the home folder."),
]


class Outcome(StrEnum):
    """What became of a photo file."""

    LOOKED = "looked at"
    KNOWN = "known"
    MOVED = "moved"
    COPY = "copies of known photos"
    FAILED = "could not be read"


@dataclass(frozen=True, slots=True)
class Found:
    """A photo file on disk: absolute path, size in bytes, time of change in nanoseconds."""

    path: Path
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Read:
    """A photo file after a worker had it: `looked` is None where its picture is known; `reason` says why it failed."""

    file: Found
    hash: bytes = b""
    looked: Looked | None = None
    reason: str = ""


def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Searched through for photos.", show_default=False)],
    again: Annotated[
        bool, typer.Option("--again", help="Look again at photos that other models than today's have looked at.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Take the folder's photos out of the library, and look at none.")
    ] = False,
    index_file: IndexOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a folder of photos searchable. Stopped at any time and started again, it goes on where it was.

    Labels, the text in the photo, the number of faces, moderation labels, dominant colours, size and date go into one
    SQLite file; photos stay where they are. Only new and changed files are looked at; files that were moved are
    recognised, files that are gone leave the library. Of a folder that is gone as a whole they leave with --forget.
    """
    root = Path(os.path.realpath(folder.expanduser()))
    settings = settings_from(home=home, profile=Profile.RELAXED)
    target = _path(index_file, settings)
    if forget:
        _forget(root, target, as_json=as_json)
        return
    if not root.is_dir():
        options = {"--index": index_file, "--home": home}
        words = [str(word) for option in options.items() if option[1] for word in option]
        raise UserError(f"{str(folder)!r} is not a folder{_kept_of(root, target, words)}")

    from openrek.cli.library_look import Looker

    services = services_from(settings)
    try:
        files, unread, closed = find_files(root)
        with Library.open(target, create=True) as library:
            looker = Looker(services)
            models = looker.models
            known = library.files_below(root)
            if not (files or unread or closed or known):
                raise UserError(f"no photos in {str(folder)!r} (looked for {', '.join(sorted(SUFFIXES))})")
            todo = [file for file in files if not _is_known(file, known, models if again else None)]
            counts = Counter({Outcome.KNOWN: len(files) - len(todo), Outcome.FAILED: len(unread)})
            failed = _work_off(todo, library, looker, models if again else None, settings, counts)
            present = {file.path for file in files} | set(unread)
            gone = [path for path in known if path not in present and closed.isdisjoint(path.parents)]
            removed = library.forget([*gone, *failed])
            older = sum(state.models != models for state in library.files_below(root).values())
            total = library.counts()
    finally:
        services.close()
    _report(counts, len(closed), removed, older, total, as_json=as_json)


def search_command(
    query: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY...",
            help='Words, "phrases", -without, colour:red, text:exit, faces:2, flag:weapons, taken:2024, file:name.',
            show_default=False,
        ),
    ],
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="OUT.jpg", help="Draw a contact sheet of what was found.")
    ] = None,
    most: Annotated[int, typer.Option("--max", min=1, max=10_000, help="Most pictures.")] = 40,
    min_confidence: Annotated[
        float, typer.Option(min=30, max=100, help="Least confidence of a label, 30 to 100.")
    ] = 50,
    index_file: IndexOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find photos by what they show, say and look like, the best first: openrek search dog beach"""
    words = " ".join(query)
    settings = settings_from(home=home)
    with Library.open(_path(index_file, settings)) as library:
        try:
            hits, total = search(library, words, limit=most, least=min_confidence / 100)
            strange = {} if hits else unknown_words(library, words, least=min_confidence / 100)
        except QueryError as error:
            raise UserError(str(error)) from error
        known = library.counts()[1]
    if any(term.field is Field.FLAG for term in parse(words)):
        console_err.print(blind_sentence(settings), style="yellow", highlight=False, soft_wrap=True)
    if as_json:
        for hit in hits:
            typer.echo(json.dumps(_as_json(hit), ensure_ascii=False))
    elif hits:
        console.print(_table(hits))
        shown = f"the best {len(hits):,} of {total:,}" if total > len(hits) else f"{total:,}"
        console.print(f"[dim]{shown} of {known:,} pictures[/]", highlight=False)
    else:
        console.print(
            f"[dim]none of {known:,} pictures: {escape(_excuse(strange))}[/]", highlight=False, soft_wrap=True
        )
    if sheet is not None and hits:
        _draw_sheet(sheet, hits)


# --- indexing ---------------------------------------------------------------------------------------------------------


def find_files(root: Path) -> tuple[list[Found], list[Path], set[Path]]:
    """The photo files below a folder, sorted; those that could not be looked at; and the folders that could not.

    Links to folders are not followed. Named pipes, devices and the like are no photos, whatever they are called.
    """
    files: list[Found] = []
    unread: list[Path] = []
    closed: set[Path] = set()

    def say(error: OSError) -> Path:
        console_err.print(
            f"[red]{escape(str(error.filename))}:[/] {escape(error.strerror or str(error))}",
            soft_wrap=True,
            highlight=False,
        )
        return Path(error.filename)

    for folder, folders, names in os.walk(root, onerror=lambda error: closed.add(say(error))):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() not in SUFFIXES:
                continue
            try:
                state = path.stat()
            except OSError as error:
                unread.append(say(error))
                continue
            if stat.S_ISREG(state.st_mode):
                files.append(Found(path, state.st_size, state.st_mtime_ns))
    return files, unread, closed


def read_file(file: Found) -> bytes:
    """Its bytes. Raises OSError, also where it has more or fewer than it had when it was found."""
    with file.path.open("rb") as stream:
        data = stream.read(file.size + 1)
    if len(data) != file.size:
        raise OSError("it was written to while it was read")
    return data


def _is_known(file: Found, known: dict[Path, FileState], models: str | None) -> bool:
    state = known.get(file.path)
    return (
        state is not None
        and (state.size, state.modified) == (file.size, file.modified)
        and (models is None or state.models == models)
    )


def _work_off(
    todo: Sequence[Found],
    library: Library,
    looker: Callable[[bytes, bytes], Looked],
    models: str | None,
    settings: Settings,
    counts: Counter[Outcome],
) -> list[Path]:
    """Look at the photos and write each down as soon as it was looked at; the files that could not be read.

    models: what must have looked at a known picture for it to be left alone; None where anything will do.
    """

    from openrek.vision.image import ImageError

    def read(file: Found) -> Read:
        try:
            if file.size > MOST_BYTES:
                return Read(file, reason=f"{file.size:,} bytes are too many for a photo")
            data = read_file(file)
            hash = hashlib.sha256(data).digest()
            before = library.models_of(hash)
            if before is not None and (models is None or before == models):
                return Read(file, hash)
            return Read(file, hash, looker(data, hash))
        except (ImageError, OSError) as error:
            return Read(file, reason=str(error))

    failed: list[Path] = []
    pool = ThreadPoolExecutor(settings.workers or WORKERS)
    try:
        with work_bar() as bar:
            for done in bar.track(pool.map(read, todo), total=len(todo), description="photos"):
                if done.reason:
                    counts[Outcome.FAILED] += 1
                    failed.append(done.file.path)
                    console_err.print(
                        f"[red]{escape(str(done.file.path))}:[/] {escape(done.reason)}", soft_wrap=True, highlight=False
                    )
                    continue
                if done.looked is not None:
                    library.put(done.looked)
                moved = library.place(done.file.path, done.hash, done.file.size, done.file.modified)
                counts[Outcome.LOOKED if done.looked else Outcome.MOVED if moved else Outcome.COPY] += 1
    finally:  # what is being written is finished, what has not begun is not
        pool.shutdown(cancel_futures=True)
    return failed


def _forget(root: Path, target: Path, *, as_json: bool) -> None:
    with Library.open(target) as library:
        removed = library.forget(library.files_below(root))
        total = library.counts()
    if not removed:
        raise UserError(f"the photo library {target} has no photos of {str(root)!r}")
    if as_json:
        typer.echo(json.dumps({"Removed": removed, "LibraryFiles": total[0], "LibraryPictures": total[1]}))
        return
    console.print(f"{removed:,} photos left the library", highlight=False)
    _print_total(total)


def _kept_of(root: Path, target: Path, options: Sequence[str]) -> str:
    """What the library still knows of a folder that is none, and how it forgets it; nothing where it knows none."""
    if not target.is_file():
        return ""
    with Library.open(target) as library:
        kept = len(library.files_below(root))
    command = shlex.join(["openrek", "index", "--forget", str(root), *options])
    return f", but the library has {kept:,} photos of it; to forget them: {command}" if kept else ""


def _path(given: Path | None, settings: Settings) -> Path:
    return (given.expanduser() if given is not None else settings.home / FILE_NAME).absolute()


def _report(
    counts: Counter[Outcome], closed: int, removed: int, older: int, total: tuple[int, int], *, as_json: bool
) -> None:
    """Every photo is in one of the counts; folders that could not be read, and photos that left, are told apart."""
    if as_json:
        names = {outcome.name.title(): counts[outcome] for outcome in Outcome}
        answer = {"Files": counts.total(), **names, "FailedFolders": closed, "Removed": removed, "ByOtherModels": older}
        typer.echo(json.dumps({**answer, "LibraryFiles": total[0], "LibraryPictures": total[1]}))
        return
    outcomes = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome])
    parts = [f"{counts.total():,} photos" + (f": {outcomes}" if outcomes else "")]
    parts += [f"{closed:,} folder{'s' if closed > 1 else ''} could not be read"] if closed else []
    parts += [f"{removed:,} left the library"] if removed else []
    console.print("; ".join(parts), highlight=False, soft_wrap=True)
    _print_total(total)
    if older:
        console.print(
            f"{older:,} were looked at by other models than today's; --again looks at them again",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )


def _print_total(total: tuple[int, int]) -> None:
    console.print(f"the library has {total[1]:,} pictures in {total[0]:,} files", highlight=False, soft_wrap=True)


# --- what people see --------------------------------------------------------------------------------------------------


def _as_json(hit: Hit) -> dict[str, Any]:
    return {
        "Files": [str(path) for path in hit.paths],
        "Score": round(hit.score, 4),
        "Why": list(hit.why),
        "Width": hit.width,
        "Height": hit.height,
        "Taken": hit.taken,
        "Faces": hit.faces,
        "Labels": [{"Name": name, "Confidence": round(100 * confidence, 2)} for name, confidence in hit.labels],
        "ModerationLabels": [
            {"Name": name, "Confidence": round(100 * confidence, 2)} for name, confidence in hit.flags
        ],
        "Text": hit.text,
    }


def _excuse(strange: Mapping[str, Sequence[str]]) -> str:
    """Why nothing was found: `strange` are the words without a match, each with names that are written alike."""
    if not strange:
        return "each of these is there, but no picture has all of them"
    words = " and ".join(f"“{word}”" for word in strange)
    alike = [name for names in strange.values() for name in names]
    return f"nothing here is {words}" + (f"; there is {', '.join(alike)}" if alike else "")


def _table(hits: Sequence[Hit]) -> Table:
    table = Table(box=None, pad_edge=True, header_style="dim")
    table.add_column("%", justify="right")
    table.add_column("photo", overflow="fold")
    table.add_column("because")
    table.add_column("taken")
    for hit in hits:
        more = f" [dim](and {len(hit.paths) - 1} more)[/]" if len(hit.paths) > 1 else ""
        name, why = escape(_short(hit.paths[0])) + more, escape(", ".join(hit.why))
        table.add_row(f"{100 * hit.score:.0f}", name, why, (hit.taken or "")[:10])
    return table


def _short(path: Path) -> str:
    """The path from the working folder where it lies below, else the whole one; undecodable bytes are shown as `?`."""
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return str(shown).encode(errors="replace").decode()


def _draw_sheet(sheet: Path, hits: Sequence[Hit]) -> None:
    from openrek.cli.library_sheet import library_sheet
    from openrek.cli.tiles import MOST_TILES

    picture, missing = library_sheet(hits[:MOST_TILES])
    try:
        picture.save(sheet)
    except (OSError, ValueError) as error:
        raise UserError(f"the contact sheet cannot be written: {error}") from error
    console_err.print(f"contact sheet: {escape(str(sheet))}", highlight=False, soft_wrap=True)
    if missing:
        console_err.print(
            f"{missing} of these photos are no longer where they were; `openrek index` finds them again",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
