"""Nudity by the package NudeNet, where the owner of the server installed it and turned it on.

The project has no pictures to learn nudity from and collects none. NudeNet's code and weights are AGPL-3.0, although
its package index entry has said MIT: nothing here imports it unless `moderate(..., nudenet=True)` asks.
"""

import threading
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from openrek.vision.image import Picture

PACKAGE: Final = "nudenet"

LABELS: Final[Mapping[str, str]] = {
    "MALE_GENITALIA_EXPOSED": "Exposed Male Genitalia",
    "FEMALE_GENITALIA_EXPOSED": "Exposed Female Genitalia",
    "BUTTOCKS_EXPOSED": "Exposed Buttocks or Anus",
    "ANUS_EXPOSED": "Exposed Buttocks or Anus",
    "FEMALE_BREAST_EXPOSED": "Exposed Female Nipple",
    "MALE_BREAST_EXPOSED": "Exposed Male Nipple",
}
"""NudeNet's classes that mean nudity; its faces, feet, armpits, bellies and covered parts do not."""

_lock = threading.Lock()


def installed() -> bool:
    """Whether the package is there; it is not imported to find out."""
    return find_spec(PACKAGE) is not None


def version() -> str:
    """The installed package's version; "" where it does not say."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""


def detect(picture: Picture) -> list[tuple[str, float]]:
    """(name of the taxonomy, probability 0..1) of what NudeNet finds; nothing where it is not installed."""
    if not installed():
        return []
    with _lock:  # says nothing about threads in its documentation
        found = _detector().detect(np.ascontiguousarray(picture.pixels[..., ::-1]))  # it expects OpenCV's BGR
    return [(LABELS[each["class"]], float(each["score"])) for each in found if each["class"] in LABELS]


@cache
def _detector() -> Any:
    import nudenet  # type: ignore[import-not-found, unused-ignore]  # an extra, mostly not here

    return nudenet.NudeDetector()
