"""The result of face detection."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LANDMARKS = ("eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose")
"""The five landmarks, in the order of `Faces.landmarks`. Left and right are the viewer's on an upright face."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """N faces, in columns; coordinates are pixels of the picture that was searched.

    boxes: (N, 4) xyxy, forehead to chin; a face cut by the picture's border reaches beyond it.
    confidences: (N,) probability that the box holds a face, 0..1.
    landmarks: (N, 5, 2) x, y of LANDMARKS; they turn with the face, so that eyeLeft of a face upside down lies on the
        image's right; points of a cut face may lie outside the picture.
    pose: (N, 3) roll, yaw, pitch in degrees, -180..180: roll positive when the head is turned clockwise in the image,
        yaw when the face looks to the image's right, pitch when it looks up.
    brightness, sharpness: (N,) 0..100, of the face's region (`openrek.vision.quality`).
    """

    boxes: Floats
    confidences: Floats
    landmarks: Floats
    pose: Floats
    brightness: Floats
    sharpness: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Faces":
        """The faces of an index or mask, in its order."""
        return Faces(*(getattr(self, column.name)[index] for column in fields(self)))
