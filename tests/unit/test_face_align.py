"""Aligned crops: where points come to lie, and that large faces are averaged, not sampled."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.faces.align import SIZE, TEMPLATE, align, inverse, similarity, transform


def moved(points: NDArray[np.float32], degrees: float, scale: float, shift: tuple[float, float]) -> NDArray[np.float32]:
    """Points turned clockwise on the screen, scaled about the origin and shifted."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(scale * points @ turn.T + np.array(shift), np.float32)


@pytest.mark.parametrize("degrees", [0, 33, 180, -110])
@pytest.mark.parametrize("scale", [0.3, 1.0, 8.0])
def test_a_moved_template_comes_back_exactly(degrees: float, scale: float) -> None:
    points = moved(TEMPLATE, degrees, scale, (300.0, -40.0))[None]
    matrices = similarity(points)
    assert np.allclose(transform(matrices, points)[0], TEMPLATE, atol=1e-2)
    assert np.isclose(np.hypot(matrices[0, 0, 0], matrices[0, 1, 0]), 1 / scale, rtol=1e-3)


def test_a_similarity_keeps_angles_and_never_mirrors() -> None:
    random = np.random.default_rng(0)
    points = (TEMPLATE + random.normal(0, 4, (50, 5, 2))).astype(np.float32)
    turns = similarity(points)[:, :, :2].astype(np.float64)
    gram = turns @ turns.transpose(0, 2, 1)
    assert np.allclose(gram[:, 0, 1], 0, atol=1e-5)
    assert np.allclose(gram[:, 0, 0], gram[:, 1, 1], rtol=1e-4)
    assert (np.linalg.det(turns) > 0).all()


def test_it_is_the_best_fit() -> None:
    random = np.random.default_rng(1)
    points = (TEMPLATE * 2 + random.normal(0, 5, (5, 2))).astype(np.float32)[None]
    best = similarity(points)

    def error(matrix: NDArray[np.float32]) -> float:
        return float(((transform(matrix, points)[0] - TEMPLATE) ** 2).sum())

    least = error(best)
    for _ in range(100):
        near = best.copy()
        change = random.normal(0, 0.01, 2)
        near[0, 0, 0] += change[0]
        near[0, 1, 1] += change[0]
        near[0, 1, 0] += change[1]
        near[0, 0, 1] -= change[1]
        near[0, :, 2] += random.normal(0, 0.5, 2)
        assert error(near) >= least - 1e-3


def test_points_that_coincide_give_a_finite_matrix() -> None:
    assert np.isfinite(similarity(np.full((1, 5, 2), 7, np.float32))).all()


def test_inverse_leads_back() -> None:
    points = moved(TEMPLATE, 25, 3.0, (40.0, 90.0))[None]
    matrices = similarity(points)
    assert np.allclose(transform(inverse(matrices), transform(matrices, points)), points, atol=1e-2)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0, 12.0])
@pytest.mark.parametrize("degrees", [0, 20, 180])
def test_marks_lie_on_the_template(scale: float, degrees: float) -> None:
    """A white dot painted on each of the five points comes to lie where the template says."""
    points = moved(TEMPLATE, degrees, scale, (1000.0, 1000.0))
    pixels = np.zeros((2200, 2200, 3), np.uint8)
    for x, y in points:
        cv2.circle(pixels, (round(float(x)), round(float(y))), max(1, round(2 * scale)), (255, 255, 255), -1)
    crops, _ = align(pixels, points[None])
    assert crops.shape == (1, SIZE, SIZE, 3)
    for x, y in TEMPLATE:
        part = crops[0, int(y) - 5 : int(y) + 7, int(x) - 5 : int(x) + 7, 0].astype(np.float64)
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
        middle = np.array([(columns * part).sum(), (rows * part).sum()]) / part.sum() + [int(x) - 5, int(y) - 5]
        assert np.abs(middle - (x, y)).max() < (1.1 if scale < 1 else 0.6)


def test_a_large_face_is_averaged() -> None:
    """Stripes far finer than the crop's pixels turn grey instead of aliasing."""
    pixels = np.zeros((1600, 1600, 3), np.uint8)
    pixels[:, ::2] = 255
    crops, _ = align(pixels, (TEMPLATE * 12 + 100)[None].astype(np.float32))
    inside = crops[0, 20:90, 20:90]
    assert abs(float(inside.mean()) - 127.5) < 2
    assert float(inside.std()) < 25


def test_outside_the_picture_is_black() -> None:
    pixels = np.full((60, 60, 3), 200, np.uint8)
    crops, _ = align(pixels, TEMPLATE[None])
    assert (crops[0, 70:, 70:] == 0).all()
    assert (crops[0, :50, :50] == 200).all()


def test_a_margin_shows_more_at_the_same_scale() -> None:
    random = np.random.default_rng(3)
    pixels = cv2.GaussianBlur(random.integers(0, 256, (300, 300, 3), np.uint8), (0, 0), 3)
    points = moved(TEMPLATE, 10, 1.3, (70.0, 60.0))[None]
    narrow, _ = align(np.asarray(pixels, np.uint8), points)
    wide, _ = align(np.asarray(pixels, np.uint8), points, margin=12)
    assert wide.shape == (1, SIZE + 24, SIZE + 24, 3)
    assert np.abs(wide[0, 12:-12, 12:-12].astype(int) - narrow[0]).max() <= 3


def test_no_faces_give_no_crops() -> None:
    crops, matrices = align(np.zeros((50, 50, 3), np.uint8), np.zeros((0, 5, 2), np.float32))
    assert crops.shape == (0, SIZE, SIZE, 3)
    assert matrices.shape == (0, 2, 3)
