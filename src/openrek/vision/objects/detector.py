"""Finding objects: fit the picture to the detector, run it once, keep the best box of each object."""

from collections.abc import Mapping
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.image import Picture
from openrek.vision.objects import forms
from openrek.vision.objects.calibration import Calibration
from openrek.vision.objects.result import Objects
from openrek.vision.runtime import Card, Model, Runtime

MODEL: Final = "objects"

PICTURE_SIDE: Final = 960
"""Longest side at which a picture should be decoded for the detectors: more shows them nothing further."""

_MOST: Final = 300
"""Objects of a picture, at most."""

_CANDIDATES: Final = 2000
_LEAST_RAW: Final = 0.01


def detectors(catalogue: Mapping[str, Card]) -> tuple[str, ...]:
    """The names of the models that find objects: those whose card says in which form they answer."""
    return tuple(name for name, card in catalogue.items() if card.preprocess.get("form") in get_args(forms.Form))


def detect_objects(picture: Picture, runtime: Runtime, *, model: str = MODEL, least: float = 0.05) -> Objects:
    """All objects of a picture, at most 300, the surest first.

    model: a detector of the catalogue. least: 0..1, the least probability that is reported.
    Raises ModelUnavailableError where its file cannot be had, CardError where its card describes no detector.
    """
    detector = runtime.model(model)
    how = forms.preprocess_of(detector)
    fitted = forms.fit(picture.pixels, how)
    found = forms.run(detector, fitted, how)
    return _choose(found, detector, how, fitted, picture, least)


def _choose(
    found: forms.Found, model: Model, how: forms.Preprocess, fitted: forms.Fitted, picture: Picture, least: float
) -> Objects:
    names = forms.names_of(model)
    boxes, raw, classes = candidates(found, names)
    scores = Calibration.of(model.metadata, names)(raw, classes)
    enough = np.nonzero(scores >= least)[0]
    boxes, raw, scores, classes = boxes[enough], raw[enough], scores[enough], classes[enough]
    boxes = geometry.clip(geometry.scale(boxes, 1 / fitted.x, 1 / fitted.y), picture.width, picture.height)
    kept = geometry.nms(boxes, raw, how.overlap, classes=classes, limit=_MOST)
    kept = kept[geometry.area(boxes[kept]) > 0]
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return Objects(boxes[kept], scores[kept], classes[kept], names, model.card.name)


def candidates(found: forms.Found, names: tuple[str, ...]) -> tuple[forms.Floats, forms.Floats, NDArray[np.int64]]:
    """The (box, class) pairs worth a look: boxes (K, 4), raw scores (K,), classes (K,); the best 2,000."""
    scores = found.scores[:, : len(names)]
    rows, columns = np.divmod(
        np.flatnonzero(scores >= _LEAST_RAW), scores.shape[1]
    )  # np.nonzero takes ten times as long
    meant = np.array([name != "-" for name in names])[columns]
    rows, columns = rows[meant], columns[meant]
    values = scores[rows, columns]
    if len(values) > _CANDIDATES:
        best = np.argpartition(-values, _CANDIDATES)[:_CANDIDATES]
        rows, columns, values = rows[best], columns[best], values[best]
    return found.boxes[rows], values.astype(np.float32), columns.astype(np.int64)
