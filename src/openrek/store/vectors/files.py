"""The files of one index: a header that names the others, written last and at once.

    index.json       what the index holds: the change number it is at, its segments, a check sum of all that
    <g>-<i>.rows     segments of rows (segment.py)
    <g>.cells    centres of the first segment's cells, where it has any

What the header does not name is left over from a crash and is deleted. Rows behind those that the header counts are
taken for not there: the database gives them again.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from openrek.store.vectors.cells import Cells
from openrek.store.vectors.quantise import width
from openrek.store.vectors.segment import DamagedError, Segment

FORMAT: Final = 1
HEADER: Final = "index.json"


class State:
    """What an index holds, up to the change number `change`. The cells, if any, are those of the first segment."""

    def __init__(
        self,
        *,
        change: int = 0,
        dimension: int = 0,
        segments: Sequence[Segment] = (),
        cells: Cells | None = None,
        cells_file: str | None = None,
    ) -> None:
        self.change = change
        self.dimension = dimension
        self.segments = tuple(segments)
        self.cells = cells
        self.cells_file = cells_file


class IndexFiles:
    """The folder of one index; None keeps everything in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def new_path(self) -> Path | None:
        """A name for a new segment's file."""
        return self.folder / f"{secrets.token_hex(8)}.rows" if self.folder is not None else None

    def load(self) -> State:
        """What was saved, verified; an empty state where there is nothing. Raises DamagedError, OSError."""
        if self.folder is None:
            return State()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            header = _unseal((self.folder / HEADER).read_bytes())
        except FileNotFoundError:
            self._tidy(())
            return State()
        try:
            change, dimension = int(header["change"]), int(header["dimension"])
            listed = [(str(entry["file"]), int(entry["capacity"]), int(entry["used"])) for entry in header["segments"]]
            cells_file, cells_sum = header.get("cells"), str(header.get("cells_sha256"))
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"the header of {self.folder} makes no sense") from error
        self._tidy([HEADER, *(name for name, _, _ in listed), *([cells_file] if cells_file else [])])
        try:
            segments = [
                Segment(self.folder / name, capacity, width(dimension), used=used, make=False)
                for name, capacity, used in listed
            ]
            cells = self._cells(cells_file, cells_sum, segments) if cells_file else None
        except FileNotFoundError as error:
            raise DamagedError(f"{error.filename} is missing") from error
        for segment in segments:
            segment.verify()
        return State(change=change, dimension=dimension, segments=segments, cells=cells, cells_file=cells_file)

    def save(self, state: State) -> None:
        """Make the state durable. Raises OSError."""
        if self.folder is None:
            return
        for segment in state.segments:
            segment.flush()
        header: dict[str, Any] = {
            "change": state.change,
            "dimension": state.dimension,
            "segments": [
                {"file": segment.path.name, "capacity": segment.capacity, "used": segment.used}
                for segment in state.segments
                if segment.path is not None
            ],
        }
        if state.cells is not None:
            data = _packed(state.cells)
            if state.cells_file is None:
                name = f"{secrets.token_hex(8)}.cells"
                _write(self.folder / name, data)
                state.cells_file = name
            header |= {"cells": state.cells_file, "cells_sha256": hashlib.sha256(data).hexdigest()}
        _write(self.folder / HEADER, _seal(header))

    def clear(self) -> None:
        """Delete all files of the index."""
        if self.folder is not None and self.folder.is_dir():
            (self.folder / HEADER).unlink(missing_ok=True)
            self._tidy(())

    def tidy(self, state: State) -> None:
        """Delete what the state does not name."""
        names = [segment.path.name for segment in state.segments if segment.path is not None]
        self._tidy([HEADER, *([state.cells_file] if state.cells_file else []), *names])

    def _tidy(self, keep: Sequence[str]) -> None:
        if self.folder is not None:
            for entry in list(self.folder.iterdir()):
                if entry.name not in keep:
                    entry.unlink(missing_ok=True)

    def _cells(self, name: str, checksum: str, segments: Sequence[Segment]) -> Cells:
        assert self.folder is not None
        data = (self.folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != checksum:
            raise DamagedError(f"{self.folder / name} is damaged")
        offsets_size = int.from_bytes(data[:8], "little") * 8
        offsets = np.frombuffer(data, np.int64, offsets_size // 8, offset=8)
        centres = np.frombuffer(data, np.float32, offset=8 + offsets_size).reshape(len(offsets) - 1, -1)
        if not segments or offsets[-1] != segments[0].used:
            raise DamagedError(f"{self.folder / name} belongs to other rows")
        return Cells(centres, offsets)


def _packed(cells: Cells) -> bytes:
    return len(cells.offsets).to_bytes(8, "little") + cells.offsets.tobytes() + cells.centres.tobytes()


def _seal(header: dict[str, Any]) -> bytes:
    body = json.dumps({"format": FORMAT, **header}, sort_keys=True)
    return json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "index": body}).encode()


def _unseal(data: bytes) -> dict[str, Any]:
    try:
        sealed = json.loads(data)
        body = sealed["index"]
        if hashlib.sha256(body.encode()).hexdigest() != sealed["sha256"]:
            raise DamagedError("the header's check sum is wrong")
        header: dict[str, Any] = json.loads(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError("the header cannot be read") from error
    if header.get("format") != FORMAT:
        raise DamagedError(f"the header has format {header.get('format')}, not {FORMAT}")
    return header


def _write(path: Path, data: bytes) -> None:
    """Put a file in place, whole, durably."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
