"""The cached features as one table, and its division into folds: pictures that look alike stay together."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.moderation.pictures import SETS

FOLDS: Final = 3
ALIKE: Final = 0.86
"""Cosine of two pictures' embeddings above which they are taken for frames of one scene or edits of one picture."""


@dataclass(frozen=True, eq=False)
class Table:
    """Views of pictures. keys (V,) "source/name"; untouched (V,) whether a view is the picture as it came; regions of
    view v: the rows starts[v]:starts[v + 1] of embeddings (rows, 1280) fp16 and truths (rows, heads) -1, 0, 1.
    """

    keys: NDArray[np.str_]
    untouched: NDArray[np.bool_]
    starts: NDArray[np.int64]
    embeddings: NDArray[np.float16]
    truths: NDArray[np.int8]
    folds: NDArray[np.int64]

    @property
    def sources(self) -> NDArray[np.str_]:
        return np.array([key.partition("/")[0] for key in self.keys])

    def view_truth(self) -> NDArray[np.int8]:
        """(V, heads): 1 where the picture shows a head somewhere, -1 where that is not known, else 0."""
        most = np.maximum.reduceat(self.truths, self.starts[:-1], axis=0)
        least = np.minimum.reduceat(self.truths, self.starts[:-1], axis=0)
        return np.where(most == 1, 1, np.where(least == -1, -1, 0)).astype(np.int8)


def load(folder: Path) -> Table:
    """All sets of a folder that `features` wrote; a pasted view takes the fold of the thing pasted."""
    keys, untouched, starts, embeddings, truths = [], [], [np.zeros(1, np.int64)], [], []
    for source in sorted((*SETS, "paste")):
        with np.load(folder / f"{source}.npz") as file:
            names = file["keys"]
            first = np.concatenate([[True], names[1:] != names[:-1]]) & (source != "paste")
            keys.append(names)
            untouched.append(first)
            starts.append(file["starts"][1:] + starts[-1][-1])
            embeddings.append(file["embeddings"])
            truths.append(file["truths"])
    table_keys, table_starts = np.concatenate(keys), np.concatenate(starts)
    whole = np.concatenate(embeddings)
    first = np.concatenate(untouched)
    pictures = dict(_groups(table_keys[first], whole[table_starts[:-1][first]]))
    folds = [zlib.crc32(pictures[_original(key)].encode()) % FOLDS for key in table_keys]
    return Table(table_keys, first, table_starts, whole, np.concatenate(truths), np.array(folds))


def _original(key: str) -> str:
    return key.removeprefix("paste/")


def _groups(keys: NDArray[np.str_], embeddings: NDArray[np.float16]) -> list[tuple[str, str]]:
    """(picture, its group's name): the components of the graph of pictures of one set that look alike."""
    found: list[tuple[str, str]] = []
    sources = np.array([key.partition("/")[0] for key in keys])
    for source in np.unique(sources):
        chosen = np.flatnonzero(sources == source)
        units = embeddings[chosen].astype(np.float32)
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        parent = np.arange(len(chosen))
        for start in range(0, len(chosen), 500):
            close = np.argwhere(units[start : start + 500] @ units.T > ALIKE)
            for a, b in close[close[:, 0] + start < close[:, 1]]:
                x, y = _root(parent, a + start), _root(parent, b)
                parent[max(x, y)] = min(x, y)
        found += [(str(keys[chosen[i]]), str(keys[chosen[_root(parent, i)]])) for i in range(len(chosen))]
    return found


def _root(parent: NDArray[np.int64], node: int) -> int:
    while parent[node] != node:
        node = int(parent[node])
    return node
