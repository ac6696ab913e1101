"""`openrek models`: the model files, their packs and their state."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openrek.cli.common import JsonOption, console, console_err, settings_from
from openrek.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from openrek.cli.progress import DownloadBars
    from openrek.vision.runtime import Card, ModelLibrary
    from openrek.vision.runtime.cards import Tensor

app = typer.Typer(help="Fetch, list and check the models.", no_args_is_help=True)

Names = Annotated[
    list[str] | None, typer.Argument(help="Packs or models; see `openrek models list`.", show_default=False)
]
STYLES = {"present": "green", "missing": "yellow", "corrupt": "bold red"}


def library_from(settings: Settings, progress: "DownloadBars | None" = None) -> "ModelLibrary":
    """The catalogue and its files as the settings describe them."""
    from openrek.vision.runtime import Catalogue, ModelLibrary

    return ModelLibrary(
        Catalogue(settings.home / "models.d"),
        settings.cache,
        offline=settings.offline,
        mirror=settings.model_mirror,
        index_url=settings.index_url,
        progress=progress,
    )


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """Every model: what it does, its licence and size, and whether its file is here and whole."""
    from openrek.cli.blind import blind_sentence

    library = library_from(settings_from())
    rows = [(card, library.state(card).value) for card in library.catalogue.values()]
    if as_json:
        print(json.dumps([_summary(card, state) for card, state in rows], indent=2))
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for column in ("model", "task", "version", "packs", "licence", "size", "state"):
        fixed = column in ("model", "task", "packs", "size", "state")
        table.add_column(
            column,
            no_wrap=fixed,
            min_width=len("Apache-2.0") if column == "licence" else None,
            overflow="fold",
            justify="right" if column == "size" else "left",
        )
    for card, state in rows:
        packs, size = ", ".join(card.packs) or "-", f"{card.size / 1e6:.1f} MB"
        table.add_row(card.name, card.task, card.version, packs, card.licence, size, f"[{STYLES[state]}]{state}[/]")
    console.print(table)
    console.print(f"cache: {library.cache.root}", highlight=False, soft_wrap=True)
    console.print(blind_sentence(settings_from()), highlight=False, soft_wrap=True, markup=False)


@app.command("pull")
def pull(names: Names = None) -> None:
    """Fetch models that are missing or damaged. Without a name: the pack base."""
    from openrek.cli.progress import DownloadBars
    from openrek.vision.runtime import ModelError

    failures = 0
    with DownloadBars() as bars:
        library = library_from(settings_from(), bars)
        cards = library.catalogue.select(names or ["base"])
        here = {card.name for card in cards if library.state(card).value == "present"}
        for card in cards:
            try:
                library.pull([card])
            except ModelError as error:
                failures += 1
                console_err.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
            else:
                verb = "is here" if card.name in here else "fetched"
                console.print(f"[green]✓[/] {card.name} {verb} ({card.size / 1e6:.1f} MB)", highlight=False)
        library.close()
    if failures:
        raise typer.Exit(1)


@app.command("verify")
def verify(names: Names = None, as_json: JsonOption = False) -> None:
    """Hash the files again and compare with the cards.

    Exit status 1 where one is damaged, or a named one is missing.
    """
    library = library_from(settings_from())
    cards = library.catalogue.select(names) if names else tuple(library.catalogue.values())
    rows = [(card, library.state(card).value) for card in cards]
    if as_json:
        print(json.dumps([_summary(card, state) for card, state in rows], indent=2))
    else:
        for card, state in rows:
            console.print(f"[{STYLES[state]}]{state:8}[/] {card.name}", highlight=False)
    bad = [card.name for card, state in rows if state == "corrupt" or (names and state == "missing")]
    if bad:
        console_err.print(f"Fetch again with: {library.pull_command(*bad)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="A model's name.", show_default=False)], as_json: JsonOption = False
) -> None:
    """The whole card of one model, and where its file lies."""
    library = library_from(settings_from())
    card = library.catalogue[name]
    state = library.state(card).value
    where = str(library.cache.prepared(card) if state == "present" else library.cache.original(card))
    if as_json:
        content = card.model_dump(mode="json") | {"sources": [str(source) for source in card.sources]}
        print(json.dumps(content | {"state": state, "path": where}, indent=2))
        return
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    for key, text in [
        ("model", f"{card.name}, version {card.version}"),
        ("task", card.task),
        ("packs", ", ".join(card.packs) or "none"),
        ("summary", card.summary),
        ("licence", card.licence),
        ("training data", card.training_data),
        ("home page", card.homepage),
        ("source", "\n".join(str(source) for source in card.sources)),
        ("sha256", card.sha256),
        ("size", f"{card.size} bytes"),
        ("state", state),
        ("path", where),
        ("inputs", "\n".join(_tensor(tensor) for tensor in card.inputs)),
        ("outputs", "\n".join(_tensor(tensor) for tensor in card.outputs)),
        ("accuracy", "\n".join(f"{a.metric}: {a.value:g} on {a.data} ({a.command})" for a in card.accuracy)),
        ("speed", "\n".join(f"{s.what}: {s.value:g} {s.unit} on {s.machine}" for s in card.speed)),
        ("blind spots", "\n".join(card.blind_spots)),
    ]:
        if text:
            table.add_row(key, _plain(text))
    console.print(table)


def _summary(card: "Card", state: str) -> dict[str, Any]:
    return {
        "name": card.name,
        "task": card.task,
        "version": card.version,
        "packs": list(card.packs),
        "licence": card.licence,
        "size": card.size,
        "sha256": card.sha256,
        "state": state,
    }


def _tensor(tensor: "Tensor") -> str:
    shape = " x ".join(str(size) for size in tensor.shape)
    return f"{tensor.name}: {tensor.dtype}, {shape}" + (f" ({tensor.about})" if tensor.about else "")


def _plain(text: str) -> "Text":
    from rich.text import Text

    return Text(text, overflow="fold")
