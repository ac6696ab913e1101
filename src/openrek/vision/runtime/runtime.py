"""The runtime: models by name, loaded when first used."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from openrek.vision.runtime.cards import Card
from openrek.vision.runtime.catalogue import Catalogue
from openrek.vision.runtime.library import ModelLibrary, Progress
from openrek.vision.runtime.session import Session, default_threads


class Model:
    """A loaded model."""

    def __init__(self, card: Card, session: Session) -> None:
        self.card = card
        self._session = session
        self.metadata: Mapping[str, str] = session.metadata
        self.input_names = session.input_names
        self.output_names = session.output_names

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        return self._session.run(feeds, outputs)


class Runtime:
    """See the module."""

    def __init__(
        self,
        *,
        cache: Path,
        offline: bool = False,
        mirror: str | None = None,
        index_url: str | None = None,
        threads: int | None = None,
        idle: float = 900.0,
        progress: Progress | None = None,
        extra_cards: Path | None = None,
    ) -> None:
        self.catalogue = Catalogue(extra_cards)
        self.library = ModelLibrary(
            self.catalogue, cache, offline=offline, mirror=mirror, index_url=index_url, progress=progress
        )
        self._threads = threads or default_threads()
        self._idle = idle
        self._models: dict[str, Model] = {}
        self._lock = threading.Lock()

    def model(self, name: str) -> Model:
        with self._lock:
            if name not in self._models:
                card = self.catalogue[name]
                self._models[name] = Model(card, Session(name, self.library.obtain(card), self._threads))
            return self._models[name]

    def close(self) -> None:
        self._models.clear()
        self.library.close()
