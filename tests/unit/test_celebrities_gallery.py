"""The gallery's rules that need no network: the closest person, and which photos serve as references."""

from typing import Any

import numpy as np
import pytest

from openrek.service.celebrity_gallery import centres, match
from openrek.service.celebrity_photos import UnusableError, outliers, reference_face, the_face
from openrek.store.celebrities import Vectors
from openrek.vision.faces import Faces


def axis(number: int, towards: int = 0, cosine: float = 0.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A unit vector along axis `number`, with this cosine to axis `towards`."""
    vector = np.zeros(128, np.float32)
    vector[number] = np.sqrt(1 - cosine**2)
    vector[towards] += cosine
    return vector / np.linalg.norm(vector)


def some_faces(*widths: float, yaw: float = 0) -> Faces:
    count = len(widths)
    boxes = np.array([[0, 0, width, 1.2 * width] for width in widths], np.float32).reshape(count, 4)
    ones = np.ones(count, np.float32)
    pose = np.tile(np.array([0, yaw, 0], np.float32), (count, 1))
    return Faces(boxes, ones * 0.99, np.ones((count, 5, 2), np.float32), pose, ones * 50, ones * 50)


# --- matching ---------------------------------------------------------------------------------------------------------


def test_the_closest_person_is_found_and_ties_go_to_the_lowest_id() -> None:
    people = Vectors(1, np.array(["a", "b", "c"]), np.stack([axis(1), axis(2), axis(2)]))
    found = match(np.stack([axis(2), axis(3, 1, 0.5)]), people)
    assert found.ids.tolist() == ["b", "a"]
    assert found.cosines.tolist() == pytest.approx([1, 0.5])


def test_matching_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(50, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    people = Vectors(1, np.array([f"{number:03}" for number in range(50)]), np.concatenate([vectors[:25]] * 2))
    whole = match(vectors, people)
    assert whole.ids[:25].tolist() == [f"{number:03}" for number in range(25)]
    monkeypatch.setattr("openrek.service.celebrity_gallery.ROWS", 7)
    parts = match(vectors, people)
    assert parts.ids.tolist() == whole.ids.tolist()
    np.testing.assert_allclose(parts.cosines, whole.cosines, rtol=1e-5)


def test_an_empty_gallery_matches_nobody() -> None:
    nobody = centres(Vectors(0, np.array([], np.str_), np.zeros((0, 0), np.float32)))
    found = match(np.stack([axis(1)]), nobody)
    assert found.ids.tolist() == [""]
    assert found.cosines.tolist() == [-1]


def test_a_person_is_the_mean_of_their_photos() -> None:
    references = Vectors(3, np.array(["a", "a", "b"]), np.stack([axis(1), axis(2), axis(3)]))
    people = centres(references)
    assert people.ids.tolist() == ["a", "b"]
    assert people.change == 3
    np.testing.assert_allclose(people.vectors[0], (axis(1) + axis(2)) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(people.vectors[1], axis(3))


# --- photos -----------------------------------------------------------------------------------------------------------


def test_the_only_face_or_a_clearly_dominant_one_stands_for_a_photo() -> None:
    assert the_face(some_faces(50)) == 0
    assert the_face(some_faces(10, 50, 20)) == 1
    with pytest.raises(UnusableError, match="no face"):
        the_face(some_faces())
    with pytest.raises(UnusableError, match="3 faces"):
        the_face(some_faces(10, 50, 40))


def test_a_reference_needs_a_face_of_some_size_that_looks_this_way() -> None:
    assert reference_face(some_faces(41), 1) == 0
    assert reference_face(some_faces(21), 2) == 0  # the picture was reduced to half its size
    with pytest.raises(UnusableError, match=r"too small \(39 pixels"):
        reference_face(some_faces(39), 1)
    with pytest.raises(UnusableError, match=r"turned away \(75"):
        reference_face(some_faces(50, yaw=-75), 1)


def test_photos_of_someone_else_are_told_by_the_others() -> None:
    random = np.random.default_rng(2)
    right = axis(1) + random.normal(scale=0.02, size=(7, 128)).astype(np.float32)
    wrong = np.stack([axis(2, 1, 0.3), axis(3, 1, 0.3)])
    vectors = np.concatenate([wrong, right])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert outliers(vectors, 0.7).tolist() == [True, True] + [False] * 7
    assert not outliers(vectors[2:], 0.7).any()


def test_two_photos_cannot_tell_which_is_wrong() -> None:
    assert outliers(np.stack([axis(1), axis(2)]), 0.7).tolist() == [False, False]
