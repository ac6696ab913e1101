"""People of a video as items, from what was seen of them: in the order of time, and in little memory."""

import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from openrek.service.services import Services
from openrek.service.video_analysers import celebrities
from openrek.service.video_analysers.base import Looks, Member
from openrek.service.video_analysers.faces import FaceSamples
from openrek.service.video_analysers.labels import LabelSamples
from openrek.service.video_analysers.persons import NOBODY, Crowd, FaceSearchSamples, PersonSamples, Seen, follow
from openrek.vision.faces import Faces
from openrek.vision.objects import Objects
from openrek.vision.runtime import Model
from openrek.vision.video.analysis import Interval, Observations
from openrek.vision.video.clock import regular_clock
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo
from openrek.vision.video.shots import ShotDetector
from openrek.vision.video.sketch import LOOK_BACK, SIGNATURE

pytest.importorskip("scipy", reason="following people needs SciPy")

STEP = Fraction(1, 5)
LOOKS, EMBEDDING = Looks(cast(Services, None)), cast(Model, None)
STILL = np.zeros(6 + LOOK_BACK, np.float32).tobytes() + bytes(SIGNATURE[0] * SIGNATURE[1] + 24)
"""What the shot detector keeps of a frame that is like the one before."""


def film(frames: int) -> VideoInfo:
    """Five frames a second, each of them a sample."""
    clock = regular_clock(Fraction(5), frames)
    return VideoInfo("h264", "", frozenset(), clock.end_ms, 320, 180, 320, 180, "LIMITED", "yuv420p", clock)


def crowd(*people: tuple[float, np.ndarray | None], size: int = 0) -> Crowd:
    """People at these places from left to right, 0..1, with their faces' vectors; None for who shows no face."""
    vectors = [vector for _, vector in people if vector is not None]
    faces = np.cumsum([vector is not None for _, vector in people]) - 1
    return Crowd(
        np.array([[x, 0.2, x + 0.1, 0.8] for x, _ in people], np.float32),
        np.full(len(people), 0.9, np.float32),
        np.where([vector is None for _, vector in people], NOBODY, faces),
        [{"Confidence": 99.0, "Note": "x" * size} for _ in vectors],
        np.array(vectors, np.float32).reshape(len(vectors), -1),
        np.ones(len(people), bool),
    )


def observed(frames: int, at: Callable[[int], Crowd | None]) -> Observations:
    """As a worker reads them: made anew each time they are gone through."""

    def rows() -> Iterator[tuple[int, Seen]]:
        return ((n, Seen(STILL, at(n))) for n in range(frames))

    return Observations(rows)


def test_items_come_by_time_and_then_by_path() -> None:
    left, right = np.array([1.0, 0.0]), np.array([0.0, 1.0])

    def at(n: int) -> Crowd | None:
        if n == 3:
            return None
        return crowd((0.7, right), (0.1, left)) if n % 2 else crowd((0.1, left), (0.7, None))

    items = list(PersonSamples(LOOKS, STEP).decide(film(12), observed(12, at)))
    assert [(item["Timestamp"], item["Person"]["Index"]) for item in items] == [
        (200 * n, index) for n in range(12) if n != 3 for index in (0, 1)
    ]
    lefts = [item["Person"] for item in items if item["Person"]["Index"] == 0]
    assert {round(person["BoundingBox"]["Left"], 3) for person in lefts} == {0.1}
    rights = [item["Person"] for item in items if item["Person"]["Index"] == 1]
    assert [("Face" in person) for person in rights] == [n % 2 == 1 for n in range(12) if n != 3]


@pytest.mark.parametrize(
    ("first", "shots", "paths"),
    [
        (8, [(0, 4), (14, 29)], [(8, 29)]),  # in sight before a soft transition is over
        (0, [(0, 4), (14, 29)], [(0, 13), (14, 29)]),
        (8, [(0, 13), (14, 29)], [(8, 13), (14, 29)]),  # a hard cut
        (0, [(4, 29)], [(0, 29)]),  # a video that begins with a transition
    ],
)
def test_paths_end_with_their_shot_and_a_transition_belongs_to_the_next(
    monkeypatch: pytest.MonkeyPatch, first: int, shots: list[tuple[int, int]], paths: list[tuple[int, int]]
) -> None:
    found = [Interval("shot", start, end, 1.0) for start, end in shots]
    monkeypatch.setattr(ShotDetector, "decide", lambda *_: found)
    seen = observed(30, lambda n: crowd((0.4, np.ones(2))) if n >= first else None)
    rows = follow(film(30), seen)
    assert [(rows[rows[:, 1] == one][0, 0], rows[rows[:, 1] == one][-1, 0]) for one in range(rows[:, 1].max() + 1)] == (
        paths
    )


