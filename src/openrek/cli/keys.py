"""`openrek keys create|list|revoke`: who may call the server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from openrek.cli.common import HomeOption, JsonOption, UserError, console, settings_from
from openrek.settings import Settings

if TYPE_CHECKING:
    from openrek.store.access_keys import AccessKeys

app = typer.Typer(no_args_is_help=True, help="Access keys: who may call the server.")


@app.command("create")
def create(
    label: Annotated[str, typer.Option(help="Whose key this is, or what for.", show_default=False)] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key pair. The secret is shown once, here."""
    settings = settings_from(home=home)
    with _access_keys(settings) as keys:
        pair = keys.create(label)
    if as_json:
        answer = {
            "AccessKeyId": pair.access_key_id,
            "SecretAccessKey": pair.secret,
            "Label": pair.label,
            "Created": pair.created.isoformat(),
        }
        typer.echo(json.dumps(answer))
        return
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    for name, value in (
        ("AWS_ACCESS_KEY_ID", pair.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", pair.secret),
        ("AWS_REGION", settings.region),
        ("AWS_ENDPOINT_URL_REKOGNITION", f"http://{host}:{settings.port}"),
    ):
        typer.echo(f"export {name}={value}")
    typer.echo("The secret is not shown again. A running server accepts the key at once.", err=True)


@app.command("list")
def list_keys(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the keys, without their secrets."""
    with _access_keys(settings_from(home=home)) as keys:
        found = keys.list()
    if as_json:
        answer = [
            {"AccessKeyId": key.access_key_id, "Label": key.label, "Created": key.created.isoformat()} for key in found
        ]
        typer.echo(json.dumps({"AccessKeys": answer}))
        return
    if not found:
        typer.echo("There are no keys. Make one with: openrek keys create", err=True)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="dim")
    for column in ("access key", "made", "label"):
        table.add_column(column, no_wrap=column == "access key")
    for key in found:
        table.add_row(key.access_key_id, f"{key.created.astimezone():%Y-%m-%d %H:%M}", escape(key.label))
    console.print(table)


@app.command("revoke")
def revoke(
    access_key_id: Annotated[str, typer.Argument(help="The key's id, as `openrek keys list` shows it.")],
    home: HomeOption = None,
) -> None:
    """Delete a key: every server refuses it from the next second on."""
    with _access_keys(settings_from(home=home)) as keys:
        if not keys.revoke(access_key_id):
            raise UserError(f"there is no key {access_key_id}; `openrek keys list` shows those there are")
    typer.echo(f"{access_key_id} is revoked.")


@contextmanager
def _access_keys(settings: Settings) -> "Iterator[AccessKeys]":
    from openrek.store.access_keys import AccessKeys
    from openrek.store.database import Database

    database = Database.open(settings.database_address)
    try:
        yield AccessKeys(database)
    finally:
        database.close()
