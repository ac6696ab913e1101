"""Reading attributes: a stand-in network shows that only what was asked for is computed and that every number comes
home; the shipped network is asked about two well-known photographs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from openrek.vision.faces.align import TEMPLATE
from openrek.vision.faces.attributes import (
    EMOTIONS,
    LANDMARKS_30,
    MODEL,
    SECOND,
    FaceAttributes,
    Trait,
    age_ranges,
    eight_emotions,
    face_attributes,
)
from openrek.vision.faces.pose import head_pose
from openrek.vision.faces.result import Faces
from openrek.vision.image import Picture, load_image
from openrek.vision.runtime import Runtime

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
COLUMNS = ("male", "smile", "eyeglasses", "sunglasses", "mouth_open", "beard", "mustache", "occluded")
POINTS = np.concatenate([TEMPLATE, TEMPLATE, TEMPLATE, TEMPLATE, TEMPLATE, TEMPLATE])  # 30 places in the crop


@dataclass
class Network:
    """Says of every face what it is told to say; keeps the outputs and batch sizes it was asked for."""

    metadata: Mapping[str, str] = field(
        default_factory=lambda: {
            "attributes": ",".join(COLUMNS),
            "emotions": ",".join(CLASSES),
            "age_levels": "0.1,0.9",
        }
    )
    asked: list[tuple[str, ...]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        crops = feeds["crops"]
        assert crops.dtype == np.uint8
        self.asked.append(tuple(outputs))
        self.batches.append(len(crops))
        age = np.zeros(101, np.float32)
        age[30:41] = 1 / 11
        rows = {
            "attributes": np.linspace(0.1, 0.8, 8, dtype=np.float32),
            # the second network hears what the first said
            "joined_attributes": feeds.get("attributes", np.zeros((1, 8)))[0] / 2,
            "joined_emotions": np.roll(feeds.get("emotions", np.zeros((1, 7)))[0], 1),
            "age": age,
            "emotions": np.array([0, 0, 0, 1, 0, 0, 0], np.float32),
            "landmarks": POINTS,
            "open": np.float32(2.0),
        }
        return [np.repeat(np.asarray(rows[name], np.float32)[None], len(crops), axis=0) for name in outputs]


class Models:
    """In place of a runtime."""

    def __init__(self) -> None:
        self.models: dict[str, Network] = {}

    def model(self, name: str) -> Network:
        return self.models.setdefault(name, Network())


def faces_at(points: NDArray[np.float32]) -> Faces:
    count = len(points)
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1) if count else np.zeros((0, 4), np.float32)
    zeros = np.zeros(count, np.float32)
    return Faces(boxes, zeros + 1, points, np.zeros((count, 3), np.float32), zeros, zeros)


def picture_of(pixels: NDArray[np.uint8]) -> Picture:
    return Picture(pixels, pixels.shape[1], pixels.shape[0])


def read(count: int, wanted: set[Trait], models: Models, shift: float = 100.0) -> FaceAttributes:
    points = np.repeat((TEMPLATE * 2 + shift)[None], count, axis=0).astype(np.float32)
    random = np.random.default_rng(0)
    picture = picture_of(random.integers(0, 256, (500, 600, 3), np.uint8))
    return face_attributes(picture, faces_at(points), cast(Runtime, models), wanted)


@pytest.mark.parametrize(
    ("trait", "outputs", "member"),
    [
        (Trait.AGE, {"age"}, "age"),
        (Trait.GENDER, {"attributes"}, "male"),
        (Trait.SMILE, {"attributes", "emotions"}, "smile"),
        (Trait.EYEGLASSES, {"attributes"}, "eyeglasses"),
        (Trait.SUNGLASSES, {"attributes"}, "sunglasses"),
        (Trait.MOUTH_OPEN, {"attributes", "emotions"}, "mouth_open"),
        (Trait.BEARD, {"attributes"}, "beard"),
        (Trait.MUSTACHE, {"attributes"}, "mustache"),
        (Trait.OCCLUDED, {"attributes", "landmarks"}, "occluded"),
        (Trait.EMOTIONS, {"attributes", "emotions"}, "emotions"),
        (Trait.LANDMARKS, {"landmarks"}, "landmarks"),
        (Trait.EYES_OPEN, {"attributes", "landmarks"}, "eyes_open"),
        (Trait.EYE_DIRECTION, {"attributes", "landmarks"}, "eye_direction"),
    ],
)
def test_one_trait_costs_and_gives_only_itself(trait: Trait, outputs: set[str], member: str) -> None:
    models = Models()
    found = read(2, {trait}, models)
    assert {name for call in models.models[MODEL].asked for name in call} == outputs
    assert (SECOND in models.models) == (member in {"smile", "mouth_open", "emotions"})
    beside = ["pose"] if "landmarks" in outputs else []  # as it costs no run
    assert [name for name in FaceAttributes.__slots__ if getattr(found, name) is not None] == [member, *beside]
    assert len(getattr(found, member)) == 2


def test_nothing_asked_runs_nothing() -> None:
    models = Models()
    assert read(1, set(), models) == FaceAttributes() or not models.models
    assert not models.models


def test_every_column_is_its_own() -> None:
    found = read(1, set(Trait), Models())
    said = [found.male, found.smile, found.eyeglasses, found.sunglasses, found.mouth_open, found.beard, found.mustache]
    # all as the second network gives them back
    assert np.allclose([value[0] for value in said if value is not None], np.linspace(0.1, 0.8, 8)[:7] / 2, atol=1e-6)
    assert found.occluded is not None
    assert np.isclose(found.occluded[0], 0.4)
    assert found.age is not None
    assert found.age.tolist() == [[31, 39]]
    assert found.emotions is not None
    assert EMOTIONS[int(found.emotions[0].argmax())] == "calm"  # one class on from what the first network says


def test_landmarks_are_the_pictures_pixels() -> None:
    found = read(1, {Trait.LANDMARKS}, Models(), shift=57.0)
    assert found.landmarks is not None
    assert np.allclose(found.landmarks[0], POINTS * 2 + 57, atol=0.05)


def test_the_pose_comes_from_the_thirty() -> None:
    models = Models()
    turned = np.stack([TEMPLATE * 2 + 100, (TEMPLATE * 2 + 100 - 200) @ np.float32([[0, 1], [-1, 0]]) + 200])
    picture = picture_of(np.zeros((500, 600, 3), np.uint8))
    found = face_attributes(picture, faces_at(turned.astype(np.float32)), cast(Runtime, models), {Trait.LANDMARKS})
    assert found.pose is not None
    assert found.landmarks is not None
    assert found.pose == pytest.approx(head_pose(found.landmarks), abs=1e-4)
    assert abs((found.pose[1] - found.pose[0] - [90, 0, 0] + 180) % 360 - 180).max() < 1


def test_the_pose_of_a_profile_comes_from_the_detector() -> None:
    points = np.repeat((TEMPLATE * 2 + 100)[None], 3, axis=0).astype(np.float32)
    sides = np.array([[10, 80, 5], [175, -42.5, 0], [-178, -20, 9]], np.float32)
    faces = replace(faces_at(points), pose=sides)
    picture = picture_of(np.zeros((500, 600, 3), np.uint8))
    found = face_attributes(picture, faces, cast(Runtime, Models()), {Trait.LANDMARKS})
    assert found.pose is not None
    assert found.landmarks is not None
    thirty = head_pose(found.landmarks)
    assert found.pose[0] == pytest.approx(sides[0], abs=1e-3)
    assert found.pose[2] == pytest.approx(thirty[2], abs=1e-3)
    assert found.pose[1, 1] == pytest.approx((sides[1, 1] + thirty[1, 1]) / 2, abs=1e-3)
    assert (np.abs(found.pose) <= 180).all()


def test_many_faces_go_in_batches_and_keep_their_order() -> None:
    models = Models()
    points = np.stack([TEMPLATE + 10 * face for face in range(37)]).astype(np.float32)
    picture = picture_of(np.zeros((600, 600, 3), np.uint8))
    found = face_attributes(picture, faces_at(points), cast(Runtime, models), {Trait.LANDMARKS})
    assert found.landmarks is not None
    assert np.allclose(found.landmarks[:, :5], points, atol=0.05)
    assert max(models.models[MODEL].batches) <= 32


def test_no_faces_give_empty_columns() -> None:
    found = read(0, set(Trait), Models())
    shapes = {name: getattr(found, name).shape for name in FaceAttributes.__slots__}
    assert all(shape[0] == 0 for shape in shapes.values())
    assert shapes["age"] == (0, 2)
    assert shapes["emotions"] == (0, 8)
    assert shapes["landmarks"] == (0, 30, 2)
    assert shapes["eye_direction"] == (0, 3)


def test_a_face_cut_by_the_border_is_occluded() -> None:
    points = np.stack([TEMPLATE, TEMPLATE + np.float32([-45, 0]), TEMPLATE + np.float32([0, 130])])
    picture = picture_of(np.zeros((200, 200, 3), np.uint8))
    found = face_attributes(picture, faces_at(points), cast(Runtime, Models()), {Trait.OCCLUDED})
    assert found.occluded is not None
    assert np.allclose(found.occluded, [0.8, 1.0, 1.0])


# --- ages -------------------------------------------------------------------------------------------------------------


def test_a_sure_age_is_one_year() -> None:
    distribution = np.zeros((1, 101), np.float32)
    distribution[0, 42] = 1
    low, high = age_ranges(distribution, (0.1, 0.9))
    assert (low[0], high[0]) == (42, 42)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.45))
def test_age_ranges_hold_the_share_between_the_levels(seed: int, level: float) -> None:
    random = np.random.default_rng(seed)
    distribution = random.dirichlet(np.full(101, 0.2), 5).astype(np.float32)
    low, high = age_ranges(distribution, (level, 1 - level))
    for row, first, last in zip(distribution, low, high, strict=True):
        assert 0 <= first <= last <= 100
        assert row[first : last + 1].sum() >= 1 - 2 * level - 1e-4
        assert row[:first].sum() < level + 1e-4
        assert row[last + 1 :].sum() <= level + 1e-4


# --- emotions ---------------------------------------------------------------------------------------------------------


def test_a_clear_expression_is_not_confused() -> None:
    scores = eight_emotions(np.array([[0, 0, 0, 1, 0, 0, 0]], np.float32), list(CLASSES))
    assert dict(zip(EMOTIONS, scores[0].tolist(), strict=True))["happy"] > 0.99
    assert scores[0, EMOTIONS.index("confused")] < 0.01


def test_complete_indecision_is_a_quarter_confused() -> None:
    scores = eight_emotions(np.full((1, 7), 1 / 7, np.float32), list(CLASSES))
    assert np.isclose(scores[0, EMOTIONS.index("confused")], 0.25, atol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_eight_emotions_share_one_and_keep_the_order_of_the_seven(seed: int) -> None:
    probability = np.random.default_rng(seed).dirichlet(np.full(7, 0.4), 4).astype(np.float32)
    scores = eight_emotions(probability, list(CLASSES))
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-4)
    assert (scores >= 0).all()
    confused = scores[:, EMOTIONS.index("confused")]
    assert (confused <= 0.2501).all()
    named = [EMOTIONS.index(name) for name in ("angry", "disgusted", "fear", "happy", "calm", "sad", "surprised")]
    assert np.allclose(scores[:, named], probability * (1 - confused[:, None]), atol=1e-5)


# --- the shipped network ----------------------------------------------------------------------------------------------

ASTRONAUT = np.array([[203.4, 98.4], [250.2, 105.1], [200.4, 143.0], [240.9, 148.3], [223.7, 127.5]], np.float32)
HOPPER = np.array([[220.4, 196.3], [306.9, 188.8], [233.7, 273.0], [307.4, 266.8], [268.2, 233.8]], np.float32)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime(cache=tmp_path_factory.mktemp("models"), offline=True, threads=1)


def all_of(path: Path, points: NDArray[np.float32], runtime: Runtime) -> tuple[FaceAttributes, NDArray[np.float32]]:
    found = face_attributes(load_image(path), faces_at(points[None]), runtime, set(Trait))
    assert found.landmarks is not None
    return found, found.landmarks[0]


def value(column: NDArray[np.float32] | None) -> float:
    assert column is not None
    return float(column[0])


def test_the_astronaut(photos: dict[str, Path], runtime: Runtime) -> None:
    """Eileen Collins, 1999: 42 years, smiling with her teeth showing."""
    found, landmarks = all_of(photos["astronaut"], ASTRONAUT, runtime)
    assert value(found.male) < 0.5
    assert value(found.smile) > 0.9
    assert value(found.mouth_open) > 0.5
    assert value(found.eyes_open) > 0.8
    for absent in (found.eyeglasses, found.sunglasses, found.beard, found.mustache, found.occluded):
        assert value(absent) < 0.1
    assert found.age is not None
    assert found.age[0, 0] <= 42 <= found.age[0, 1] <= found.age[0, 0] + 40
    assert found.emotions is not None
    assert EMOTIONS[int(found.emotions[0].argmax())] == "happy"
    assert np.linalg.norm(landmarks[:5] - ASTRONAUT, axis=1).max() < 10  # 47 pixels between the eyes


@pytest.mark.parametrize(
    ("left", "bottom", "occluded"),
    [
        (0, 512, False),
        (200, 512, True),  # the left eye's centre is in the picture, its outer corner is not
        (0, 151, True),  # so are the corners of the mouth, not its lower lip
        (185, 170, False),  # little room beside the eye and below the mouth
    ],
)
def test_an_eye_or_a_mouth_cut_through_is_occluded(
    left: int, bottom: int, occluded: bool, photos: dict[str, Path], runtime: Runtime
) -> None:
    picture = picture_of(np.ascontiguousarray(load_image(photos["astronaut"]).pixels[:bottom, left:]))
    points = ASTRONAUT - np.array([left, 0], np.float32)
    found = face_attributes(picture, faces_at(points[None]), runtime, {Trait.OCCLUDED})
    assert (value(found.occluded) > 0.5) == occluded


def test_grace_hopper(photos: dict[str, Path], runtime: Runtime) -> None:
    """Commodore Hopper, 1984: 77 years, with glasses."""
    found, landmarks = all_of(photos["hopper"], HOPPER, runtime)
    assert value(found.eyeglasses) > 0.8
    assert value(found.sunglasses) < 0.3
    assert found.age is not None
    assert found.age[0, 1] >= 55
    names = dict(zip(LANDMARKS_30, landmarks, strict=True))
    assert names["eyeLeft"][0] < names["nose"][0] < names["eyeRight"][0]
    assert names["leftEyeBrowUp"][1] < names["leftEyeUp"][1] < names["leftEyeDown"][1] < names["noseLeft"][1]
    assert names["noseLeft"][1] < names["mouthUp"][1] < names["mouthDown"][1] < names["chinBottom"][1]
    assert names["upperJawlineLeft"][0] < names["midJawlineLeft"][0] < names["chinBottom"][0]
    assert names["chinBottom"][0] < names["midJawlineRight"][0] < names["upperJawlineRight"][0]


def test_a_turned_picture_says_the_same(photos: dict[str, Path], runtime: Runtime) -> None:
    """Upside down, the same face has the same attributes, and its landmarks turn with it."""
    upright = load_image(photos["astronaut"])
    turned = picture_of(np.ascontiguousarray(upright.pixels[::-1, ::-1]))
    size = np.array([upright.width - 1, upright.height - 1], np.float32)
    one = face_attributes(upright, faces_at(ASTRONAUT[None]), runtime, {Trait.SMILE, Trait.LANDMARKS})
    two = face_attributes(turned, faces_at((size - ASTRONAUT)[None]), runtime, {Trait.SMILE, Trait.LANDMARKS})
    assert one.landmarks is not None
    assert two.landmarks is not None
    assert abs(value(one.smile) - value(two.smile)) < 0.02
    assert np.abs(size - two.landmarks - one.landmarks).max() < 1.0
