"""`openrek buckets create|put|list|rm`: pictures for `S3Object`, in a folder of this machine."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openrek.cli.common import HomeOption, JsonOption, UserError, console, console_err, settings_from

if TYPE_CHECKING:
    from openrek.store.objects import FolderStore, ObjectInfo

app = typer.Typer(
    no_args_is_help=True, help="Buckets in a folder of this machine: where the server looks up an S3Object."
)

BucketArgument = Annotated[str, typer.Argument(help="The bucket's name.")]


@app.command("create")
def create(
    bucket: BucketArgument,
    versioning: Annotated[bool, typer.Option("--versioning", help="Keep earlier contents of its keys.")] = False,
    home: HomeOption = None,
) -> None:
    """Make a bucket, or give one versioning."""
    store = _store(home)
    new = store.create_bucket(bucket, versioning=versioning)
    typer.echo(f"{store.root / bucket} {'is made' if new else 'was there'}: files put into it are its objects.")


@app.command("put")
def put(
    bucket: BucketArgument,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files, and folders with all that is in them.")
    ],
    key: Annotated[str | None, typer.Option(help="The key, for one file.", show_default=False)] = None,
    prefix: Annotated[str, typer.Option(help="Put in front of every key.", show_default=False)] = "",
    home: HomeOption = None,
) -> None:
    """Store files. A file's key is its name; a file's in a folder, its path below that folder."""
    if key is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise UserError("--key is for one file; use --prefix for several")
    store = _store(home)
    files = [(prefix + (key or name), path) for path in paths for name, path in _files(path)]
    if not files:
        raise UserError("there is no file in what was given")
    from rich.progress import track

    shown = track(files, "Storing", console=console_err, transient=True, disable=not console_err.is_terminal)
    total = sum(store.put(bucket, name, path).size for name, path in shown)
    what = files[0][0] if len(files) == 1 else f"{len(files):,} objects"
    typer.echo(f"{what} in {bucket}, {_size(total)}")


@app.command("list")
def list_objects(
    bucket: Annotated[str | None, typer.Argument(help="A bucket; without it, all buckets.")] = None,
    prefix: Annotated[str, typer.Option(help="Only keys that begin so.", show_default=False)] = "",
    versions: Annotated[bool, typer.Option("--versions", help="Earlier contents too.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the buckets, or the objects of one."""
    store = _store(home)
    if bucket is None:
        _list_buckets(store, as_json)
        return
    objects: list[tuple[str, ObjectInfo]] = []
    for item in store.list_objects(bucket, prefix):
        contents: Sequence[ObjectInfo] = store.versions(bucket, item.key) if versions else [item.info]
        objects += [(item.key, info) for info in contents]
    if as_json:
        answer = [
            {"Key": key, "Size": info.size, "LastModified": info.last_modified.isoformat(), "ETag": info.etag}
            | ({"VersionId": info.version} if info.version else {})
            for key, info in objects
        ]
        typer.echo(json.dumps({"Objects": answer}))
        return
    if not objects:
        typer.echo("There is no such object.", err=True)
        return
    from rich.markup import escape
    from rich.table import Table

    versioned = store.is_versioned(bucket)
    table = Table(box=None, header_style="dim")
    for column in ("key", "size", "changed") + (("version",) if versioned else ()):
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    for name, info in objects:
        cells = [escape(name), _size(info.size), f"{info.last_modified.astimezone():%Y-%m-%d %H:%M}"]
        table.add_row(*cells, *([info.version] if versioned else []))
    console.print(table)


@app.command("rm")
def remove(
    bucket: BucketArgument,
    key: Annotated[str | None, typer.Argument(help="An object's key; without it, the bucket itself.")] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="A bucket with all that is in it; or all keys that begin with KEY.")
    ] = False,
    purge: Annotated[bool, typer.Option("--purge", help="The object's earlier versions too.")] = False,
    home: HomeOption = None,
) -> None:
    """Remove an object, or a bucket."""
    store = _store(home)
    if key is None:
        store.delete_bucket(bucket, recursive=recursive)
        typer.echo(f"{bucket} is removed.")
        return
    keys = [item.key for item in store.list_objects(bucket, key)] if recursive else [key]
    if not keys:
        raise UserError(f"no key in {bucket} begins with {key!r}")
    for name in keys:
        store.delete(bucket, name, purge=purge)
    typer.echo(f"{keys[0] if len(keys) == 1 else f'{len(keys):,} objects'} removed from {bucket}.")


def _store(home: Path | None) -> "FolderStore":
    from openrek.store.objects import FolderStore

    settings = settings_from(home=home)
    if settings.s3_endpoint is not None:
        typer.echo(
            f"Note: OPENREK_S3_ENDPOINT is {settings.s3_endpoint}; a server with it reads no buckets here.", err=True
        )
    return FolderStore(settings.home / "buckets")


def _list_buckets(store: "FolderStore", as_json: bool) -> None:
    buckets = store.buckets()
    if as_json:
        typer.echo(
            json.dumps({"Buckets": [{"Name": name, "Versioning": store.is_versioned(name)} for name in buckets]})
        )
        return
    if not buckets:
        typer.echo("There are no buckets. Make one with: openrek buckets create NAME", err=True)
    for name in buckets:
        typer.echo(f"{name}  (versioning)" if store.is_versioned(name) else name)


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """The files that a path stands for, with their keys."""
    if not path.is_dir():
        yield path.name, path
        return
    for folder, subfolders, names in os.walk(path):
        subfolders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file():
                yield file.relative_to(path).as_posix(), file


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError
