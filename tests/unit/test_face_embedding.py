"""Face vectors and the scale of similarities."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from openrek.settings import Settings
from openrek.vision.faces import Faces, align, attributes, detect_faces
from openrek.vision.faces.attributes import LANDMARKS_30
from openrek.vision.faces.embedding import (
    CORNERS,
    FACE_MODEL,
    Reading,
    cut_out,
    embed_faces,
    face_model_version,
    finished,
    raw_embeddings,
)
from openrek.vision.faces.similarity import Scale, cosine_for, scale_of, similarity
from openrek.vision.image import Picture, load_image
from openrek.vision.runtime import Runtime
from openrek.vision.runtime.cards import Card
from openrek.vision.runtime.catalogue import Catalogue
from openrek.vision.runtime.errors import CardError

CARD = Catalogue()[FACE_MODEL]
SCALE = scale_of(CARD)

cosines = st.floats(-1, 1, allow_nan=False)
levels = st.integers(0, 1_000_000).map(lambda number: number / 10_000)


# --- the scale --------------------------------------------------------------------------------------------------------


def test_ends_of_the_scale() -> None:
    assert SCALE.similarity(np.array([-1.0, 1.0])).tolist() == [0, 100]
    assert SCALE.similarity(1.0000002) == 100
    assert SCALE.similarity(float(np.float32(1) - np.float32(1e-6))) >= 99.9
    assert SCALE.cosine_for(0) == -1
    assert SCALE.cosine_for(100) == pytest.approx(1, abs=1e-5)


@given(cosines, cosines)
def test_more_alike_is_more_similar(a: float, b: float) -> None:
    low, high = sorted([a, b])
    assert float(SCALE.similarity(low)) <= float(SCALE.similarity(high))
    if high - low > 1e-4:
        assert float(SCALE.similarity(low)) < float(SCALE.similarity(high))


@given(levels)
def test_cosine_for_is_the_inverse(level: float) -> None:
    cosine = cosine_for(level, CARD)
    assert float(similarity(cosine, CARD)) == pytest.approx(level, abs=1.01e-4)
    assert float(similarity(cosine + 1e-9, CARD)) >= level
    if level > 1:
        assert float(similarity(cosine - 2e-5, CARD)) < level


@given(cosines)
def test_a_cosine_comes_back(cosine: float) -> None:
    assert SCALE.cosine_for(float(SCALE.similarity(cosine))) == pytest.approx(cosine, abs=2e-5)


def test_similarity_keeps_shape() -> None:
    assert similarity(np.zeros((2, 3), np.float32), CARD).shape == (2, 3)


@pytest.mark.parametrize(
    "knots",
    [
        [],
        [(-1, 0)],
        [(-1, 0), (0.5, 50)],
        [(0, 0), (1, 100)],
        [(-1, 0), (0.5, 60), (0.5, 70), (1, 100)],
        [(-1, 0), (0.4, 60), (0.5, 60), (1, 100)],
    ],
)
def test_knots_that_are_no_scale(knots: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="knots"):
        Scale.through(knots)


def test_a_model_of_ones_own_brings_its_own_scale() -> None:
    own = CARD.model_copy(update={"name": "own", "similarity": ((-1.0, 0.0), (0.5, 80.0), (1.0, 100.0))})
    assert similarity(0.5, own) == 80
    assert cosine_for(80, own) == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(CardError, match="own"):
        scale_of(own.model_copy(update={"similarity": ()}))


# --- the version ------------------------------------------------------------------------------------------------------


def test_face_model_version() -> None:
    assert face_model_version(CARD) == CARD.version == "7.1"
    dated = CARD.model_copy(update={"version": "2021dec"})
    other = dated.model_copy(update={"sha256": "0" * 64})
    assert face_model_version(dated) != face_model_version(other)
    assert set(face_model_version(dated)) <= set("0123456789.")


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mean:
    """A stand-in network: the crop's mean colours of its left and right half."""

    card: Card
    runs: list[int]
    input_names = ("image",)
    output_names = ("embedding",)

    def run(self, feeds: dict[str, NDArray[np.float32]], outputs: Any) -> list[NDArray[np.float32]]:
        crops = feeds["image"]
        self.runs.append(len(crops))
        half = crops.shape[3] // 2
        return [np.concatenate([crops[..., :half].mean((2, 3)), crops[..., half:].mean((2, 3))], axis=1)]


@dataclass(frozen=True)
class Points:
    """A stand-in for the network of attributes: it sees the same 30 landmarks in every crop."""

    landmarks: NDArray[np.float32]

    def run(self, feeds: dict[str, NDArray[np.uint8]], outputs: list[str]) -> list[NDArray[np.float32]]:
        assert outputs == ["landmarks"]
        return [np.repeat(self.landmarks[None], len(feeds["crops"]), axis=0)]


class OneModel:
    """One stand-in for every model, and `Points` where landmarks are asked for."""

    def __init__(self, card: Card, landmarks_at: NDArray[np.float32] | None = None) -> None:
        self.loaded = Mean(card, [])
        self.points = None if landmarks_at is None else Points(landmarks_at)

    def model(self, name: str) -> Mean | Points:
        return self.points if self.points and name == attributes.MODEL else self.loaded


def reading(**preprocess: Any) -> Card:
    points = [[3, 4], [9, 4], [4, 9], [8, 9], [6, 6]]
    return CARD.model_copy(
        update={"preprocess": {"size": 12, "points": points, **preprocess}, "inputs": (), "outputs": ()}
    )


def faces_at(points: NDArray[np.float32]) -> Faces:
    count = len(points)
    flat = np.ones(count, np.float32)
    boxes = np.concatenate([points.min(1), points.max(1)], axis=1)
    return Faces(boxes, flat, points, np.zeros((count, 3), np.float32), flat, flat)


def test_crops_hold_the_landmarks_where_the_card_says() -> None:
    how = Reading.of(CARD)
    pixels = np.zeros((400, 400, 3), np.uint8)
    turned = (how.points - 75) @ np.array([[0.0, 1.0], [-1.0, 0.0]], np.float32) + 200  # a quarter turn
    for x, y in turned:
        pixels[round(float(y)) - 2 : round(float(y)) + 3, round(float(x)) - 2 : round(float(x)) + 3] = 255
    runtime: Any = OneModel(CARD, landmarks_at=np.zeros((30, 2), np.float32))
    ((crop, _),) = cut_out(pixels, turned[None], how, runtime)
    assert crop.shape == (150, 150, 3)
    for x, y in how.points:
        assert crop[round(float(y)), round(float(x))].min() > 200
    assert (crop > 0).mean() < 0.02


def test_a_second_crop_holds_the_corners_of_the_eyes_and_the_base_of_the_nose_where_the_card_says() -> None:
    how = Reading.of(CARD)
    assert how.corners is not None
    names = [LANDMARKS_30.index(name) for name in CORNERS[:4]]
    seen = np.zeros((30, 2), np.float32)  # in the crop of the attributes: this is what its network answers
    seen[names] = how.corners[:4] * 0.5 + 20
    base, nostril = how.corners[4] * 0.5 + 20, np.array([4, 1], np.float32)
    seen[LANDMARKS_30.index("noseLeft")] = base - nostril
    seen[LANDMARKS_30.index("noseRight")] = base + nostril
    pixels = np.zeros((240, 240, 3), np.uint8)
    five = align.TEMPLATE + 60  # the same crop, 60 pixels further
    for x, y in np.concatenate([seen[names], base[None]]) + 60:
        pixels[round(float(y)) - 1 : round(float(y)) + 2, round(float(x)) - 1 : round(float(x)) + 2] = 255
    runtime: Any = OneModel(CARD, landmarks_at=seen)
    ((_, crop),) = cut_out(pixels, five[None], how, runtime)
    for x, y in how.corners:
        assert crop[round(float(y)), round(float(x))].min() > 200
    assert (crop > 0).mean() < 0.02


def test_landmarks_that_are_known_are_not_read_again(runtime: Runtime, photos: dict[str, Path]) -> None:
    picture = load_image(photos["astronaut"])
    found = detect_faces(picture, runtime)
    thirty = attributes.landmarks_30(picture.pixels, found.landmarks, runtime)
    asked = attributes.face_attributes(picture, found, runtime, {attributes.Trait.LANDMARKS})
    assert asked.landmarks == pytest.approx(thirty)
    alone = embed_faces(picture, found, runtime)
    assert embed_faces(picture, found, runtime, thirty=thirty) == pytest.approx(alone)
    assert embed_faces(picture, found, runtime, thirty=thirty + 9) != pytest.approx(alone, abs=1e-3)


@pytest.mark.parametrize("flip", [False, True, "second"])
def test_all_readings_of_a_face_are_added(flip: bool | str) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (60, 60, 3), np.uint8)
    base = np.array([[10, 10], [22, 10], [12, 20], [20, 20], [16, 14]], np.float32)
    points = np.stack([base, base + 9, base + 15])
    corners = [[1, 3], [4, 3], [7, 3], [10, 3], [6, 9]]
    random = np.random.default_rng(4).uniform(20, 90, (30, 2)).astype(np.float32)
    runtime: Any = OneModel(reading(flip=flip, corners=corners), landmarks_at=random)
    how = Reading.of(runtime.loaded.card)
    crops = cut_out(pixels, points, how, runtime)
    assert crops.shape == (3, 2, 12, 12, 3)
    found = embed_faces(Picture(pixels, 60, 60), faces_at(points), runtime)
    mirrored = crops[:, :, :, ::-1]
    for face, other, vector in zip(crops, mirrored, found, strict=True):
        shown = {False: face, True: [*face, *other], "second": [face[0], other[1]]}[flip]
        added = raw_embeddings(runtime.loaded, np.stack(shown)).sum(axis=0, keepdims=True)
        assert vector == pytest.approx(finished(added, how.centre)[0], abs=1e-5)


