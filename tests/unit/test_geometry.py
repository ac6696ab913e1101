"""Boxes and polygons."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from openrek.vision import geometry

coordinates = st.floats(-1000, 1000, width=32).map(lambda value: round(value * 4) / 4)


@st.composite
def boxes(draw: st.DrawFn, most: int = 8) -> np.ndarray:
    n = draw(st.integers(0, most))
    corners = draw(arrays(np.float32, (n, 2, 2), elements=coordinates))
    return np.hstack([corners.min(axis=1), corners.max(axis=1)]) if n else np.zeros((0, 4), np.float32)


def test_examples_of_the_docstrings() -> None:
    public = {name for name, value in vars(geometry).items() if getattr(value, "__module__", "") == geometry.__name__}
    shown = {test.name.rpartition(".")[2] for test in doctest.DocTestFinder().find(geometry) if test.examples}
    assert shown == public
    assert doctest.testmod(geometry).failed == 0


def test_shapes() -> None:
    assert geometry.iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert geometry.area(np.zeros((0, 4))).shape == (0,)
    assert geometry.scale([[1, 2, 3, 4]], 2).dtype == np.float32
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        geometry.as_boxes([1, 2, 3, 4])
    with pytest.raises(ValueError, match="2 boxes but 1 scores"):
        geometry.nms([[0, 0, 1, 1], [2, 2, 3, 3]], [0.5])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1),
        ([0, 0, 2, 2], [2, 0, 4, 2], 0),
        ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7),
        ([0, 0, 4, 4], [1, 1, 3, 3], 1 / 4),
        ([0, 0, 0, 0], [0, 0, 0, 0], 0),
        ([3, 3, 1, 1], [0, 0, 4, 4], 0),
        ([-4, -4, -2, -2], [-3, -4, -1, -2], 1 / 3),
    ],
)
def test_iou(a: list[float], b: list[float], expected: float) -> None:
    assert geometry.iou([a], [b])[0, 0] == pytest.approx(expected, abs=1e-6)


@given(boxes(), boxes())
def test_iou_is_symmetric_and_bounded(a: np.ndarray, b: np.ndarray) -> None:
    matrix = geometry.iou(a, b)
    assert matrix.shape == (len(a), len(b))
    assert np.allclose(matrix, geometry.iou(b, a).T)
    assert ((matrix >= 0) & (matrix <= 1 + 1e-6)).all()
    assert np.allclose(np.diag(geometry.iou(a, a)), geometry.area(a) > 0)


@given(boxes(12), st.data())
def test_nms_keeps_the_best_of_every_cluster(b: np.ndarray, data: st.DataObject) -> None:
    scores = data.draw(arrays(np.float32, len(b), elements=st.sampled_from([0.1, 0.2, 0.5, 0.9])))
    threshold = data.draw(st.sampled_from([0.0, 0.3, 0.7]))
    kept = geometry.nms(b, scores, threshold)
    among = geometry.iou(b[kept], b[kept])
    np.fill_diagonal(among, 0)
    assert (among <= threshold).all()
    assert (np.diff(scores[kept]) <= 0).all()
    for dropped in set(range(len(b))) - set(kept.tolist()):
        better = [k for k in kept if scores[k] >= scores[dropped]]
        assert geometry.iou(b[[dropped]], b[better]).max() > threshold


def test_nms_by_class_and_limit() -> None:
    b = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10], [50, 50, 60, 60]]
    scores = [0.9, 0.8, 0.7, 0.6]
    assert geometry.nms(b, scores).tolist() == [0, 3]
    assert geometry.nms(b, scores, classes=["cat", "dog", "cat", "cat"]).tolist() == [0, 1, 3]
    assert geometry.nms(b, scores, limit=1).tolist() == [0]
    assert geometry.nms([], []).tolist() == []
    assert geometry.nms(b, [0.5] * 4, 1.0).tolist() == [0, 1, 2, 3]


@given(boxes(), st.floats(1, 500), st.floats(1, 500), st.sampled_from([0, 0.1, 0.5]))
def test_clip_stays_inside(b: np.ndarray, width: float, height: float, margin: float) -> None:
    clipped = geometry.clip(b, width, height, margin=margin)
    slack = 1e-3
    assert (clipped[:, [0, 2]] >= -margin * width - slack).all()
    assert (clipped[:, [0, 2]] <= (1 + margin) * width + slack).all()
    assert (clipped[:, [1, 3]] <= (1 + margin) * height + slack).all()
    assert np.allclose(geometry.clip(clipped, width, height, margin=margin), clipped)


@given(boxes(), st.sampled_from([0.5, 1, 2]), st.sampled_from([0.25, 1, 3]))
def test_expand_keeps_centres_and_multiplies_area(b: np.ndarray, x: float, y: float) -> None:
    grown = geometry.expand(b, x, y)
    assert np.allclose((grown[:, :2] + grown[:, 2:]) / 2, (b[:, :2] + b[:, 2:]) / 2, atol=1e-2)
    assert np.allclose(geometry.area(grown), geometry.area(b) * x * y, rtol=1e-3, atol=1)


L_SHAPE = [[0, 0], [6, 0], [6, 2], [2, 2], [2, 6], [0, 6]]


@pytest.mark.parametrize(
    ("polygon", "window", "expected"),
    [
        ([[0, 0], [4, 0], [4, 4], [0, 4]], [[1, 1], [2, 1], [2, 2], [1, 2]], 1),
        ([[0, 0], [4, 0], [4, 4], [0, 4]], [[2, 0], [4, 2], [2, 4], [0, 2]], 8),
        ([[0, 0], [4, 0], [4, 4], [0, 4]], [[5, 5], [6, 5], [6, 6]], 0),
        (L_SHAPE, [[0, 0], [6, 0], [6, 6], [0, 6]], 20),
        (L_SHAPE, [[3, 3], [6, 3], [6, 6], [3, 6]], 0),
        (L_SHAPE, [[1, 1], [5, 1], [5, 5], [1, 5]], 7),  # two arms of the L, joined at the corner
        (L_SHAPE[::-1], [[1, 5], [5, 5], [5, 1], [1, 1]], 7),
        (L_SHAPE, [[-1, 5], [7, 5], [7, 9], [-1, 9]], 2),
        ([[0, 0], [1, 1]], [[0, 0], [6, 0], [6, 6]], 0),
        (L_SHAPE, [[0, 0], [0, 6], [0, 6], [0, 0]], 0),
    ],
)
def test_polygon_intersection(polygon: list[list[float]], window: list[list[float]], expected: float) -> None:
    assert geometry.polygon_area(geometry.clip_polygon(polygon, window)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("outline", "areas"),
    [
        (L_SHAPE, [20]),
        ([[0, 0], [2, 2], [2, 0], [0, 2]], [1, 1]),  # a bow tie
        ([[0, 0], [4, 4], [4, 0], [0, 3]], [32 / 7, 18 / 7]),
        ([[0, 0], [1, 1], [0, 2], [2, 2], [1, 1], [2, 0]], [1, 1]),  # an hourglass that touches itself in its waist
        ([[2, 4], [3, 0], [4, 4], [0, 1], [6, 1]], [52 / 19, 138 / 19]),  # a star: its middle, and all of it
        ([[0, 0], [1, 1], [2, 2]], []),
        ([[0, 0], [1, 1], [0, 0], [1, 1]], []),
    ],
)
def test_parts_of_outlines_that_meet_themselves(outline: list[list[float]], areas: list[float]) -> None:
    found = [geometry.polygon_area(part) for part in geometry.simple_polygons(outline)]
    assert found == pytest.approx(areas, rel=1e-5)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=10))
def test_parts_leave_nothing_out(outline: list[tuple[int, int]]) -> None:
    parts = geometry.simple_polygons(outline)
    assert sum(geometry.signed_area(part) for part in parts) == pytest.approx(geometry.signed_area(outline), abs=1e-2)


@given(boxes(2))
def test_polygon_intersection_agrees_with_boxes(b: np.ndarray) -> None:
    quads = geometry.corners(b)
    for i in range(len(b)):
        for j in range(len(b)):
            shared = geometry.polygon_area(geometry.clip_polygon(quads[i], quads[j]))
            assert shared == pytest.approx(float(geometry.intersection(b[[i]], b[[j]])[0, 0]), rel=1e-4, abs=1e-3)


@given(st.floats(0, 360), st.floats(0.25, 3.75))
def test_a_turn_changes_no_share(degrees: float, cut: float) -> None:
    word = geometry.rotate_points([[0, 0], [4, 0], [4, 1], [0, 1]], degrees, (300, 200))
    region = geometry.rotate_points([[cut, -9.0], [20.0, -9.0], [20.0, 9.0], [cut, 9.0]], degrees, (300, 200))
    assert geometry.share_inside(word, region) == pytest.approx((4 - cut) / 4, abs=1e-3)
    assert geometry.share_inside(word, word) == pytest.approx(1, abs=1e-3)


def test_share_inside_of_nothing() -> None:
    assert geometry.share_inside([[1, 1], [1, 1], [1, 1], [1, 1]], L_SHAPE) == 0


@given(st.permutations(range(4)), st.floats(-44, 44), st.floats(1, 50))
def test_corners_are_ordered_in_reading_direction(order: list[int], degrees: float, width: float) -> None:
    # even a narrow word ("I") keeps its top-left corner first
    upright = np.array([[0, 0], [width, 0], [width, 20], [0, 20]], np.float32) + 100
    expected = geometry.rotate_points(upright, degrees, (50, 50))
    assert np.allclose(geometry.order_quad(expected[order]), expected, atol=1e-3)
    radians = np.deg2rad(degrees + 90)
    turned = geometry.rotate_points(upright, degrees + 90, (50, 50))
    assert np.allclose(geometry.order_quad(turned[order], (np.cos(radians), np.sin(radians))), turned, atol=1e-3)
    assert geometry.quad_angle(expected) == pytest.approx(degrees, abs=0.1)


@given(st.floats(-40, 40))
def test_minimal_rectangle_finds_a_turned_one(degrees: float) -> None:
    corners = np.array([[10, 20], [90, 20], [90, 40], [10, 40]], np.float32)
    turned = geometry.rotate_points(corners, degrees)
    inside = turned.mean(axis=0, keepdims=True)
    found = geometry.minimal_rectangle(np.vstack([turned, inside]))
    assert np.allclose(found, turned, atol=0.1)
    assert geometry.polygon_area(found) == pytest.approx(1600, rel=1e-2)
    bounds = geometry.polygon_bounds(found)
    assert (bounds[:2] <= found.min(axis=0)).all()
    assert (bounds[2:] >= found.max(axis=0)).all()
