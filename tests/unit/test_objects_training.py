"""The object detector's recipe: what it measures with, and what it does to boxes."""

import numpy as np
import pytest
from training.objects.classes import INDEX, LABELS, NAMES, UNKNOWN
from training.objects.measure import Matched, calibration_error, isotonic, match
from training.objects.prepare import boxes_of, parts
from training.objects.samples import IGNORED, Boxes, Sample
from training.objects.teachers import merge

from openrek.vision.objects import Objects
from openrek.vision.objects.calibration import Calibration

CAR = INDEX["car"]


def objects(*rows: tuple[float, float, float, float, float]) -> Objects:
    """Cars: (left, top, right, bottom, score)."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Objects(table[:, :4], table[:, 4], np.zeros(len(table), np.int64), ("car",))


def sample(*boxes: tuple[float, float, float, float]) -> Sample:
    return Sample("street-boxes", "a", np.zeros((100, 100, 3), np.uint8), Boxes.of(boxes, [CAR] * len(boxes)))


def test_average_precision_is_the_area_under_the_curve() -> None:
    # best first: right, wrong, right; two to find: precision 1 up to recall 1/2, then 2/3
    result = Matched(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2)
    assert result.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert result.at(0.75) == (0.5, 0.5)
    assert Matched(np.array([0.9]), np.array([True]), 4).average_precision == pytest.approx(0.25)


def test_a_drawn_box_is_found_once_and_ignored_boxes_count_neither_way() -> None:
    shown = sample((0, 0, 20, 20), (50, 50, 90, 90))
    shown.boxes.kinds[1] = IGNORED
    found = objects((0, 0, 20, 20, 0.9), (1, 1, 20, 20, 0.8), (50, 50, 88, 90, 0.7), (0, 60, 20, 80, 0.6))
    result = match([shown], [found], "car")
    assert result.count == 1
    assert result.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert result.right.tolist() == [True, False, False]


def test_calibration_rises_and_says_how_often_scores_are_right() -> None:
    random = np.random.default_rng(1)
    scores = random.random(4000)
    right = random.random(4000) < scores**2  # a score of 0.5 is right one time in four
    knots = isotonic(scores, right)
    assert knots == sorted(knots)
    assert [knot[1] for knot in knots] == sorted(knot[1] for knot in knots)
    curve = Calibration({"car": knots}, ["car"])
    stated = curve(scores.astype(np.float32), np.zeros(4000, np.int64))
    assert calibration_error(scores, right) > 0.1
    assert calibration_error(stated.astype(np.float64), right) < 0.02
    assert curve(np.float32([0.5]), np.zeros(1, np.int64))[0] == pytest.approx(0.25, abs=0.05)


def test_a_mosaic_is_cut_where_its_pictures_meet() -> None:
    random = np.random.default_rng(2)
    canvas = np.zeros((320, 320, 3), np.uint8)
    for rows, columns, value in (
        (slice(0, 134), slice(0, 200), 40),
        (slice(0, 134), slice(200, 320), 200),
        (slice(134, 320), slice(0, 200), 220),
        (slice(134, 320), slice(200, 320), 90),
    ):
        canvas[rows, columns] = value + random.integers(-15, 15, canvas[rows, columns].shape)
    boxes = Boxes.of([[10, 10, 100, 134], [210, 140, 330, 300]], [CAR, CAR])
    cut = {part.shape[:2]: own.boxes.tolist() for part, own in parts(canvas, boxes)}
    assert cut == {
        (134, 200): [[10, 10, 100, 134]],
        (134, 120): [],
        (186, 200): [],
        (186, 120): [[10, 6, 120, 166]],
    }


def test_a_masked_face_gives_its_mask() -> None:
    found = boxes_of("face-mask-boxes", [("with_mask", [0, 0, 50, 100]), ("mask_incorrect", [60, 0, 90, 50])])
    assert [(NAMES[kind], top) for kind, top in zip(found.classes, found.boxes[:, 1], strict=True)] == [
        ("face_mask", 42),
        ("face_mask", 21),
        ("face_bare", 21),
    ]
    assert found.kinds.tolist() == [0, IGNORED, IGNORED]


def test_boxes_drawn_by_hand_stand_against_the_teacher() -> None:
    shown = sample((0, 0, 20, 20))
    names = ("car", "person")
    boxes = np.float32([[1, 0, 20, 20], [60, 60, 90, 90], [0, 50, 10, 80], [80, 0, 99, 50]])
    seen = Objects(boxes, np.float32([0.9, 0.9, 0.9, 0.2]), np.array([0, 0, 1, 1]), names)
    merged = merge(shown, seen)
    rows = sorted((NAMES[kind], int(state)) for kind, state in zip(merged.classes, merged.kinds, strict=True))
    # the car that nobody drew is left out of the loss, and so are all people that nobody drew: they are drawn here
    assert rows == [("car", 0), ("car", 2), ("person", 2), ("person", 2), ("vehicle", 0), ("vehicle", 2)]
    shown.source = "weapon-boxes"
    merged = merge(shown, seen)
    rows = sorted((NAMES[kind], int(state)) for kind, state in zip(merged.classes, merged.kinds, strict=True))
    # where nobody draws people the teacher's are learnt, as far as it is sure
    assert [row for row in rows if row[0] == "person"] == [("person", 1), ("person", 2)]


def test_every_sets_classes_are_ours() -> None:
    assert {name for labels in LABELS.values() for name in labels.values()} <= set(NAMES)
    assert UNKNOWN.keys() == LABELS.keys()
    for source, unknown in UNKNOWN.items():
        assert set(unknown) <= set(NAMES)
        assert not set(unknown) & set(LABELS[source].values()) or source in ("playing-cards", "fire-boxes")
