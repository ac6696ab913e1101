"""`python -m bench.face_shape --data FOLDER`: the rigid 3D face and the head poses behind 68 marked points.

The points of all photos and of their mirror images are factorised into one shape and one scaled orthographic camera a
photo (Tomasi and Kanade, "Shape and motion from image streams under orthography", 1992). The five points printed are
`openrek.vision.faces.pose.FACE`; the poses are the truth that `bench.face_accuracy` compares with.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RIGID = np.array([*range(17, 48), 48, 54])  # brows, nose, eyes, corners of the mouth: what moves least in a face
MIRRORED = np.array(  # jaw, brows, bridge, nostrils; eyes; lips
    [
        *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65),
    ]
)


def five(marks: Floats) -> Floats:
    """The five landmarks out of 68 points (68, D): middles of the eyes, corners of the mouth, tip of the nose."""
    return np.array([marks[36:42].mean(axis=0), marks[42:48].mean(axis=0), marks[48], marks[54], marks[30]])


def marked_points(folder: Path) -> dict[str, Floats]:
    """The set's points (68, 2), by picture."""
    with (folder / "labels.csv").open(newline="") as file:
        return {
            row["image"]: np.array([[float(row[f"{axis}{i}"]) for axis in "xy"] for i in range(68)])
            for row in csv.DictReader(file)
        }


def factorise(marks: Floats) -> Floats:
    """The rigid shape (68, 3) behind N faces (N, 68, 2): x to the image's right, y down, z away; the unit is the
    distance of the eyes, the origin the mean of the five landmarks; eyes and mouth corners at equal depth."""
    mirrored = (marks * [-1, 1])[:, MIRRORED]
    views = np.concatenate([marks, mirrored])
    views = views - views[:, RIGID].mean(axis=1, keepdims=True)
    views /= np.sqrt((views[:, RIGID] ** 2).sum(axis=(1, 2)) / len(RIGID))[:, None, None]
    stacked = views.transpose(0, 2, 1).reshape(-1, 68)
    u, singular, _ = np.linalg.svd(stacked[:, RIGID], full_matrices=False)
    motion = u[:, :3] * singular[:3]
    motion = motion @ _metric(motion[0::2], motion[1::2])
    return _canonical(np.linalg.lstsq(motion, stacked, rcond=None)[0].T)


def _metric(a: Floats, b: Floats) -> Floats:
    """The (3, 3) change of basis that makes the two rows of each camera orthogonal and of equal length."""

    def products(u: Floats, v: Floats) -> Floats:
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        return np.stack([u[:, i] * v[:, j] + (u[:, j] * v[:, i] if i != j else 0) for i, j in pairs], axis=1)

    size = (products(a, a) + products(b, b)).mean(axis=0, keepdims=True) * 100
    rows = np.concatenate([products(a, a) - products(b, b), 2 * products(a, b), size])
    q = np.linalg.lstsq(rows, np.append(np.zeros(len(rows) - 1), 200.0), rcond=None)[0]
    values, vectors = np.linalg.eigh(np.array([[q[0], q[1], q[2]], [q[1], q[3], q[4]], [q[2], q[4], q[5]]]))
    return np.asarray(vectors * np.sqrt(np.clip(values, 1e-6, None)))


def _canonical(shape: Floats) -> Floats:
    left, right, mouth_left, mouth_right, _ = five(shape)
    x = right - left + mouth_right - mouth_left
    x /= np.linalg.norm(x)
    y = mouth_left + mouth_right - left - right
    y -= (y @ x) * x
    y /= np.linalg.norm(y)
    shape = shape @ np.stack([x, y, np.cross(x, y)]).T
    if shape[30, 2] > shape[36:48, 2].mean():
        shape[:, 2] *= -1  # the nose points to the viewer
    other = shape[MIRRORED] * [-1, 1, 1]
    shape = (shape - shape[RIGID].mean(axis=0) + other - other[RIGID].mean(axis=0)) / 2
    shape /= five(shape)[1, 0] - five(shape)[0, 0]
    return np.asarray(shape - five(shape).mean(axis=0))


def true_pose(marks: Floats, shape: Floats) -> Floats:
    """Roll, yaw, pitch in degrees of one face's points (68, 2), in the signs of `Faces.pose`: the rotation of `shape`
    (68, 3) that projects to them best under scaled orthography, over the rigid points."""
    model = shape[RIGID] - shape[RIGID].mean(axis=0)
    points = marks[RIGID] - marks[RIGID].mean(axis=0)
    u, singular, vt = np.linalg.svd(np.linalg.lstsq(model, points, rcond=None)[0].T, full_matrices=False)
    rows = u @ vt
    rotation, scale = np.vstack([rows, np.cross(rows[0], rows[1])]), singular.mean()
    for _ in range(50):
        lifted = np.column_stack([points / scale, model @ rotation[2]])
        u, _s, vt = np.linalg.svd(lifted.T @ model)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        flat = model @ rotation[:2].T
        scale = (flat * points).sum() / (flat**2).sum()
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    yaw = np.arcsin(np.clip(rotation[2, 0], -1, 1))
    pitch = -np.arctan2(rotation[2, 1], rotation[2, 2])
    return np.rad2deg([roll, yaw, pitch])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    marks = np.stack(list(marked_points(parser.parse_args().data / "landmarks").values()))
    shape = factorise(marks)
    poses = np.array([true_pose(face, shape) for face in marks])
    print(np.array2string(five(shape).round(3), separator=", "))
    print(f"{len(marks)} faces; spread of roll, yaw, pitch: {poses.std(axis=0).round(1)} degrees")


if __name__ == "__main__":
    main()
