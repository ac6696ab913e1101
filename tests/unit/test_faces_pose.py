"""Head pose from five points and from 30: known rotations come back, with the signs of the spec."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.faces.attributes import LANDMARKS_30
from openrek.vision.faces.pose import FACE, FACE_30, head_pose


def seen(
    roll: float, yaw: float, pitch: float, *, scale: float = 60.0, face: NDArray[np.float64] = FACE
) -> NDArray[np.float64]:
    """The points of a head that nods, then turns, then tilts, by way of OpenCV's rotation vectors."""
    rotation = np.eye(3)
    # x right, y down, z away: a positive rotation about x tips the nose down, one about y turns it to the left
    for axis, degrees in (((1, 0, 0), -pitch), ((0, 1, 0), -yaw), ((0, 0, 1), roll)):
        rotation = cv2.Rodrigues(np.deg2rad(degrees) * np.array(axis, float))[0] @ rotation
    return (face @ rotation.T)[:, :2] * scale + [300, 200]


@pytest.mark.parametrize("roll", [-170, -90, -20, 0, 35, 90, 179])
@pytest.mark.parametrize("yaw", [-60, -25, 0, 40, 70])
def test_known_roll_and_yaw_come_back(roll: float, yaw: float) -> None:
    found = head_pose(seen(roll, yaw, 0)[None])[0]
    assert abs((found[0] - roll + 180) % 360 - 180) < 4
    assert found[1] == pytest.approx(yaw, abs=6)
    assert abs(found[2]) < 5


@pytest.mark.parametrize("pitch", [-40, -20, 0, 20, 40])
def test_pitch_follows_but_is_held_back_by_the_spread_of_heads(pitch: float) -> None:
    found = float(head_pose(seen(0, 0, pitch)[None])[0, 2])
    assert np.sign(round(found)) == np.sign(pitch)
    assert abs(pitch) * 0.6 <= abs(found) <= abs(pitch) + 3


@pytest.mark.parametrize("roll", [-170, -20, 0, 90])
@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (-35, 10), (20, -30), (0, 30), (60, 0)])
def test_thirty_points_give_all_three_angles(roll: float, yaw: float, pitch: float) -> None:
    found = head_pose(seen(roll, yaw, pitch, face=FACE_30)[None])[0]
    assert abs((found[0] - roll + 180) % 360 - 180) < 3
    assert found[1] == pytest.approx(yaw, abs=4)
    assert found[2] == pytest.approx(pitch, abs=4)


def test_both_faces_are_one() -> None:
    """The 30 points are in the frame of the five, mirror symmetric, and in the order of the landmarks."""
    assert np.abs(FACE_30[:5] - FACE).max() < 0.06
    mirrored = {name: FACE_30[place] * [-1, 1, 1] for place, name in enumerate(LANDMARKS_30)}
    for left, right in (("eyeLeft", "eyeRight"), ("leftEyeBrowLeft", "rightEyeBrowRight"), ("noseLeft", "noseRight")):
        assert mirrored[left] == pytest.approx(FACE_30[LANDMARKS_30.index(right)])
    assert FACE_30[LANDMARKS_30.index("chinBottom"), 1] == FACE_30[:, 1].max()


def test_signs() -> None:
    face = FACE[:, :2] * 100
    right, up, clockwise = face.copy(), face.copy(), geometry.rotate_points(face, 20)
    right[4, 0] += 30  # the nose moves to the image's right
    up[4, 1] -= 30
    assert clockwise[1, 1] > clockwise[0, 1]  # the image-right eye sinks
    assert head_pose(right[None])[0, 1] > 15
    assert head_pose(up[None])[0, 2] > 5
    assert head_pose(clockwise[None])[0, 0] == pytest.approx(20, abs=0.5)


def test_size_and_place_do_not_matter_and_faces_do_not_mix() -> None:
    one, two = seen(10, 30, 5), seen(-40, -20, -5)
    both = head_pose(np.stack([one, two]))
    assert both[0] == pytest.approx(head_pose((one * 7 + 1000)[None])[0], abs=0.1)
    assert both[1] == pytest.approx(head_pose(two[None])[0], abs=1e-3)


def test_degenerate_points_give_finite_angles() -> None:
    cases = np.stack([np.zeros((5, 2)), np.ones((5, 2)) * 9, FACE[:, :2] * [0, 1], FACE[:, :2] * [1, 0], -FACE[:, :2]])
    found = head_pose(cases)
    assert found.shape == (5, 3)
    assert np.isfinite(found).all()
    assert (np.abs(found) <= 180).all()
    assert head_pose(np.zeros((0, 5, 2))).shape == (0, 3)
