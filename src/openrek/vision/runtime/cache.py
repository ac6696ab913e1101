"""The folder of model files, trusted only as far as their SHA-256 goes.

    <root>/models/<name>/<first 12 digits of sha256>/<file>                  as its source holds it
    <root>/models/<name>/<...>/<stem>.<step>-<version>-<options>.onnx        prepared, with a record `.json` beside it
    <root>/downloads/                                                        unfinished downloads
    <root>/locks/                                                            one fetch of one thing at a time

Files appear under their name by an atomic rename after their content is on the disk, so a crash at any moment leaves no
half file.
"""

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from openrek.vision.runtime.cards import Card
from openrek.vision.runtime.prepare import step_of

TEMPORARY = ".tmp"
STALE = 7 * 24 * 3600.0
"""Age in seconds after which an unfinished file is nobody's any more."""


class State(StrEnum):
    PRESENT = "present"
    MISSING = "missing"
    CORRUPT = "corrupt"


class WrongContentError(Exception):
    """A file's content is not the one its card names; the message is a clause without a full stop."""


class ModelCache:
    """See the module. `root` is created when something is first stored."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def original(self, card: Card) -> Path:
        """Where the file as its source holds it lies: beside the card for a `file:` source, else in the cache."""
        return card.packaged or self.root / "models" / card.name / card.sha256[:12] / card.file

    def prepared(self, card: Card) -> Path:
        """Where the file to run lies: the original itself where the card names no preparation."""
        if card.prepare is None:
            return self.original(card)
        step = step_of(card.prepare.step)
        options = hashlib.sha256(json.dumps(card.prepare.options, sort_keys=True).encode()).hexdigest()[:8]
        name = f"{Path(card.file).stem}.{step.name}-{step.version}-{options}.onnx"
        return self.root / "models" / card.name / card.sha256[:12] / name

    def check(self, card: Card) -> State:
        """Hash the original."""
        return _state(self.original(card), card.size, card.sha256)

    def check_prepared(self, card: Card) -> State:
        """Hash the prepared file against the record that was written with it."""
        if card.prepare is None:
            return self.check(card)
        path = self.prepared(card)
        if not path.is_file():
            return State.MISSING
        try:
            record = json.loads(_record(path).read_bytes())
            size, digest, source = int(record["size"]), str(record["sha256"]), record["source_sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return State.CORRUPT
        return _state(path, size, digest) if source == card.sha256 else State.CORRUPT

    def install(self, card: Card, write: Callable[[BinaryIO], None]) -> Path:
        """Store the original that `write` puts out; raises WrongContentError where it is not what the card says."""
        target = self.original(card)
        with _atomic(target) as file:
            write(file)
            file.flush()
            size, digest = _measure(Path(file.name))
            if digest != card.sha256:
                raise WrongContentError(
                    f"the file has SHA-256 {digest[:12]}… and {size} bytes where the card says {card.sha256[:12]}… "
                    f"and {card.size}"
                )
        return target

    def install_prepared(self, card: Card, content: bytes) -> Path:
        """Store the prepared file, its record first: a crash in between leaves a record without a file, which counts
        as missing."""
        target = self.prepared(card)
        record = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "source_sha256": card.sha256,
        }
        with _atomic(_record(target)) as file:
            file.write(json.dumps(record).encode())
        with _atomic(target) as file:
            file.write(content)
        return target

    def drop(self, card: Card) -> None:
        """Remove the files of a card from the cache; what lies beside the card stays."""
        for path in {self.prepared(card), self.original(card)} - {card.packaged}:
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what crashes left behind long ago."""
        oldest = time.time() - STALE
        for pattern in (f"models/*/*/.*{TEMPORARY}", "downloads/*.part"):
            for path in self.root.glob(pattern):
                with suppress(OSError):
                    if path.stat().st_mtime < oldest:
                        path.unlink()

    def part(self, key: str, file: str) -> Path:
        """Where the unfinished download `key` of a file of that name lies."""
        folder = self.root / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}-{file}.part"

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the lock of `key` among all threads and processes that use this folder; freed when a process dies."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / (re.sub(r"[^A-Za-z0-9._-]+", "-", key)[:100] + ".lock"), thread_local=False):
            yield


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path, size: int, sha256: str) -> State:
    try:
        return State.PRESENT if _measure(path) == (size, sha256) else State.CORRUPT
    except FileNotFoundError:
        return State.MISSING
    except OSError:
        return State.CORRUPT


@contextmanager
def _atomic(target: Path) -> Iterator[BinaryIO]:
    """A temporary file beside `target` that becomes `target` when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(6)}{TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