def faces_at(*boxes: tuple[float, float, float, float]) -> Faces:
    count = len(boxes)
    column = np.full(count, 0.9, np.float32)
    points, angles = np.zeros((count, 5, 2), np.float32), np.zeros((count, 3), np.float32)
    return Faces(np.array(boxes, np.float32).reshape(count, 4), column, points, angles, column, column)


def test_the_box_of_someone_of_the_gallery_is_the_body_s(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = faces_at((40, 20, 60, 45), (140, 20, 160, 45), (90, 20, 110, 45))
    bodies = np.array([[20, 10, 80, 100], [120, 10, 180, 100], [85, 5, 120, 100]], np.float32)
    objects = Objects(bodies, np.array([0.9, 0.9, 0.3], np.float32), np.zeros(3, np.int64), ("person",))
    searched: list[str] = []

    class Seen:
        picture = SimpleNamespace(width=200, height=100)

        def __init__(self) -> None:
            self.faces = faces

        @property
        def objects(self) -> Objects:
            searched.append("bodies")
            return objects

    known: list[tuple[int, dict[str, str], float]] = [(1, {"Id": "b"}, 99.0), (2, {"Id": "c"}, 98.0)]
    monkeypatch.setattr(celebrities, "recognised", lambda *_: known)
    looks: Any = SimpleNamespace(search_faces=lambda side: None, of=lambda frame, longest: Seen())
    analyser = celebrities.CelebritySamples(looks, STEP, cast(Services, None))
    sure, unsure = analyser.members(cast(Frame, None))
    assert sure["BoundingBox"] == pytest.approx({"Left": 0.6, "Top": 0.1, "Width": 0.3, "Height": 0.9})
    assert sure["Face"]["BoundingBox"]["Left"] == pytest.approx(0.7)
    assert unsure["BoundingBox"] == unsure["Face"]["BoundingBox"]
    assert searched == ["bodies"]
    known.clear()
    assert analyser.members(cast(Frame, None)) == []
    assert searched == ["bodies"]  # nobody was recognised: bodies are not looked for


def test_a_face_is_searched_by_its_own_vector_and_by_its_person_s_mean() -> None:
    asked: list[np.ndarray] = []

    def search(vector: np.ndarray) -> list[Member]:
        asked.append(vector)
        return [{"Similarity": float(100 * vector[0]), "Face": {"FaceId": "a"}}] if vector[0] > 0.6 else []

    def at(n: int) -> Crowd:
        sharp, blurred = np.array([0.8, 0.6]), np.array([0.6, 0.8])
        return crowd((0.4, (sharp, blurred)[n % 2]), *([(0.8, None)] if n < 8 else []))

    analyser = FaceSearchSamples(LOOKS, STEP, embedding=EMBEDDING, search=search)
    items = list(analyser.decide(film(10), observed(10, at)))
    faces = [item for item in items if "Face" in item["Person"]]
    assert len(faces) == 10
    mean = 100 * np.sqrt(0.5)
    for number, item in enumerate(faces):
        (match,) = item["FaceMatches"]
        assert match["Similarity"] == pytest.approx(mean if number % 2 else 80.0, abs=0.01)
    assert len(asked) == 11  # each of ten faces, and the mean once
    assert all("FaceMatches" not in item for item in items if "Face" not in item["Person"])


def test_memory_does_not_grow_with_what_is_known_of_people() -> None:
    def at(n: int) -> Crowd:
        return crowd((0.2 + 0.2 * np.sin(n / 40), np.array([1.0, 0.0])), size=20_000)

    def peak(frames: int) -> int:
        tracemalloc.start()
        count = sum(1 for _ in PersonSamples(LOOKS, STEP).decide(film(frames), observed(frames, at)))
        assert count == frames
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20)
    small = peak(200)
    assert peak(800) - small < 1_500_000  # the 600 faces more are 12 MB


def test_nobody_is_an_empty_result() -> None:
    anyone: Any = PersonSamples(LOOKS, STEP)
    assert list(anyone.decide(film(5), observed(5, lambda n: None))) == []


def test_faces_are_searched_as_the_keenest_analyser_of_a_frame_needs() -> None:
    sides: list[int] = []
    services: Any = SimpleNamespace(look=lambda picture, face_search_side: sides.append(face_search_side))
    looks = Looks(services)
    for analyser in (LabelSamples, PersonSamples, LabelSamples, FaceSamples, PersonSamples):
        analyser(looks, STEP)
        frame: Any = SimpleNamespace(picture=lambda longest: longest)
        looks.of(frame, 960)
    assert sides == [448, 640, 640, 960, 960]
