"""`openrek labels`: the taxonomy, printed and searched."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openrek.cli.common import JsonOption, console

if TYPE_CHECKING:
    from openrek.vision.labels import Label, Taxonomy

Words = Annotated[
    list[str] | None,
    typer.Argument(
        help="Words that a label's name or alias has, or an ancestor's name; all of them.", show_default=False
    ),
]
CategoryOption = Annotated[
    str | None, typer.Option("--category", help="Only of this category, by a part of its name.", show_default=False)
]
SeenOption = Annotated[bool, typer.Option("--seen", help="Only labels that a model can see.")]
BoxesOption = Annotated[bool, typer.Option("--boxes", help="Only labels that can carry boxes.")]


def labels(
    words: Words = None,
    category: CategoryOption = None,
    seen: SeenOption = False,
    boxes: BoxesOption = False,
    as_json: JsonOption = False,
) -> None:
    """The labels that DetectLabels knows: category, ancestors, aliases, boxes, and which models see them."""
    from openrek.vision.labels import taxonomy

    table = taxonomy()
    found = [
        label
        for label in table.values()
        if matches(label, words or [])
        and (not category or category.casefold() in label.category.casefold())
        and (not seen or table.sources[label.name])
        and (not boxes or label.has_boxes)
    ]
    if as_json:
        print(json.dumps([_summary(label, table) for label in found], indent=2))
        return
    _print(found, table)


def matches(label: "Label", words: list[str]) -> bool:
    """Whether each word is in the label's name, in one of its aliases, or in the name of an ancestor."""
    texts = [text.casefold() for text in (label.name, *label.aliases, *label.ancestors)]
    return all(any(word.casefold() in text for text in texts) for word in words)


def _summary(label: "Label", table: "Taxonomy") -> dict[str, Any]:
    return {
        "name": label.name,
        "category": label.category,
        "ancestors": list(label.ancestors),
        "aliases": list(label.aliases),
        "boxes": label.has_boxes,
        "seen_by": sorted(table.sources[label.name]),
    }


def _print(found: "list[Label]", table: "Taxonomy") -> None:
    from rich.markup import escape
    from rich.table import Table

    if found:
        rows = Table(box=None, header_style="bold")
        for column in ("label", "category", "is a", "also called", "boxes", "seen by"):
            rows.add_column(column, overflow="fold")
        for label in found:
            rows.add_row(
                escape(label.name),
                label.category,
                escape(", ".join(label.ancestors)),
                escape(", ".join(label.aliases)),
                "yes" if label.has_boxes else "",
                ", ".join(sorted(table.sources[label.name])) or "[dim]nothing yet[/]",
            )
        console.print(rows)
    sighted = sum(bool(table.sources[label.name]) for label in found)
    console.print(f"{len(found):,} of {len(table):,} labels, {sighted:,} of them seen", highlight=False)