def test_mirrored_reading_makes_mirrored_faces_equal() -> None:
    """With both readings a face and its mirror image have one vector; without, they have two."""
    random = np.random.default_rng(1)
    pixels = random.integers(0, 255, (40, 40, 3), np.uint8)
    points = np.array([[[10, 10], [22, 10], [12, 20], [20, 20], [16, 14]]], np.float32)
    mirrored = (points * [-1, 1] + [39, 0])[:, [1, 0, 3, 2, 4]].astype(np.float32)
    pictures = [Picture(pixels, 40, 40), Picture(np.ascontiguousarray(pixels[:, ::-1]), 40, 40)]
    for flip, alike in ((True, True), (False, False)):
        runtime: Any = OneModel(reading(flip=flip, points=[[2.5, 4], [8.5, 4], [3.5, 9], [7.5, 9], [5.5, 6]]))
        a = embed_faces(pictures[0], faces_at(points), runtime)
        b = embed_faces(pictures[1], faces_at(mirrored), runtime)
        assert bool(np.allclose(a, b, atol=1e-3)) is alike
        assert np.linalg.norm(a, axis=1) == pytest.approx(1)


def test_many_faces_run_in_batches_and_keep_their_order() -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (60, 60, 3), np.uint8)
    base = np.array([[10, 10], [22, 10], [12, 20], [20, 20], [16, 14]], np.float32)
    points = np.stack([base + np.float32(offset) for offset in range(20)])
    runtime: Any = OneModel(reading(flip=True))
    together = embed_faces(Picture(pixels, 60, 60), faces_at(points), runtime)
    assert runtime.loaded.runs == [32, 8]
    alone = [embed_faces(Picture(pixels, 60, 60), faces_at(points[n : n + 1]), runtime)[0] for n in range(20)]
    assert np.allclose(together, np.stack(alone), atol=1e-6)


def test_the_mean_is_taken_out() -> None:
    centre = np.array([0.6, 0.0], np.float32)
    assert finished(np.array([[2.0, 0.0], [0.0, 0.0]], np.float32), np.zeros(0, np.float32)).tolist() == [
        [1, 0],
        [0, 0],
    ]
    taken = finished(np.array([[6.0, 8.0]], np.float32), centre)
    assert taken == pytest.approx(np.array([[0.0, 1.0]]))


@pytest.mark.parametrize(
    "preprocess",
    [
        {},
        {"size": 150},
        {"size": 150, "points": [[1, 2]]},
        {"size": 0, "points": []},
        {"size": 150, "points": [[1, 2]] * 5, "corners": [[1, 2]]},
        {"size": 150, "points": [[1, 2]] * 5, "corners": "eyes"},
        {"size": 150, "points": [[1, 2]] * 5, "flip": "second"},
        {"size": 150, "points": [[1, 2]] * 5, "corners": [[1, 2]] * 5, "flip": "first"},
    ],
)
def test_a_card_that_does_not_say_how(preprocess: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=FACE_MODEL):
        Reading.of(CARD.model_copy(update={"preprocess": preprocess}))


# --- the model itself -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    made = Runtime(cache=Settings().cache)
    yield made
    made.close()


def test_one_person_and_two(runtime: Runtime, photos: dict[str, Path]) -> None:
    """The astronaut as she is, dark and small, is herself; Grace Hopper is not."""

    def read(image: Image.Image) -> NDArray[np.float32]:
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB")))
        picture = Picture(pixels, image.width, image.height)
        (found,) = embed_faces(picture, detect_faces(picture, runtime), runtime)
        assert found.shape == (128,)
        assert float(np.linalg.norm(found)) == pytest.approx(1, abs=1e-5)
        vector: NDArray[np.float32] = found
        return vector

    astronaut, hopper = Image.open(photos["astronaut"]), Image.open(photos["hopper"])
    first = read(astronaut)
    others = [
        astronaut.rotate(25),
        astronaut.resize((200, 200)),
        astronaut.convert("RGB").point(lambda value: value // 2),
    ]
    for other in others:
        assert float(SCALE.similarity(float(first @ read(other)))) > 99
    assert float(SCALE.similarity(float(first @ read(hopper)))) < 80
    picture = Picture(np.zeros((90, 90, 3), np.uint8), 90, 90)
    nobody = faces_at(np.zeros((0, 5, 2), np.float32))
    assert embed_faces(picture, nobody, runtime).shape == (0, 128)
