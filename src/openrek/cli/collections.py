"""`openrek collections list|export|import|reindex|forget-crops|erase`: collections of faces as files, made again with
another face model, and the erasure of a person."""

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from openrek.cli.common import HomeOption, JsonOption, UserError, console, services_from, settings_from
from openrek.cli.progress import count_bar
from openrek.contract.call import Caller
from openrek.settings import Profile

if TYPE_CHECKING:
    from openrek.service.services import Services
    from openrek.store.collections import Collection

app = typer.Typer(
    no_args_is_help=True, help="Collections of faces: show, export, import, make again, and erase a person."
)

REPLACED_FOR: Final = 10.5
"""Seconds after which no request uses the vectors of a collection that was made again (store.purge.GRACE)."""

CollectionArgument = Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection's id.")]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="The collection's region \\[env: OPENREK_REGION].", show_default=False)
]


@app.command("list")
def list_collections(region: RegionOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the collections of a region."""
    from openrek.store.collections import Collections

    with _opened(home, region) as (services, owner):
        store = Collections(services.database)
        found = []
        after = ""
        while page := store.page(owner.account_id, owner.region, after=after, limit=1000):
            after = page[-1].collection_id
            described = ((item, store.describe(owner.account_id, owner.region, item.collection_id)) for item in page)
            found += [(item.collection_id, facts) for item, facts in described if facts is not None]
    if as_json:
        answer = [
            {
                "CollectionId": name,
                "FaceCount": facts.face_count,
                "UserCount": facts.user_count,
                "FaceModelVersion": facts.face_model_version,
                "Created": _time(facts.created_ms).isoformat(),
            }
            for name, facts in found
        ]
        typer.echo(json.dumps({"Collections": answer}))
        return
    if not found:
        typer.echo(f"There are no collections in {owner.region}.", err=True)
        return
    table = Table(box=None, header_style="dim")
    for column in ("collection", "faces", "users", "model", "created"):
        table.add_column(column, justify="right" if column in ("faces", "users") else "left", overflow="fold")
    for name, facts in found:
        created = f"{_time(facts.created_ms).astimezone():%Y-%m-%d %H:%M}"
        counts = f"{facts.face_count:,}", f"{facts.user_count:,}"
        table.add_row(escape(name), *counts, facts.face_model_version, created)
    console.print(table)


@app.command("export")
def export(
    collection: CollectionArgument,
    file: Annotated[Path, typer.Argument(help="The file to write; - for standard output.")],
    region: RegionOption = None,
    home: HomeOption = None,
) -> None:
    """Write a collection with faces, vectors, users and tags to one file. Keep that file as safe as the database."""
    from openrek.service.collections import collection_arn
    from openrek.store.errors import CollectionMissingError
    from openrek.store.face_crops import FaceCrops
    from openrek.store.portable import export_collection, write_collection

    path = file.expanduser()
    to_output = str(file) == "-"
    with _opened(home, region) as (services, owner):
        key = (owner.account_id, owner.region, collection)
        arn = collection_arn(owner, collection)
        try:
            if to_output:
                header = write_collection(services.database, *key, resource=arn, file=sys.stdout.buffer)
                sys.stdout.buffer.flush()
            else:
                header = export_collection(services.database, *key, resource=arn, path=path)
            crops = FaceCrops(services.database).count(_found(services, owner, collection).number)
        except CollectionMissingError as error:
            raise UserError(str(error)) from error
        except BrokenPipeError:  # who reads our output has enough
            raise
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    written = f"{_many(header.faces, 'face')} and {_many(header.users, 'user')} of {collection}"
    typer.echo(f"{written} are written." if to_output else f"{written} are in {path}.", err=to_output)
    if crops:
        typer.echo(f"The file holds no pictures: {_many(crops, 'kept crop')} of faces stayed behind.", err=True)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote.")],
    name: Annotated[str | None, typer.Option("--as", help="Another id for the collection.", show_default=False)] = None,
    region: RegionOption = None,
    home: HomeOption = None,
) -> None:
    """Make a collection from a file: all of it or nothing. A running server has it at once."""
    from openrek.service.collections import collection_arn
    from openrek.service.face_model import vector_lengths
    from openrek.store.errors import ExistsError, FullError
    from openrek.store.portable import import_collection, read_header

    if name is not None and not re.fullmatch(r"[a-zA-Z0-9_.\-]{1,255}", name):
        raise UserError(f"{name!r} is no id of a collection: letters, digits and _ . - (255 at most)")
    path = file.expanduser()
    try:
        with path.open("rb") as opened:
            collection = name or read_header(opened, path)[0].collection_id
        with _opened(home, region) as (services, owner):
            limits = services.settings
            header = import_collection(
                services.database,
                owner.account_id,
                owner.region,
                collection,
                resource=collection_arn(owner, collection),
                path=path,
                max_faces=limits.max_collection_faces,
                max_users=limits.max_collection_users,
                lengths=vector_lengths(services.runtime.catalogue),
            )
    except FullError as error:
        raise UserError(
            f"{path} holds more than a collection may have ({error}); OPENREK_MAX_COLLECTION_FACES and "
            "OPENREK_MAX_COLLECTION_USERS lift the limits"
        ) from error
    except ExistsError as error:
        raise UserError(f"{error}; delete it, or give another id with --as") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    typer.echo(f"{_many(header.faces, 'face')} and {_many(header.users, 'user')} are in {collection}.")


@app.command("reindex")
def reindex_collection(
    collection: CollectionArgument,
    model: Annotated[str, typer.Option("--model", help="The card of the new face model.")] = "face-embedding",
    photos: Annotated[
        list[str] | None,
        typer.Option(
            "--photos", help="Photos that faces were indexed from: a folder, file or glob.", show_default=False
        ),
    ] = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out faces that have neither a kept crop nor a photo.")
    ] = False,
    region: RegionOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a collection again with another face model, in place: searches see the old one until the new one is whole.

    Faces are read from the crops kept under OPENREK_KEEP_FACE_CROPS, or from the photos. Start it again to go on.
    """
    from openrek.cli.photos import find_photos
    from openrek.service.reindex import reindex

    paths = find_photos(photos) if photos else []
    with _opened(home, region, Profile.RELAXED) as (services, owner):  # as `faces index` reads them
        with count_bar(f"reading the faces of {escape(collection)} again") as progress:
            done = reindex(
                services, owner, collection, model=model, photos=paths, drop_missing=drop_missing, progress=progress
            )
        if not as_json:
            typer.echo(
                f"{collection} is one of face model version {done.now} now (before: {done.before}): "
                f"{_many(done.faces, 'face')}" + (f", {done.left_out:,} left out." if done.left_out else ".")
            )
            typer.echo("The old vectors go when the requests that use them have ended ...", err=True)
        time.sleep(REPLACED_FOR)
        with count_bar("deleting what was replaced") as progress:
            services.purger.purge(progress=progress)
    if as_json:
        versions = {"FaceModelVersion": done.now, "FaceModelVersionBefore": done.before}
        typer.echo(json.dumps({**versions, "FaceCount": done.faces, "LeftOut": done.left_out}))


@app.command("forget-crops")
def forget_crops(collection: CollectionArgument, region: RegionOption = None, home: HomeOption = None) -> None:
    """Erase the kept crops of a collection's faces for good; the faces stay. It writes the database's file anew."""
    from openrek.store.erasure import write_anew
    from openrek.store.face_crops import FaceCrops

    with _opened(home, region) as (services, owner):
        gone = FaceCrops(services.database).forget(_found(services, owner, collection).number)
        write_anew(services.database)
    typer.echo(f"Erased from {collection}: {_many(gone, 'kept crop')}.")


@app.command("erase")
def erase(
    collection: CollectionArgument,
    external_image_id: Annotated[
        str | None, typer.Option("--external-image-id", help="All faces with this ExternalImageId.", show_default=False)
    ] = None,
    face_id: Annotated[str | None, typer.Option("--face-id", help="One face.", show_default=False)] = None,
    region: RegionOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase faces for good, from users, search files and free space of the database too. It writes the file anew."""
    from openrek.store.erasure import erase_faces
    from openrek.store.errors import CollectionMissingError

    if (external_image_id is None) == (face_id is None):
        raise UserError("say which faces: either --external-image-id or --face-id")
    with _opened(home, region) as (services, owner):
        found = _found(services, owner, collection)
        with count_bar("deleting what deleted collections left") as progress:  # it may hold the faces too
            services.purger.purge(grace=0, progress=progress)
        try:
            done = erase_faces(services.database, found.number, external_image_id=external_image_id, face_id=face_id)
            services.vectors.forget(found.number)
        except CollectionMissingError as error:
            raise UserError(f"the collection {collection} was deleted meanwhile") from error
        folder = services.settings.home.absolute() / "vectors"
    # search files of this process are up to date, those of stopped ones gone: what is left is a running server's
    others = [path for path in folder.glob(f"*/{found.number}-*") if path.is_dir() and not _free(path.parent)]
    if as_json:
        typer.echo(json.dumps({"FaceIds": done.faces, "UserIds": done.users, "ServerRunning": bool(others)}))
    else:
        typer.echo(
            f"Erased from {collection}: {_many(len(done.faces), 'face')}, {_many(len(done.users), 'user')}."
            if done.faces
            else f"No face of {collection} has that id; the database holds no traces of earlier ones."
        )
    if others:
        typer.echo(
            "A running server keeps compressed vectors of this collection in its search files; it overwrites the "
            "erased ones at the next search there.",
            err=True,
        )
    if not done.faces:
        raise typer.Exit(1)


# --- parts ------------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(
    home: Path | None, region: str | None, profile: Profile | None = None
) -> "Iterator[tuple[Services, Caller]]":
    """The services, and the owner of the collections: the server's account, in a region."""
    settings = settings_from(home=home, region=region, profile=profile)
    services = services_from(settings)
    try:
        yield services, Caller("", settings.account_id, settings.region)
    finally:
        services.close()


def _found(services: "Services", owner: Caller, collection: str) -> "Collection":
    from openrek.store.collections import Collections

    found = Collections(services.database).find(owner.account_id, owner.region, collection)
    if found is None:
        raise UserError(f"there is no collection {collection} in the region {owner.region}")
    return found


def _free(slot: Path) -> bool:
    """Whether no process uses a folder of search files."""
    from filelock import FileLock, Timeout

    lock = FileLock(slot.with_name(f"{slot.name}.lock"), mode=0o600)
    try:
        with lock.acquire(blocking=False):
            return True
    except Timeout:
        return False


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
