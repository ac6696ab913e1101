"""All cards by name, and the packs they form."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import openrek.vision.models
from openrek.vision.runtime.cards import Card, read_card
from openrek.vision.runtime.errors import CardError, UnknownModelError

CARDS = Path(openrek.vision.models.__path__[0])


class Catalogue(Mapping[str, Card]):
    """Cards by name, in alphabetical order.

    Reads the project's own cards and those of `extra`, a folder of cards of one's own (it need not exist). Raises
    CardError where a card is not valid or two bear one name; a missing name is an UnknownModelError.
    """

    def __init__(self, extra: Path | None = None, *, folder: Path = CARDS) -> None:
        cards: dict[str, Card] = {}
        for path in [*_cards_in(folder), *(_cards_in(extra) if extra else [])]:
            card = read_card(path)
            if card.name in cards:
                raise CardError(f"The model card {path} bears the name of {cards[card.name].folder / path.name}.")
            cards[card.name] = card
        self._cards = dict(sorted(cards.items()))

    def __getitem__(self, name: str) -> Card:
        try:
            return self._cards[name]
        except KeyError:
            known = ", ".join(self._cards)
            raise UnknownModelError(f"There is no model {name!r}; the catalogue has {known}.") from None

    def __contains__(self, name: object) -> bool:
        return name in self._cards

    def __iter__(self) -> Iterator[str]:
        return iter(self._cards)

    def __len__(self) -> int:
        return len(self._cards)

    @property
    def packs(self) -> tuple[str, ...]:
        return tuple(sorted({pack for card in self._cards.values() for pack in card.packs}))

    def pack(self, name: str) -> tuple[Card, ...]:
        """The cards of a pack; raises UnknownModelError where no card belongs to it."""
        cards = tuple(card for card in self._cards.values() if name in card.packs)
        if not cards:
            raise UnknownModelError(f"There is no pack {name!r}; the catalogue has {', '.join(self.packs)}.")
        return cards

    def select(self, names: Iterable[str]) -> tuple[Card, ...]:
        """The cards that packs and model names name, each once, in catalogue order."""
        wanted: set[str] = set()
        for name in names:
            if name in self:
                wanted.add(name)
            elif name in self.packs:
                wanted.update(card.name for card in self.pack(name))
            else:
                raise UnknownModelError(
                    f"There is no model or pack {name!r}; packs: {', '.join(self.packs)}; models: {', '.join(self)}."
                )
        return tuple(card for name, card in self._cards.items() if name in wanted)


def _cards_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml")) if folder.is_dir() else []
