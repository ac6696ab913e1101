"""The eyes of a face: open or closed, and where they look."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.faces.align import TEMPLATE, cut
from openrek.vision.runtime import Runtime

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

MODEL: Final = "face-eyes"
SIDE: Final = 32
"""Side of the patches that the network sees."""
REACH: Final = 0.78
"""Side of the square around an eye that a patch shows, in eye distances of an aligned crop."""

_BEHIND_DARK_GLASSES = 0.6  # what is said of eyes that cannot be seen
_CORNERS = (
    (11, 12, 13, 14),
    (15, 16, 17, 18),
)  # of LANDMARKS_30: outer or inner corners left and right, upper, lower lid
_WIDE, _HIGH = 48, 32
_CORNER_SPAN = 36.0  # distance of the corners in the upright picture of one eye that the gaze is read from
# The middle of the iris moves on a circle of about 10.5 mm round the eye's centre; the corners are about 30 mm apart
# (Forrester et al., The Eye, 4th ed.). In half corner distances:
_TURNING_RADIUS = 0.7
_FEWEST = 20  # pixels between the lids
# How far below the line of the corners the iris of a level gaze lies, in half corner distances: median of 400 photos
_RESTING = -0.2
_SURE_SPAN = 16.0  # pixels between the corners in the picture, below which the gaze gets uncertain


def patches(pixels: Pixels, matrices: Floats, landmarks: Floats) -> Pixels:
    """Both eyes of each face, upright, from the picture's own pixels: (N, 2, 32, 32, 3).

    `matrices` (N, 2, 3) lead from the picture to the aligned crops in which `landmarks` (N, 30, 2) are given.
    """
    scale = SIDE / (REACH * float(TEMPLATE[1, 0] - TEMPLATE[0, 0]))
    shown = np.zeros((len(matrices), 2, SIDE, SIDE, 3), np.uint8)
    for face, matrix in enumerate(matrices):
        for eye in range(2):
            turned = scale * matrix
            turned[:, 2] += SIDE / 2 - scale * landmarks[face, eye]
            shown[face, eye] = cut(pixels, turned, SIDE, cv2.BORDER_REPLICATE)
    return shown


def opened(shown: Pixels, dark: Floats, runtime: Runtime) -> Floats:
    """Probability (N,) that the eyes are open, from their patches (N, 2, 32, 32, 3) and the probability `dark` (N,)
    of sunglasses."""
    if len(shown) == 0:
        return np.zeros(0, np.float32)
    (logits,) = runtime.model(MODEL).run({"crops": shown.reshape(-1, SIDE, SIDE, 3)}, ["open"])
    seen = 1 / (1 + np.exp(-logits.reshape(-1, 2).mean(axis=1)))
    return np.asarray(seen * (1 - dark) + _BEHIND_DARK_GLASSES * dark, np.float32)


def direction(pixels: Pixels, matrices: Floats, landmarks: Floats, open_eyes: Floats, dark: Floats) -> Floats:
    """Yaw (positive to the image's right) and pitch (positive up) of the gaze in degrees and a confidence 0..1: (N, 3).

    (0, 0) looks into the camera, however the head is turned. The iris is the dark part between the lids; how far its
    middle lies from the middle of the corners gives the angle. The confidence is a rule, not a calibrated probability:
    it falls with closed eyes, dark glasses, few pixels, and eyes that disagree.
    """
    found = np.zeros((len(matrices), 3), np.float32)
    for face, matrix in enumerate(matrices):
        eyes = [_gaze(pixels, matrix, landmarks[face, list(corners)]) for corners in _CORNERS]
        weight = np.array([sure for _, _, sure in eyes]) + 1e-6
        angles = np.average([(yaw, pitch) for yaw, pitch, _ in eyes], axis=0, weights=weight)
        apart = abs(eyes[0][0] - eyes[1][0])
        confidence = weight.mean() * np.exp(-((apart / 25.0) ** 2)) * open_eyes[face] * (1 - dark[face])
        found[face] = (*angles, min(float(confidence), 1.0))
    return found


def _gaze(pixels: Pixels, matrix: Floats, points: Floats) -> tuple[float, float, float]:
    """Yaw, pitch and certainty from one eye; `points` (4, 2) are its left and right corner, upper and lower lid in
    the crop."""
    left, right, up, down = points.astype(np.float64)
    span = right - left
    length = float(np.hypot(*span))
    if length < 1.0:
        return 0.0, 0.0, 0.0
    scale = _CORNER_SPAN / length
    cos, sin = span / length * scale
    turn = np.array([[cos, sin], [-sin, cos]])
    middle = (left + right) / 2
    upright = turn @ matrix[:, :2]
    shift = turn @ (matrix[:, 2] - middle) + [_WIDE / 2, _HIGH / 2]
    whole = np.concatenate([upright, shift[:, None]], axis=1).astype(np.float32)
    size = max(_WIDE, _HIGH)
    eye = cv2.cvtColor(cut(pixels, whole, size, cv2.BORDER_REPLICATE)[:_HIGH, :_WIDE], cv2.COLOR_RGB2GRAY)
    eye = cv2.GaussianBlur(eye, (0, 0), 1.0).astype(np.float32)
    lids = ((np.stack([up, down]) - middle) @ turn.T)[:, 1]
    height = max(float(lids[1] - lids[0]) / 2, 0.12 * _CORNER_SPAN)
    centre = float(lids.mean())
    y, x = np.mgrid[:_HIGH, :_WIDE].astype(np.float32)
    x, y = x - _WIDE / 2, y - _HIGH / 2
    inside = (x / (_CORNER_SPAN * 0.46)) ** 2 + ((y - centre) / height) ** 2 < 1
    values = eye[inside]
    if values.size < _FEWEST:
        return 0.0, 0.0, 0.0
    dark, light = np.percentile(values, [15, 85])
    darkness = np.clip(dark + 0.35 * (light - dark) - eye, 0, None) * inside
    total = float(darkness.sum())
    if total < 1.0:
        return 0.0, 0.0, 0.0
    half = _CORNER_SPAN / 2
    across, along = float((darkness * x).sum() / total) / half, float((darkness * y).sum() / total) / half
    yaw = float(np.rad2deg(np.arcsin(np.clip(across / _TURNING_RADIUS, -0.9, 0.9))))
    pitch = float(np.rad2deg(np.arcsin(np.clip((_RESTING - along) / _TURNING_RADIUS, -0.9, 0.9))))
    seen = float(np.hypot(*np.linalg.solve(matrix[:, :2].astype(np.float64), span)))
    contrast = np.clip((light - dark) / 50.0, 0, 1)
    return yaw, pitch, float(min(1.0, seen / _SURE_SPAN) * contrast)
