"""QualityFilter: each measure has its reason, levels are ordered."""

from dataclasses import replace

import numpy as np
import pytest

from openrek.contract.model import service_model
from openrek.service.face_quality import BARS, EXCEEDS_MAX_FACES, FACE_NOT_LARGEST, NONE, quality_reasons
from openrek.vision.faces import Faces

GOOD = Faces(
    boxes=np.array([[10, 10, 110, 130]], np.float32),
    confidences=np.array([0.99], np.float32),
    landmarks=np.zeros((1, 5, 2), np.float32),
    pose=np.array([[-170, 5, -5]], np.float32),
    brightness=np.array([60], np.float32),
    sharpness=np.array([80], np.float32),
)
FLAWS = {
    "LOW_CONFIDENCE": replace(GOOD, confidences=np.array([0.6], np.float32)),
    "SMALL_BOUNDING_BOX": replace(GOOD, boxes=np.array([[0, 0, 19, 40]], np.float32)),
    "LOW_BRIGHTNESS": replace(GOOD, brightness=np.array([7], np.float32)),
    "LOW_SHARPNESS": replace(GOOD, sharpness=np.array([3], np.float32)),
    "EXTREME_POSE": replace(GOOD, pose=np.array([[0, -80, 0]], np.float32)),
    "LOW_FACE_QUALITY": replace(
        GOOD, boxes=np.array([[0, 0, 21, 30]], np.float32), sharpness=np.array([6], np.float32)
    ),
}


@pytest.mark.parametrize("level", list(BARS))
def test_a_good_face_passes_upside_down_too(level: str) -> None:
    assert quality_reasons(GOOD, 0, level) == ()


@pytest.mark.parametrize("reason", list(FLAWS))
def test_each_flaw_has_its_reason_at_every_level(reason: str) -> None:
    assert quality_reasons(FLAWS[reason], 0, "LOW") == (reason,)
    for level in BARS:
        assert reason in quality_reasons(FLAWS[reason], 0, level)
    assert quality_reasons(FLAWS[reason], 0, NONE) == ()


def test_a_face_may_have_several_reasons() -> None:
    worst = replace(FLAWS["SMALL_BOUNDING_BOX"], brightness=np.zeros(1, np.float32), sharpness=np.zeros(1, np.float32))
    assert quality_reasons(worst, 0, "AUTO") == (
        "SMALL_BOUNDING_BOX",
        "LOW_BRIGHTNESS",
        "LOW_SHARPNESS",
        "LOW_FACE_QUALITY",
    )


def test_a_stricter_level_lets_no_face_through_that_a_lenient_one_stops() -> None:
    random = np.random.default_rng(1)
    count = 500
    sides = random.uniform(5, 120, count)
    faces = Faces(
        boxes=np.stack([np.zeros(count), np.zeros(count), sides, sides * 1.2], axis=1).astype(np.float32),
        confidences=random.uniform(0.5, 1, count).astype(np.float32),
        landmarks=np.zeros((count, 5, 2), np.float32),
        pose=random.uniform(-90, 90, (count, 3)).astype(np.float32),
        brightness=random.uniform(0, 100, count).astype(np.float32),
        sharpness=random.uniform(0, 100, count).astype(np.float32),
    )
    low, medium, high = (
        [set(quality_reasons(faces, index, level)) for index in range(count)] for level in ("LOW", "MEDIUM", "HIGH")
    )
    assert all(a <= b <= c for a, b, c in zip(low, medium, high, strict=True))
    assert sum(map(bool, low)) < sum(map(bool, medium)) < sum(map(bool, high)) < count


def test_the_levels_and_reasons_are_the_models() -> None:
    model = service_model()
    assert {NONE, *BARS} == set(model.shape_for("QualityFilter").enum)
    assert {*FLAWS, EXCEEDS_MAX_FACES} == set(model.shape_for("Reason").enum)
    assert {*FLAWS, EXCEEDS_MAX_FACES, FACE_NOT_LARGEST} == set(model.shape_for("UnsearchedFaceReason").enum)
