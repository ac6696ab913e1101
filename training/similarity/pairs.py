"""Faces of known people, found as the service finds them, and what their vectors' cosines say of pairs."""

import csv
import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.faces import detect_faces
from openrek.vision.image import Picture
from openrek.vision.runtime import Runtime

Floats = NDArray[np.float32]
SETS = {"face-attributes": "identity", "celebrities": "name"}
"""Sets of pictures of one person each, with the column of labels.csv that says who it is."""


@dataclass(frozen=True)
class Person:
    """One picture: who it shows, its pixels, and the box and landmarks of the face nearest to its middle."""

    identity: str
    pixels: NDArray[np.uint8]
    box: Floats
    landmarks: Floats


def read(folder: Path, column: str, runtime: Runtime, limit: int, least: int = 2) -> tuple[list[Person], int]:
    """The pictures of up to `limit` people with at least `least` pictures, and in how many no face was found."""
    with open(folder / "labels.csv", newline="") as table:
        rows = [(row["image"], row[column]) for row in csv.DictReader(table)]
    counts = Counter(identity for _, identity in rows)
    chosen = set(sorted((name for name, count in counts.items() if count >= least), key=_place)[:limit])
    people, missed = [], 0
    for identity, pixels in _pictures(folder, [row for row in rows if row[1] in chosen]):
        person = seen(identity, pixels, runtime)
        if person is None:
            missed += 1
        else:
            people.append(person)
    return people, missed


def seen(identity: str, pixels: NDArray[np.uint8], runtime: Runtime) -> Person | None:
    """The face nearest to the middle of a picture (H, W, 3), or None where no face is found."""
    height, width = pixels.shape[:2]
    faces = detect_faces(Picture(pixels, width, height), runtime)
    if not len(faces):
        return None
    offsets = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - np.array([width, height]) / 2
    nearest = int(np.argmin(np.hypot(offsets[:, 0], offsets[:, 1])))
    return Person(identity, pixels, faces.boxes[nearest], faces.landmarks[nearest])


def held_back(identity: str) -> bool:
    """Whether a person takes no part in choosing and fitting: half of all, by a hash of the name."""
    return _place(identity)[-1] in "02468ace"


def scores(vectors: Floats, identities: list[str]) -> tuple[Floats, Floats]:
    """Cosines of all pairs of one person, and of all pairs of two people, the latter ascending."""
    _, numbers = np.unique(identities, return_inverse=True)
    rows, columns = np.triu_indices(len(numbers), 1)
    cosines = (vectors @ vectors.T)[rows, columns]
    same = numbers[rows] == numbers[columns]
    return cosines[same], np.sort(cosines[~same])


def cut_at(different: Floats, share: float) -> float:
    """The least cosine that at most this share of pairs of different people exceed; `different` ascending."""
    return float(different[len(different) - 1 - int(share * len(different))])


def accuracy(same: Floats, different: Floats) -> float:
    """At the best threshold, pairs of one person and of two people weighing the same."""
    places = np.sort(same)
    kept = 1 - np.arange(len(places)) / len(places)
    let_in = 1 - np.searchsorted(different, places) / len(different)
    return float((kept + 1 - let_in).max() / 2)


def _place(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()


def _pictures(folder: Path, rows: list[tuple[str, str]]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    with zipfile.ZipFile(folder / "images.zip") as archive:
        for name, identity in rows:
            decoded = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)
            if decoded is None:
                raise ValueError(f"{folder / name} is no picture")
            yield identity, np.ascontiguousarray(decoded[:, :, ::-1])
