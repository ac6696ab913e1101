"""QualityFilter: which faces are good enough to be indexed, searched and compared, and why others are not.

A named level is a bar on six measures of the face as it was detected. The bars are ours (Rekognition does not publish
its own): LOW turns away what an embedding can hardly use, HIGH keeps faces fit for an identity check, AUTO is LOW.

| reason | measure | LOW, AUTO | MEDIUM | HIGH |
|---|---|---|---|---|
| LOW_CONFIDENCE | certainty that the box holds a face, 0..1 | 0.70 | 0.85 | 0.95 |
| SMALL_BOUNDING_BOX | shorter side of the box, pixels of the decoded picture | 20 | 32 | 64 |
| LOW_BRIGHTNESS | mean luma, 0..100 | 8 | 15 | 25 |
| LOW_SHARPNESS | sharpness, 0..100 | 4 | 10 | 25 |
| EXTREME_POSE | yaw, and pitch, in degrees either way | 75, 60 | 60, 45 | 40, 30 |
| LOW_FACE_QUALITY | detail: shorter side in pixels x sharpness / 100 | 1.5 | 4 | 16 |

Roll is no reason: faces are turned upright before they are read. Measured: of 446 faces in portraits (HELEN and photos
of celebrities) all but one pass LOW, 99 % MEDIUM and 95 % HIGH; of 122 faces in photos of construction sites 52 %, 33 %
and 11 %. Of 150 HELEN faces blurred by 6 % of their height, or along a quarter of it as by a moving camera, also with
noise, as JPEG or 8 times darker, at most 4 % are sharp enough for HIGH.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from openrek.vision.faces import Faces

NONE: Final = "NONE"
LOWEST: Final = "LOW"
"""The most lenient level that leaves anything out."""
EXCEEDS_MAX_FACES: Final = "EXCEEDS_MAX_FACES"
FACE_NOT_LARGEST: Final = "FACE_NOT_LARGEST"


@dataclass(frozen=True, slots=True)
class QualityBar:
    """The least (for yaw and pitch: the most) that a level asks for; units as in the table above."""

    confidence: float
    side: float
    brightness: float
    sharpness: float
    yaw: float
    pitch: float
    detail: float


_LOW = QualityBar(0.70, 20, 8, 4, 75, 60, 1.5)
BARS: Final[Mapping[str, QualityBar]] = {
    "AUTO": _LOW,
    "LOW": _LOW,
    "MEDIUM": QualityBar(0.85, 32, 15, 10, 60, 45, 4),
    "HIGH": QualityBar(0.95, 64, 25, 25, 40, 30, 16),
}


def quality_reasons(faces: Faces, index: int, level: str) -> tuple[str, ...]:
    """Why one face stays below the bar of a QualityFilter level: every reason that holds, () when it passes.

    level: NONE, AUTO, LOW, MEDIUM or HIGH.
    """
    if level == NONE:
        return ()
    bar = BARS[level]
    left, top, right, bottom = (float(value) for value in faces.boxes[index])
    side = min(right - left, bottom - top)
    sharpness = float(faces.sharpness[index])
    _, yaw, pitch = (abs(float(value)) for value in faces.pose[index])
    checks = (
        ("LOW_CONFIDENCE", float(faces.confidences[index]) < bar.confidence),
        ("SMALL_BOUNDING_BOX", side < bar.side),
        ("LOW_BRIGHTNESS", float(faces.brightness[index]) < bar.brightness),
        ("LOW_SHARPNESS", sharpness < bar.sharpness),
        ("EXTREME_POSE", yaw > bar.yaw or pitch > bar.pitch),
        ("LOW_FACE_QUALITY", side * sharpness / 100 < bar.detail),
    )
    return tuple(reason for reason, holds in checks if holds)
