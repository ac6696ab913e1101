"""Joining concurrent runs of one model into one batch."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openrek.vision.runtime.errors import ModelRunError

Feeds = Mapping[str, NDArray[Any]]
Run = Callable[[Feeds, Sequence[str] | None], list[NDArray[Any]]]
Key = tuple[Any, ...]


@dataclass(eq=False)
class _Group:
    """Callers that wait for one batched run. `full` wakes the first caller, who does the run; `done` wakes the rest."""

    members: list[Feeds] = field(default_factory=list)
    results: list[list[NDArray[Any]] | Exception] = field(default_factory=list)
    full: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """Joins runs of a single item (first axis of every input is 1) whose inputs have the same shapes and types.

    The first caller of a group waits up to `window` seconds for company, then runs the whole group, at most `limit`
    items, along the first axis, and everyone gets their share. It waits only while another run is under way: a caller
    that is alone loses no time. If a joint run fails, each item is run for itself, so that a bad one fails alone.
    """

    def __init__(self, run: Run, *, window: float, limit: int) -> None:
        self._run = run
        self._window = window
        self._limit = limit
        self._lock = threading.Lock()
        self._open: dict[Key, _Group] = {}
        self._running = 0

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """As `Session.run`; inputs that cannot be joined are run at once."""
        if any(array.ndim == 0 or array.shape[0] != 1 for array in feeds.values()):
            return self._run(feeds, outputs)
        names = None if outputs is None else tuple(outputs)
        key: Key = (names, *sorted((name, array.shape, array.dtype.str) for name, array in feeds.items()))
        with self._lock:
            group = self._open.get(key)
            first = group is None
            if group is None:
                group = _Group()
                if self._running and self._limit > 1:
                    self._open[key] = group
                self._running += 1
            place = len(group.members)
            group.members.append(feeds)
            if len(group.members) == self._limit:
                self._close(key, group)
                group.full.set()
            waits = self._open.get(key) is group
        if not first:
            group.done.wait()
            return _answer(group, place)
        try:
            if waits:
                group.full.wait(self._window)
            with self._lock:
                self._close(key, group)
            group.results = self._run_group(group.members, names)
        finally:
            with self._lock:
                self._close(key, group)
                self._running -= 1
            group.done.set()
        return _answer(group, place)

    def _close(self, key: Key, group: _Group) -> None:
        if self._open.get(key) is group:
            del self._open[key]

    def _run_group(self, members: list[Feeds], outputs: Sequence[str] | None) -> list[list[NDArray[Any]] | Exception]:
        if len(members) > 1:
            try:
                joint = {name: np.concatenate([feeds[name] for feeds in members]) for name in members[0]}
                results = self._run(joint, outputs)
                if all(result.ndim and result.shape[0] == len(members) for result in results):
                    return [[result[index : index + 1] for result in results] for index in range(len(members))]
            except ModelRunError:
                pass
        return [self._alone(feeds, outputs) for feeds in members]

    def _alone(self, feeds: Feeds, outputs: Sequence[str] | None) -> list[NDArray[Any]] | Exception:
        try:
            return self._run(feeds, outputs)
        except Exception as error:
            return error


def _answer(group: _Group, place: int) -> list[NDArray[Any]]:
    result = group.results[place] if group.results else ModelRunError("The joint run was interrupted.")
    if isinstance(result, Exception):
        raise result
    return result
