"""Model cards as pages: `python -m openrek.vision.runtime.pages docs/models` writes one page a card, and a list."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from openrek.vision.runtime.cards import Card, Tensor
from openrek.vision.runtime.catalogue import Catalogue

MARK = "<!-- Made from the model cards by: python -m openrek.vision.runtime.pages docs/models -->\n"


def render(catalogue: Mapping[str, Card]) -> dict[str, str]:
    """The pages by file name."""
    pages = {f"{card.name}.md": _page(card) for card in catalogue.values()}
    return {"README.md": _list(catalogue.values())} | pages


def _list(cards: Iterable[Card]) -> str:
    rows = [
        (
            f"[{card.name}]({card.name}.md)",
            card.task,
            card.version,
            ", ".join(card.packs),
            card.licence,
            f"{card.size / 1e6:.1f} MB",
        )
        for card in cards
    ]
    return (
        f"# Models\n\n{MARK}\n"
        "The pack `base` does every job and is fetched on first use, or by `openrek models pull base`; `plus` holds "
        "larger or alternative public models (`openrek models pull plus`). Every file is checked against the SHA-256 "
        "in its card. `OPENREK_MODEL_MIRROR` names a folder or an address in which a file is looked for before its own "
        "source: as `<sha256>/<file>`, as the path of its address, or as `<file>`. With `OPENREK_OFFLINE=1` nothing is "
        "downloaded; a mirror folder still serves.\n\n"
        "A model of your own: put a card `<name>.toml` and its ONNX file into `<OPENREK_HOME>/models.d`, with "
        '`sources = ["file:<name>.onnx"]`, its SHA-256 and its size; `openrek models verify <name>` checks it.\n\n'
        + _table(("model", "task", "version", "packs", "licence", "size"), rows)
    )


def _page(card: Card) -> str:
    parts = [f"# {card.name}\n\n{MARK}\n{card.summary}\n"]
    facts = [
        ("task", card.task),
        ("version", card.version),
        ("packs", ", ".join(card.packs)),
        ("licence", card.licence),
        ("training data", card.training_data),
        ("home page", f"<{card.homepage}>" if card.homepage else ""),
        ("source", "<br>".join(f"`{source}`" for source in card.sources)),
        ("SHA-256", f"`{card.sha256}`"),
        ("size", f"{card.size} bytes"),
        ("preparation", f"`{card.prepare.step}`" if card.prepare else ""),
        ("labels", f"`{card.labels}`" if card.labels else ""),
    ]
    parts.append(_table(("", ""), [(f"**{key}**", value) for key, value in facts if value]))
    parts += [_tensors("Inputs", card.inputs), _tensors("Outputs", card.outputs)]
    if card.preprocess:
        rows = [(f"`{key}`", f"`{value}`") for key, value in card.preprocess.items()]
        parts.append("## Preprocessing\n\n" + _table(("parameter", "value"), rows))
    if card.similarity:
        knots = [(f"{cosine:g}", f"{similarity:g}") for cosine, similarity in card.similarity]
        parts.append("## Similarity\n\nLinear in between:\n\n" + _table(("cosine", "similarity"), knots))
    if card.accuracy:
        measured = [(a.metric, f"{a.value:g}", a.data, f"`{a.command}`") for a in card.accuracy]
        parts.append("## Accuracy\n\n" + _table(("metric", "value", "measured on", "with"), measured))
    if card.speed:
        speeds = [
            (s.what, f"{s.value:g} {s.unit}", s.machine, f"`{s.command}`" if s.command else "") for s in card.speed
        ]
        parts.append("## Speed\n\n" + _table(("what", "value", "machine", "with"), speeds))
    if card.blind_spots:
        parts.append("## Blind spots\n\n" + "".join(f"- {text}\n" for text in card.blind_spots))
    return "\n".join(part for part in parts if part)


def _tensors(title: str, tensors: tuple[Tensor, ...]) -> str:
    if not tensors:
        return ""
    rows = [
        (f"`{tensor.name}`", tensor.dtype, " x ".join(str(size) for size in tensor.shape), tensor.about)
        for tensor in tensors
    ]
    return f"## {title}\n\n" + _table(("name", "type", "shape", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main(folder: Path) -> None:
    """Write the pages into a folder; pages of cards that are gone are removed."""
    pages = render(Catalogue())
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
