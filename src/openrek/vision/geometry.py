"""Boxes and polygons: pure functions over arrays.

Boxes are float32 (N, 4) `xyxy`: left, top, right, bottom in pixels (or in any unit used for both operands), y pointing
down. Polygons are float32 (P, 2). "Clockwise" is as seen on the screen. Degenerate boxes (right < left or bottom < top)
have no area and meet nothing.
"""

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


def as_boxes(boxes: ArrayLike) -> Floats:
    """Anything box-like as a float32 (N, 4) array; an empty sequence becomes (0, 4).

    Raises ValueError for other shapes.

    >>> as_boxes([]).shape
    (0, 4)
    """
    array = np.asarray(boxes, np.float32)
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4), not {array.shape}")
    return array


def area(boxes: ArrayLike) -> Floats:
    """Area of each box: (N, 4) -> (N,).

    >>> area([[0, 0, 2, 3], [5, 5, 4, 9]]).tolist()
    [6.0, 0.0]
    """
    b = as_boxes(boxes)
    return np.asarray(np.maximum(b[:, 2] - b[:, 0], 0) * np.maximum(b[:, 3] - b[:, 1], 0))


def intersection(a: ArrayLike, b: ArrayLike) -> Floats:
    """Area that each box of `a` shares with each of `b`: (N, 4), (M, 4) -> (N, M).

    >>> intersection([[0, 0, 4, 4]], [[2, 2, 6, 6], [9, 9, 10, 10]]).tolist()
    [[4.0, 0.0]]
    """
    a, b = as_boxes(a)[:, None], as_boxes(b)[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    return np.asarray(np.maximum(high - low, 0).prod(axis=-1))


def iou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union of each pair: (N, 4), (M, 4) -> (N, M) in 0..1; 0 where both boxes are empty.

    >>> iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2]]).round(3).tolist()
    [[1.0, 0.3330000042915344]]
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def nms(
    boxes: ArrayLike,
    scores: ArrayLike,
    threshold: float = 0.5,
    *,
    classes: ArrayLike | None = None,
    limit: int | None = None,
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes kept, best score first (equal scores: lower index first).

    A box is dropped when its IoU with a better kept box exceeds `threshold`; with `classes` (N,) only boxes of the same
    class suppress each other. At most `limit` are kept.

    >>> nms([[0, 0, 10, 10], [1, 1, 10, 10], [20, 0, 30, 10]], [0.8, 0.9, 0.5]).tolist()
    [1, 2]
    """
    b = as_boxes(boxes)
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    if len(order) != len(b):
        raise ValueError(f"{len(b)} boxes but {len(order)} scores")
    groups = None if classes is None else np.asarray(classes)
    areas = area(b)
    kept: list[int] = []
    while len(order) and (limit is None or len(kept) < limit):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        others = b[rest]
        sides = np.minimum(others[:, 2:], b[best, 2:]) - np.maximum(others[:, :2], b[best, :2])
        shared = np.maximum(sides, 0).prod(axis=1)
        suppressed = shared > threshold * (areas[rest] + areas[best] - shared)
        if groups is not None:
            suppressed &= groups[rest] == groups[best]
        order = rest[~suppressed]
    return np.array(kept, np.intp)


def clip(boxes: ArrayLike, width: float, height: float, *, margin: float = 0.0) -> Floats:
    """Boxes limited to a picture; `margin` lets them reach beyond it by that share of its sides (a soft clip).

    >>> clip([[-30, 5, 120, 50]], 100, 40).tolist()
    [[0.0, 5.0, 100.0, 40.0]]
    >>> clip([[-30, 5, 120, 50]], 100, 40, margin=0.1).tolist()
    [[-10.0, 5.0, 110.0, 44.0]]
    """
    sides = np.array([width, height, width, height], np.float32)
    return np.clip(as_boxes(boxes), 0 - margin * sides, (1 + margin) * sides)


def scale(boxes: ArrayLike, x: float, y: float | None = None) -> Floats:
    """Boxes in a picture stretched by `x` and `y` (default: the same).

    >>> scale([[1, 2, 3, 4]], 2, 10).tolist()
    [[2.0, 20.0, 6.0, 40.0]]
    """
    y = x if y is None else y
    return as_boxes(boxes) * np.array([x, y, x, y], np.float32)


def expand(boxes: ArrayLike, x: float, y: float | None = None) -> Floats:
    """Boxes made `x` times as wide and `y` (default: the same) times as high about their centres.

    >>> expand([[10, 10, 20, 30]], 2, 1).tolist()
    [[5.0, 10.0, 25.0, 30.0]]
    """
    b = as_boxes(boxes)
    centre, half = (b[:, :2] + b[:, 2:]) / 2, (b[:, 2:] - b[:, :2]) / 2
    half = half * np.array([x, x if y is None else y], np.float32)
    return np.hstack([centre - half, centre + half])


def corners(boxes: ArrayLike) -> Floats:
    """Boxes as clockwise quadrilaterals from the top-left corner: (N, 4) -> (N, 4, 2).

    >>> corners([[1, 2, 3, 4]]).tolist()
    [[[1.0, 2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0]]]
    """
    return as_boxes(boxes)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


# --- polygons ---------------------------------------------------------------------------------------------------------


def polygon_bounds(polygon: ArrayLike) -> Floats:
    """Smallest axis-aligned box around points: (..., P, 2) -> (..., 4).

    >>> polygon_bounds([[3, 1], [5, 4], [2, 6]]).tolist()
    [2.0, 1.0, 5.0, 6.0]
    """
    points = np.asarray(polygon, np.float32)
    return np.concatenate([points.min(axis=-2), points.max(axis=-2)], axis=-1)


def signed_area(polygon: ArrayLike) -> float:
    """Shoelace area of a simple polygon (P, 2): positive for clockwise points (y down), negative otherwise.

    >>> signed_area([[0, 0], [0, 3], [4, 3]])
    -6.0
    """
    p = np.asarray(polygon, np.float64).reshape(-1, 2)
    if len(p) < 3:
        return 0.0
    p = p - p[0]  # keeps the precision of small polygons far from the origin
    n = np.roll(p, -1, axis=0)
    return float((p[:, 0] * n[:, 1] - n[:, 0] * p[:, 1]).sum() / 2)


def polygon_area(polygon: ArrayLike) -> float:
    """Area of a simple polygon (P, 2) in either direction.

    >>> polygon_area([[0, 0], [4, 0], [4, 3]])
    6.0
    """
    return abs(signed_area(polygon))


def clip_polygon(polygon: ArrayLike, window: ArrayLike) -> NDArray[np.float64]:
    """The part of a polygon (P, 2) inside a convex window (Q, 2): (R, 2).

    R is 0 where they do not meet or the window has no area.
    Sutherland and Hodgman, "Reentrant polygon clipping" (1974). The polygon may be concave: its parts then stay joined
    by edges of no area, so that `polygon_area` of the result is exact.

    >>> polygon_area(clip_polygon([[0, 0], [4, 0], [4, 4], [0, 4]], [[2, 2], [6, 2], [6, 6], [2, 6]]))
    4.0
    """
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    edges = np.asarray(window, np.float64).reshape(-1, 2)
    direction = signed_area(edges)
    if direction == 0:
        return np.zeros((0, 2))
    if direction < 0:
        edges = edges[::-1]
    for start, end in zip(edges, np.roll(edges, -1, axis=0), strict=True):
        if len(points) == 0:
            break
        along = end - start
        side = along[0] * (points[:, 1] - start[1]) - along[1] * (points[:, 0] - start[0])
        following, side_following = np.roll(points, -1, axis=0), np.roll(side, -1)
        kept: list[NDArray[np.float64]] = []
        for p, s, q, t in zip(points, side, following, side_following, strict=True):
            if s >= 0:
                kept.append(p)
            if (s > 0 > t) or (s < 0 < t):
                kept.append(p + (q - p) * (s / (s - t)))
        points = np.array(kept).reshape(-1, 2)
    return points


def share_inside(shape: ArrayLike, region: ArrayLike) -> float:
    """Share (0..1) of a convex shape's area that lies inside a region, any simple polygon; 0 for a shape without area.

    >>> share_inside([[0, 0], [2, 0], [2, 1], [0, 1]], [[1, -5], [9, -5], [9, 5], [1, 5]])
    0.5
    """
    whole = polygon_area(shape)
    return min(1.0, polygon_area(clip_polygon(region, shape)) / whole) if whole > 0 else 0.0


def simple_polygons(outline: ArrayLike) -> list[Floats]:
    """The parts that an outline (P, 2), which may cross or touch itself, encloses: simple polygons (R, 2) with an area.

    It is cut where two of its edges meet, until none of a part's do; a simple polygon is its own only part.

    >>> [part.tolist() for part in simple_polygons([[0, 0], [2, 2], [2, 0], [0, 2]])]
    [[[2.0, 2.0], [2.0, 0.0], [1.0, 1.0]], [[0.0, 2.0], [0.0, 0.0], [1.0, 1.0]]]
    """
    points = np.asarray(outline, np.float32).reshape(-1, 2)
    count = len(points)
    for i, j in combinations(range(count), 2):
        if j - i in (1, count - 1):  # neighbours meet at their common corner
            continue
        meeting = crossing(points[i], points[i + 1], points[j], points[(j + 1) % count])
        if meeting is not None:
            first, second = points[i + 1 : j + 1], np.concatenate([points[j + 1 :], points[: i + 1]])
            return [part for loop in (first, second) for part in simple_polygons([*loop, meeting])]
    return [points] if polygon_area(points) > 0 else []


def crossing(a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike) -> Floats | None:
    """The point where the lines from a to b and from c to d meet; None where they do not, or are parallel.

    >>> crossing([0, 0], [4, 4], [0, 2], [2, 0]).tolist()
    [1.0, 1.0]
    """
    start, end, other_start, other_end = np.asarray([a, b, c, d], np.float64)
    along, across, apart = end - start, other_end - other_start, other_start - start
    turn = along[0] * across[1] - along[1] * across[0]
    if turn == 0:
        return None
    at = (apart[0] * across[1] - apart[1] * across[0]) / turn
    other = (apart[0] * along[1] - apart[1] * along[0]) / turn
    return np.asarray(start + at * along, np.float32) if 0 <= at <= 1 and 0 <= other <= 1 else None


# --- turned rectangles ------------------------------------------------------------------------------------------------


def rotate_points(points: ArrayLike, degrees: float, centre: Sequence[float] = (0.0, 0.0)) -> Floats:
    """Points (..., 2) turned clockwise on the screen about `centre`.

    >>> rotate_points([[1, 0]], 90).round(6).tolist()
    [[0.0, 1.0]]
    """
    radians = np.deg2rad(degrees)
    c, s = np.cos(radians), np.sin(radians)
    offset = np.asarray(centre, np.float64)
    turned = (np.asarray(points, np.float64) - offset) @ np.array([[c, s], [-s, c]]) + offset
    return np.asarray(turned, np.float32)


def order_quad(quad: ArrayLike, direction: Sequence[float] = (1.0, 0.0)) -> Floats:
    """Four corners in any order, as top-left, top-right, bottom-right, bottom-left of a text read along `direction`.

    The first edge of the result is the one that points along `direction` best. quad: (4, 2), corners of a convex
    quadrilateral; direction: a vector, (1, 0) reads left to right, (0, 1) downwards (a text turned 90° clockwise).

    >>> order_quad([[0, 2], [6, 0], [0, 0], [6, 2]]).tolist()
    [[0.0, 0.0], [6.0, 0.0], [6.0, 2.0], [0.0, 2.0]]
    >>> order_quad([[0, 0], [2, 0], [2, 6], [0, 6]], direction=(0, 1)).tolist()
    [[2.0, 0.0], [2.0, 6.0], [0.0, 6.0], [0.0, 0.0]]
    """
    points = np.asarray(quad, np.float32).reshape(4, 2)
    offset = points - points.mean(axis=0)
    points = points[np.argsort(np.arctan2(offset[:, 1], offset[:, 0]), kind="stable")]  # clockwise, y down
    edges = np.roll(points, -1, axis=0) - points
    lengths = np.linalg.norm(edges, axis=1)
    along = edges @ np.asarray(direction, np.float32)
    cosine = np.divide(along, lengths, out=np.full(4, -np.inf, np.float32), where=lengths > 0)
    return np.roll(points, -int(np.argmax(cosine)), axis=0)


def minimal_rectangle(points: ArrayLike, direction: Sequence[float] = (1.0, 0.0)) -> Floats:
    """The turned rectangle of least area around points (P, 2), ordered by `order_quad`: (4, 2).

    >>> minimal_rectangle([[1, 1], [5, 1], [5, 3], [1, 3], [2, 2]]).round(3).tolist()
    [[1.0, 1.0], [5.0, 1.0], [5.0, 3.0], [1.0, 3.0]]
    """
    rectangle = cv2.minAreaRect(np.asarray(points, np.float32).reshape(-1, 2))
    return order_quad(cv2.boxPoints(rectangle), direction)


def quad_angle(quad: ArrayLike) -> float:
    """Angle in degrees, -180..180, clockwise on the screen, of an ordered quadrilateral's top edge; 0 is horizontal.

    >>> quad_angle([[0, 0], [0, 5], [-2, 5], [-2, 0]])
    90.0
    """
    q = np.asarray(quad, np.float64).reshape(4, 2)
    x, y = (q[1] - q[0]) + (q[2] - q[3])  # the mean of top and bottom edge is steadier than either
    return float(np.rad2deg(np.arctan2(y, x)))
