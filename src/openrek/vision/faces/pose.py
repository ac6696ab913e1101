"""Head pose from the five landmarks of the detector, or from all 30.

A rigid face is turned, scaled and moved under scaled orthography (a far camera) until it lies on the points. Five
points of a detector are noisy, and the pitch hangs on the nose alone, so the fit is a maximum a-posteriori one: the
points' known error is weighed against the known spread of heads. A pose that the points hardly support stays near the
frontal one instead of following the noise. With 30 points, brows, jaw and chin hold the pitch too.

The 3D points come from a factorisation (Tomasi and Kanade, "Shape and motion from image streams under orthography",
1992) of photographs with 68 marked points each and their mirror images: 870 for the five points; the 707 of them that
the networks were trained on for the 30, in the frame of the five.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

FACE = np.array(
    [  # x to the image's right, y down, z away from the viewer; unit: distance of the eyes; order of LANDMARKS
        [-0.500, -0.513, 0.136],
        [0.500, -0.513, 0.136],
        [-0.437, 0.511, 0.136],
        [0.437, 0.511, 0.136],
        [0.000, 0.004, -0.546],
    ]
)
FACE_30 = np.array(
    [  # as FACE, in the order of attributes.LANDMARKS_30
        [-0.512, -0.521, 0.123],
        [0.512, -0.521, 0.123],
        [-0.441, 0.519, 0.123],
        [0.441, 0.519, 0.123],
        [0.000, 0.003, -0.493],
        [-0.953, -0.705, 0.315],
        [-0.189, -0.808, -0.174],
        [-0.608, -0.896, 0.017],
        [0.189, -0.808, -0.174],
        [0.953, -0.705, 0.315],
        [0.608, -0.896, 0.017],
        [-0.714, -0.517, 0.197],
        [-0.300, -0.491, 0.093],
        [-0.509, -0.592, 0.115],
        [-0.519, -0.466, 0.109],
        [0.300, -0.491, 0.093],
        [0.714, -0.517, 0.197],
        [0.509, -0.592, 0.115],
        [0.519, -0.466, 0.109],
        [-0.237, 0.153, -0.197],
        [0.237, 0.153, -0.197],
        [0.000, 0.431, -0.218],
        [0.000, 0.744, -0.148],
        [-0.512, -0.521, 0.123],
        [0.512, -0.521, 0.123],
        [-1.149, -0.457, 0.927],
        [-0.912, 0.668, 0.677],
        [0.000, 1.252, 0.135],
        [0.912, 0.668, 0.677],
        [1.149, -0.457, 0.927],
    ]
)
_MODELS = {len(points): points - points.mean(axis=0) for points in (FACE, FACE_30)}
_POINT_ERROR = 0.09  # of a detected landmark, in distances of the eyes (measured)
_SPREAD = np.deg2rad([60.0, 35.0, 15.0])  # of roll (about the line through the points), yaw and pitch of heads
_ITERATIONS = 12
_STEP = 1e-4
_CLOSE = 1e-5  # radians, a step from which on nothing changes that is told


def head_pose(landmarks: ArrayLike) -> Floats:
    """Roll, yaw and pitch in degrees, -180..180, of faces given by 5 or 30 points each: (N, 5 or 30, 2) -> (N, 3).

    Signs as in `Faces.pose`; (0, 0, 0) is a face whose eyes and mouth corners lie in a plane parallel to the image.
    """
    points = np.asarray(landmarks, np.float64)
    if len(points) == 0:
        return np.zeros((0, 3), np.float32)
    model = _MODELS[points.shape[1]]
    points = points - points.mean(axis=1, keepdims=True)
    upright = _roll(points)
    turned = points @ _turn(-upright).transpose(0, 2, 1)
    angles = np.stack([np.zeros(len(points)), _first_yaw(turned[:, :5]), np.zeros(len(points))], axis=1)
    count = len(points)
    moves = np.concatenate([np.zeros((1, 3)), _STEP * np.eye(3)])[:, None]  # as they are, and each angle a little on
    copies = np.tile(turned, (4, 1, 1))
    for _ in range(_ITERATIONS):  # Gauss-Newton, all faces at once
        residual, *moved = _residual((angles + moves).reshape(-1, 3), copies, model).reshape(4, count, -1)
        jacobian = np.stack([(each - residual) / _STEP for each in moved], axis=2)
        normal = jacobian.transpose(0, 2, 1) @ jacobian + 1e-3 * np.eye(3)
        gradient = jacobian.transpose(0, 2, 1) @ residual[..., None]
        step = np.linalg.solve(normal, gradient)[..., 0]
        angles = np.clip(angles - np.clip(step, -0.5, 0.5), -np.pi / 2, np.pi / 2)
        if np.abs(step).max() < _CLOSE:
            break
    angles[:, 0] = (angles[:, 0] + upright + np.pi) % (2 * np.pi) - np.pi
    return np.rad2deg(angles).astype(np.float32)


def _roll(points: Doubles) -> Doubles:
    """First estimate of the roll in radians: the way from the eyes' middle to the mouth's points down."""
    down = points[:, 2:4].mean(axis=1) - points[:, 0:2].mean(axis=1)
    return np.asarray(np.arctan2(-down[:, 0], down[:, 1]))


def _first_yaw(turned: Doubles) -> Doubles:
    """The side to which the nose leaves the middle of the other four points decides between the two mirror poses."""
    aside = turned[:, 4, 0] - turned[:, :4, 0].mean(axis=1)
    height = np.maximum(np.abs(turned[:, 2:4, 1].mean(axis=1) - turned[:, :2, 1].mean(axis=1)), 1e-6)
    return np.asarray(np.arctan2(aside / height * (FACE[2, 1] - FACE[0, 1]), FACE[0, 2] - FACE[4, 2]))


def _turn(angle: Doubles) -> Doubles:
    """(N,) radians clockwise on the screen -> (N, 2, 2)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], axis=1), np.stack([s, c], axis=1)], axis=1)


def _residual(angles: Doubles, points: Doubles, model: Doubles) -> Doubles:
    """(N, 2 K + 3): differences in units of the points' error at the best scale, and three of the angles' spread."""
    projected = _project(angles, model)
    size = (projected**2).sum(axis=(1, 2))
    scale = np.maximum((projected * points).sum(axis=(1, 2)) / size, 1e-9)
    difference = points / scale[:, None, None] - projected
    return np.concatenate([difference.reshape(len(points), -1) / _POINT_ERROR, angles / _SPREAD], axis=1)


def _project(angles: Doubles, model: Doubles) -> Doubles:
    """A model's points (K, 3) seen under roll, yaw, pitch (N, 3), at scale 1: (N, K, 2)."""
    c, s = np.cos(angles), np.sin(angles)
    x, y, z = model.T[:, None]  # (1, K) each
    # pitch up turns the nose (z < 0) up, yaw to the right turns it right
    y, z = y * c[:, 2:] + z * s[:, 2:], z * c[:, 2:] - y * s[:, 2:]
    x, z = x * c[:, 1:2] - z * s[:, 1:2], z * c[:, 1:2] + x * s[:, 1:2]
    flat = np.stack([x, np.broadcast_to(y, x.shape)], axis=2)
    return np.asarray(flat @ _turn(angles[:, 0]).transpose(0, 2, 1))
