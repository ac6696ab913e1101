"""The runtime: models by name, loaded when first used, unloaded when idle."""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openrek.vision.runtime import memory
from openrek.vision.runtime.cards import Card
from openrek.vision.runtime.catalogue import Catalogue
from openrek.vision.runtime.errors import ModelError
from openrek.vision.runtime.hardware import usable_cores
from openrek.vision.runtime.library import ModelLibrary, Progress
from openrek.vision.runtime.session import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

THREADS = 8
"""Most threads a run takes by default: these models are small, and more cores serve more calls at once instead."""

TICK = 10.0
"""Seconds between two looks at what memory can be given back."""


class Model:
    """A model of the catalogue, ready to run. May be kept: it loads itself again after an idle time.

    `metadata` is the ONNX file's own (PP-OCR keeps its characters there), `input_names` and `output_names` are in the
    file's order.
    """

    def __init__(self, card: Card, load: Callable[[], Session]) -> None:
        self.card = card
        self._load = load
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._users = 0
        self.last_used = time.monotonic()
        self._batcher: Any = None
        with self._use() as session:
            self.metadata: Mapping[str, str] = session.metadata
            self.input_names = session.input_names
            self.output_names = session.output_names
            self.providers = session.providers
        if card.batch_window > 0:
            from openrek.vision.runtime.batching import Batcher

            self._batcher = Batcher(self._run, window=card.batch_window, limit=card.batch_limit)

    def run(self, feeds: "Mapping[str, NDArray[Any]]", outputs: Sequence[str] | None = None) -> "list[NDArray[Any]]":
        """Run the model on inputs by name; returns the outputs named (default: all, in the file's order).

        Thread-safe. Raises ModelRunError where the inputs do not fit, ModelUnavailableError where the file vanished
        while the model was out of memory.
        """
        if self._batcher is not None:
            results: list[NDArray[Any]] = self._batcher.run(feeds, outputs)
            return results
        return self._run(feeds, outputs)

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory now."""
        return self._session is not None

    def unload(self, idle: float = 0.0) -> bool:
        """Leave memory unless in use or used within the last `idle` seconds. Returns whether it is out of memory."""
        with self._lock:
            if self._users == 0 and time.monotonic() - self.last_used >= idle:
                self._session = None
            return self._session is None

    def _run(self, feeds: "Mapping[str, NDArray[Any]]", outputs: Sequence[str] | None) -> "list[NDArray[Any]]":
        with self._use() as session:
            return session.run(feeds, outputs)

    @contextmanager
    def _use(self) -> Iterator[Session]:
        with self._lock:
            session = self._session = self._session or self._load()
            self._users += 1
        try:
            yield session
        finally:
            with self._lock:
                self._users -= 1
                self.last_used = time.monotonic()


class Runtime:
    """Models by name. Thread-safe; makes nothing and loads nothing before it is asked to.

    `cache`: the folder of downloaded files. `offline`, `mirror`, `index_url`, `progress`: see ModelLibrary. `threads`:
    how many a run may use (default: the physical cores this process may use, at most THREADS). `idle`: seconds after
    which an unused model leaves memory. `extra_cards`: a folder of cards of one's own, which need not exist.
    """

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
        self.threads = threads or min(usable_cores(), THREADS)
        self._idle = idle
        self._models: dict[str, Model] = {}
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._reaper: threading.Thread | None = None

    def model(self, name: str) -> Model:
        """The model of this name, fetched if missing, verified and loaded.

        Raises UnknownModelError, ModelUnavailableError (one sentence that says what to do), or ModelRunError where the
        file cannot be loaded.
        """
        model = self._models.get(name)
        if model is not None:
            return model
        card = self.catalogue[name]
        with self._lock:
            loading = self._loading.setdefault(name, threading.Lock())
        with loading:
            if name not in self._models:
                self._models[name] = Model(card, lambda: self._load(card))
            return self._models[name]

    def warm(self, models: Iterable[Card | str]) -> None:
        """Load models before they are needed; the errors are those of `model`."""
        for model in models:
            self.model(model if isinstance(model, str) else model.name)

    def loaded(self) -> tuple[str, ...]:
        """The names of the models in memory."""
        return tuple(name for name, model in sorted(self._models.items()) if model.loaded)

    def close(self) -> None:
        """Unload everything; runs under way end in peace. The runtime cannot be used afterwards."""
        self._closed.set()
        for model in list(self._models.values()):
            model.unload()
        self.library.close()

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self, card: Card) -> Session:
        if self._closed.is_set():
            raise ModelError(f"The model {card.name!r} is asked for after the runtime was closed.")
        path = self.library.obtain(card)
        started = time.monotonic()
        session = Session(card.name, path, self.threads)
        log.info("loaded %s in %.0f ms (%s)", card.name, 1000 * (time.monotonic() - started), session.providers[0])
        with self._lock:
            if self._reaper is None:
                arguments = (weakref.ref(self), self._closed, self._idle)
                self._reaper = threading.Thread(target=_reap, args=arguments, name="openrek-idle-models", daemon=True)
                self._reaper.start()
        return session


def _reap(runtime: "weakref.ref[Runtime]", closed: threading.Event, idle: float) -> None:
    """Unload idle models and give back memory that no run needs, until the runtime is closed or forgotten."""
    released = 0.0
    while not closed.wait(min(TICK, idle / 4)):
        alive = runtime()
        if alive is None:
            return
        models = list(alive._models.values())
        del alive
        unloaded = [model.card.name for model in models if model.loaded and model.unload(idle)]
        if unloaded or any(model.last_used >= released for model in models):
            released = time.monotonic()
            memory.release()
        if unloaded:
            memory.trim()
            log.info("unloaded %s after %.0f s without use", ", ".join(unloaded), idle)
