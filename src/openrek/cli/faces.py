"""`openrek faces compare|index|search`: the face operations on files, in the collections of the server of this home."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from openrek import __version__
from openrek.cli.answers import answer_line
from openrek.cli.common import HomeOption, JsonOption, UserError, console, console_err, services_from, settings_from
from openrek.cli.detect import LOCAL_FILE_LIMIT, ProfileOption
from openrek.cli.photos import find_photos
from openrek.cli.progress import work_bar
from openrek.contract.call import Call, Caller
from openrek.contract.errors import (
    ImageTooLargeException,
    InvalidImageFormatException,
    InvalidParameterException,
    ResourceAlreadyExistsException,
    ServiceError,
)
from openrek.contract.model import service_model
from openrek.settings import MIB, Profile

app = typer.Typer(
    no_args_is_help=True, help="Compare faces, index folders of photos, and search them, without a server."
)

EXTERNAL_ID_LENGTH: Final = 255
WORKERS: Final = 2  # one photo is read and decoded while the models look at another
BAD_PHOTO: Final = (InvalidImageFormatException, ImageTooLargeException, InvalidParameterException)


class Quality(StrEnum):
    """Levels of QualityFilter."""

    NONE = "NONE"
    AUTO = "AUTO"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class Outcome(StrEnum):
    """What became of a photo."""

    INDEXED = "indexed"
    KNOWN = "indexed before"
    NO_FACE = "without a face good enough"
    FAILED = "could not be read"


@dataclass(frozen=True, slots=True)
class Indexed:
    """One photo's outcome; `faces` are those added now, `reason` says why it failed."""

    path: Path
    outcome: Outcome
    faces: int = 0
    reason: str = ""


CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="The collection's id.", show_default=False)]
SimilarityOption = Annotated[float, typer.Option(min=0, max=100, help="Least similarity, 0 to 100.")]


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A photo; its largest face counts.", dir_okay=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="A photo; all of its faces are compared.")],
    min_similarity: SimilarityOption = 80.0,
    as_json: JsonOption = False,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """How alike the largest face of A and each face of B are."""
    images = {"SourceImage": {"Bytes": _read(first)}, "TargetImage": {"Bytes": _read(second)}}
    with _local(None, profile) as local:
        answer = local.ask("CompareFaces", {**images, "SimilarityThreshold": min_similarity})
    if as_json:
        typer.echo(answer_line("CompareFaces", answer, Source=str(first), Target=str(second)))
        return
    table = _table("face of B", "alike %", "left, top  width x height")
    rows = [(f"{match['Similarity']:.1f}", match["Face"]) for match in answer["FaceMatches"]]
    rows += [(f"below {min_similarity:g}", face) for face in answer["UnmatchedFaces"]]
    for number, (alike, face) in enumerate(rows, 1):
        table.add_row(str(number), alike, _place(face["BoundingBox"]))
    console.print(table)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Searched through for photos.", show_default=False)],
    collection: CollectionOption,
    create: Annotated[bool, typer.Option("--create", help="Make the collection if it is not there.")] = False,
    quality: Annotated[Quality, typer.Option(help="The bar that a face has to pass.", case_sensitive=False)] = (
        Quality.AUTO
    ),
    max_faces: Annotated[int, typer.Option(min=1, max=100, help="Most faces a photo, the largest.")] = 100,
    again: Annotated[bool, typer.Option("--again", help="Look again at photos that were looked at before.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """Index the faces of all photos in a folder. Stopped at any time and started again, it goes on where it was.

    A face's ExternalImageId is its photo's path inside FOLDER with ":" for "/". Where other characters than letters
    without accents, digits and "_.-" had to become "_", or the path is too long, eight digits of the path's SHA-256
    keep it unlike all others. A photo whose bytes are in the collection under this id is skipped without a look, and
    one that gave no face until another version or --quality looks at it.
    """
    root = folder.expanduser()
    if not root.is_dir():
        raise UserError(f"{str(folder)!r} is not a folder")
    photos = find_photos([str(root)])
    counts: Counter[Outcome] = Counter()
    faces = 0
    with _local(home, profile) as local:
        known = _open_collection(local, collection, quality, create=create)

        def work(photo: Path) -> Indexed:
            external = external_image_id(photo.relative_to(root))
            try:
                data = _photo_bytes(photo)
                before = None if again else known.outcome(data, external)
                if before is not None:
                    return Indexed(photo, before)
                answer = local.ask(
                    "IndexFaces",
                    {
                        "CollectionId": collection,
                        "Image": {"Bytes": data},
                        "ExternalImageId": external,
                        "QualityFilter": quality.value,
                        "MaxFaces": max_faces,
                    },
                )
            except (*BAD_PHOTO, OSError) as error:
                return Indexed(photo, Outcome.FAILED, reason=str(error))
            count = len(answer["FaceRecords"])
            if not count:
                known.note_faceless(data)
            return Indexed(photo, Outcome.INDEXED if count else Outcome.NO_FACE, count)

        pool = ThreadPoolExecutor(local.services.settings.workers or WORKERS)
        try:
            with work_bar() as bar:
                for done in bar.track(pool.map(work, photos), total=len(photos), description="photos"):
                    counts[done.outcome] += 1
                    faces += done.faces
                    if done.outcome is Outcome.FAILED:
                        console_err.print(f"[red]{escape(str(done.path))}:[/] {escape(done.reason)}", soft_wrap=True)
        finally:  # what is being written is finished, what has not begun is not
            pool.shutdown(cancel_futures=True)
    if as_json:
        names = {outcome.name.title().replace("_", ""): counts[outcome] for outcome in Outcome}
        typer.echo(json.dumps({"Photos": len(photos), **names, "FacesIndexed": faces}))
    else:
        parts = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome])
        console.print(f"{len(photos):,} photos: {parts}; {faces:,} faces indexed", highlight=False, soft_wrap=True)
    if counts[Outcome.FAILED]:
        raise typer.Exit(1)


@app.command()
def search(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Its largest face is searched.", show_default=False)],
    collection: CollectionOption,
    min_similarity: SimilarityOption = 80.0,
    most: Annotated[int, typer.Option("--max", min=1, max=4096, help="Most matches.")] = 20,
    sheet: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Draw the face and its matches; needs --photos.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder that was indexed: pictures are not stored.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """The faces of a collection that are like the largest face of a photo, the most alike first."""
    if sheet is not None and photos is None:
        raise UserError("--sheet needs --photos FOLDER, the folder that was indexed: a collection keeps no pictures")
    data = _read(photo)
    request = {"CollectionId": collection, "FaceMatchThreshold": min_similarity, "MaxFaces": most}
    with _local(home, profile) as local:
        answer = local.ask("SearchFacesByImage", {**request, "Image": {"Bytes": data}})
        max_pixels = local.services.settings.pixel_limit
    if as_json:
        typer.echo(answer_line("SearchFacesByImage", answer, File=str(photo)))
    else:
        console.print(_matches_table(answer["FaceMatches"], min_similarity))
    if sheet is not None and photos is not None:
        _draw_sheet(sheet, photo.name, data, answer, photos.expanduser(), max_pixels)


# --- names ------------------------------------------------------------------------------------------------------------


def external_image_id(path: PurePath) -> str:
    """The ExternalImageId of a photo by its path inside the folder: [a-zA-Z0-9_.-:], 255 characters at most.

    `a/b.jpg` becomes `a:b.jpg`. Other characters become `_`, and then, as for a path that is too long, eight digits of
    the SHA-256 of the path stand before the suffix: `Zoë.jpg` becomes `Zo_-<digits>.jpg`.
    """
    exact = path.as_posix()
    plain = ":".join(re.sub(r"[^a-zA-Z0-9_.\-]", "_", part) for part in exact.split("/"))
    if plain == exact.replace("/", ":") and ":" not in exact and len(plain) <= EXTERNAL_ID_LENGTH:
        return plain
    digits = hashlib.sha256(exact.encode(errors="surrogateescape")).hexdigest()[:8]
    suffix = PurePath(plain).suffix[:16]
    stem = plain.removesuffix(suffix)
    return f"{stem[: EXTERNAL_ID_LENGTH - len(digits) - len(suffix) - 1]}-{digits}{suffix}"


# --- the handlers, in this process ------------------------------------------------------------------------------------


class _Local:
    """Asks the operations' own handlers, as the server does for a request of the account and region of the settings."""

    def __init__(self, home: Path | None, profile: Profile) -> None:
        from openrek.service.operation import load_operations
        from openrek.wire.validator import Validator

        lifted = LOCAL_FILE_LIMIT if profile is Profile.RELAXED else None
        settings = settings_from(home=home, profile=profile, max_image_bytes=lifted)
        self.services = services_from(settings)
        self.caller = Caller("local", settings.account_id, settings.region)
        self._operations = load_operations()
        self._validator = Validator(service_model(), {"ImageBlob": LOCAL_FILE_LIMIT})  # the handlers have the real one

    def ask(self, name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer; raises ServiceError."""
        self._validator.validate(name, request)
        return self._operations[name].handler(request, self.call(name, request), self.services)

    def call(self, name: str, request: Mapping[str, Any]) -> Call:
        return Call(name, "local", self.caller, request)


@contextmanager
def _local(home: Path | None, profile: Profile) -> Iterator[_Local]:
    """An answer that is an error ends the command with its message."""
    local = _Local(home, profile)
    try:
        yield local
    except ServiceError as error:
        raise UserError(str(error)) from error
    finally:
        local.services.close()


class _Known:
    """Tells what became of photos earlier, by the hash of their bytes: those that have faces in a collection, and those
    that gave none when they were looked at with the same models and for the same quality."""

    def __init__(self, local: _Local, collection: str, quality: Quality) -> None:
        from openrek.service.collections import find_collection
        from openrek.store.faceless import FacelessPictures
        from openrek.store.faces import Faces
        from openrek.vision.faces.centerface import MODEL

        found = find_collection(local.call("DescribeCollection", {}), local.services, collection)
        self._number = found.number
        self._faces = Faces(local.services.database)
        self._faceless = FacelessPictures(local.services.database)
        card = local.services.runtime.catalogue[MODEL]
        self._looked_with = f"openrek {__version__}, {card.name} {card.version}, {quality}"

    def outcome(self, data: bytes, external_id: str) -> Outcome | None:
        """None where the photo has to be looked at."""
        from openrek.service.face_index import image_id_of

        image_id = image_id_of(data)
        if self._faces.of_image(self._number, image_id, external_id):
            return Outcome.KNOWN
        return Outcome.NO_FACE if self._faceless.has(self._number, image_id, self._looked_with) else None

    def note_faceless(self, data: bytes) -> None:
        from openrek.service.face_index import image_id_of

        self._faceless.note(self._number, image_id_of(data), self._looked_with)


def _open_collection(local: _Local, collection: str, quality: Quality, *, create: bool) -> _Known:
    from openrek.contract.errors import ResourceNotFoundException

    if create:
        with suppress(ResourceAlreadyExistsException):
            local.ask("CreateCollection", {"CollectionId": collection})
    try:
        return _Known(local, collection, quality)
    except ResourceNotFoundException as error:
        raise UserError(f"{error}; --create makes it") from error


# --- what people see --------------------------------------------------------------------------------------------------


def _draw_sheet(sheet: Path, name: str, data: bytes, answer: Mapping[str, Any], folder: Path, max_pixels: int) -> None:
    from openrek.cli.contact_sheet import MOST_TILES, contact_sheet

    if not folder.is_dir():
        raise UserError(f"{str(folder)!r} is not a folder")
    paths = {external_image_id(path.relative_to(folder)): path for path in find_photos([str(folder)])}
    matches = answer["FaceMatches"][:MOST_TILES]
    picture, missing = contact_sheet(name, data, answer["SearchedFaceBoundingBox"], matches, paths, max_pixels)
    try:
        picture.save(sheet)
    except (OSError, ValueError) as error:
        raise UserError(f"the contact sheet cannot be written: {error}") from error
    console_err.print(f"contact sheet: {escape(str(sheet))}", highlight=False, soft_wrap=True)
    if len(answer["FaceMatches"]) > len(matches):
        console_err.print(f"the sheet shows the {len(matches)} most alike", highlight=False)
    if missing:
        console_err.print(
            f"{missing} of {len(matches)} matches have no picture on the sheet: a collection keeps none, and the photo "
            f"is not in {escape(str(folder))} under its name, or has changed since it was indexed",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )


def _matches_table(matches: Sequence[Mapping[str, Any]], threshold: float) -> Table:
    if not matches:
        table = Table(box=None, show_header=False)
        table.add_row(f"[dim]no face is at least {threshold:g} % alike[/]")
        return table
    table = _table("photo", "alike %", "left, top  width x height", "user", "face id")
    for match in matches:
        face = match["Face"]
        table.add_row(
            escape(face.get("ExternalImageId", "")),
            f"{match['Similarity']:.1f}",
            _place(face["BoundingBox"]),
            escape(face.get("UserId", "")),
            face["FaceId"],
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=True, header_style="dim")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column == "alike %" else "left",
            overflow="fold",  # nothing of an id is lost in a narrow window
        )
    return table


def _place(box: Mapping[str, float]) -> str:
    return f"{box['Left']:.3f}, {box['Top']:.3f}  {box['Width']:.3f} x {box['Height']:.3f}"


def _read(photo: Path) -> bytes:
    try:
        return _photo_bytes(photo.expanduser())
    except OSError as error:
        raise UserError(f"{str(photo)!r} cannot be read: {error.strerror or error}") from error


def _photo_bytes(photo: Path) -> bytes:
    """What a file holds. Raises OSError, for one that is empty or too large too: the validator could not name it."""
    if photo.stat().st_size > LOCAL_FILE_LIMIT:
        raise OSError(f"it has more than {LOCAL_FILE_LIMIT // MIB:,} MiB")
    data = photo.read_bytes()
    if not data:
        raise OSError("it is empty")
    return data
