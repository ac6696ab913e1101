"""Photos of a person for the gallery: which can serve as references, as far as faces and vectors tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.store.celebrities import Person
from openrek.vision import geometry
from openrek.vision.faces import Faces

Floats = NDArray[np.float32]

DOMINANT: Final = 4.0
"""The largest of several faces stands for the photo when it has this many times the area of the next."""

MIN_REFERENCE: Final = 40.0
"""Shorter side, in pixels, of the smallest face that becomes a reference."""

MAX_YAW: Final = 60.0
"""A face turned further to the side, in degrees, becomes no reference."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that may become a reference. read: its bytes; raises OSError."""

    name: str
    read: Callable[[], bytes] = field(repr=False)
    source: str | None = None
    licence: str | None = None
    attribution: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A person with photos to import; `celebrity_id` where a certain id is wanted."""

    person: Person
    photos: Sequence[Photo]
    celebrity_id: str | None = None


class UnusableError(Exception):
    """A photo that cannot be a reference; the message says why."""


def reference_face(faces: Faces, scale: float) -> int:
    """The index of the face that stands for a photo with these faces, good enough for a reference.

    scale: pixels of the original per pixel of `faces`. Raises UnusableError.
    """
    index = the_face(faces)
    box = faces.boxes[index]
    side = float((box[2:] - box[:2]).min()) * scale
    if side < MIN_REFERENCE:
        raise UnusableError(f"the face is too small ({side:.0f} pixels; at least {MIN_REFERENCE:.0f})")
    yaw = float(faces.pose[index, 1])
    if abs(yaw) > MAX_YAW:
        raise UnusableError(f"the face is turned away ({abs(yaw):.0f}°)")
    return index


def the_face(faces: Faces) -> int:
    """The index of the only face or of the one that clearly dominates. Raises UnusableError."""
    if not len(faces):
        raise UnusableError("no face")
    areas = geometry.area(faces.boxes)
    first = int(areas.argmax())
    second = np.delete(areas, first).max(initial=0)
    if areas[first] < DOMINANT * second:
        raise UnusableError(f"{len(faces)} faces, none clearly the largest")
    return first


def outliers(vectors: Floats, cut: float) -> NDArray[np.bool_]:
    """Which of a person's photos show someone else, as far as the others can tell: (N,) bool of vectors (N, D).

    The photos most others agree with (median cosine) form the person's centre, half of them all; a photo is strange
    when its cosine to that centre stays below `cut`. Fewer than three photos cannot tell.
    """
    if len(vectors) < 3:
        return np.zeros(len(vectors), bool)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, np.nan)
    agreement = np.nanmedian(cosines, axis=1)
    core = np.argsort(-agreement, kind="stable")[: (len(vectors) + 1) // 2]
    centre = vectors[core].sum(axis=0)
    return np.asarray(vectors @ (centre / np.linalg.norm(centre)) < cut, bool)
