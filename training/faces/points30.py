"""The 30 landmarks of the service out of the 68 of the 300-W marking."""

import numpy as np
from numpy.typing import NDArray

from openrek.vision.faces.attributes import LANDMARKS_30

# Which of the 68 points (numbered from 0), averaged, make each of the 30.
_FROM_68: dict[str, tuple[int, ...]] = {
    "eyeLeft": (36, 37, 38, 39, 40, 41),
    "eyeRight": (42, 43, 44, 45, 46, 47),
    "mouthLeft": (48,),
    "mouthRight": (54,),
    "nose": (30,),
    "leftEyeBrowLeft": (17,),
    "leftEyeBrowRight": (21,),
    "leftEyeBrowUp": (19,),
    "rightEyeBrowLeft": (22,),
    "rightEyeBrowRight": (26,),
    "rightEyeBrowUp": (24,),
    "leftEyeLeft": (36,),
    "leftEyeRight": (39,),
    "leftEyeUp": (37, 38),
    "leftEyeDown": (40, 41),
    "rightEyeLeft": (42,),
    "rightEyeRight": (45,),
    "rightEyeUp": (43, 44),
    "rightEyeDown": (46, 47),
    "noseLeft": (31,),
    "noseRight": (35,),
    "mouthUp": (51,),
    "mouthDown": (57,),
    "leftPupil": (36, 37, 38, 39, 40, 41),
    "rightPupil": (42, 43, 44, 45, 46, 47),
    "upperJawlineLeft": (0,),
    "midJawlineLeft": (4,),
    "chinBottom": (8,),
    "midJawlineRight": (12,),
    "upperJawlineRight": (16,),
}


def matrix() -> NDArray[np.float64]:
    """(30, 68): rows that sum to one."""
    rows = np.zeros((len(LANDMARKS_30), 68))
    for row, name in enumerate(LANDMARKS_30):
        rows[row, list(_FROM_68[name])] = 1 / len(_FROM_68[name])
    return rows


def to_30(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 68, 2) -> (N, 30, 2)."""
    return np.asarray(np.einsum("ij,njk->nik", matrix(), points))
