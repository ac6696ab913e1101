"""People in a video: who is the same person from sample to sample, with the face where it shows."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from openrek.service.faces import face_detail
from openrek.service.video_analysers.base import Looks, Member, Members
from openrek.vision import geometry
from openrek.vision.faces import PICTURE_SIDE, Faces
from openrek.vision.faces.embedding import embed_faces
from openrek.vision.look import Look
from openrek.vision.runtime import Model
from openrek.vision.video.analysis import sampled
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo
from openrek.vision.video.shots import ShotDetector
from openrek.vision.video.tracker import Tracker, TrackerSettings

Floats = NDArray[np.float32]

PERSON: Final = "person"

BODY_WIDTH: Final = 2.6
BODY_HEIGHT: Final = 7.0
BODY_ABOVE: Final = 0.35
"""Where a body is expected around a face, in the face's own width and height, for tracking whom only the face shows."""

FACE_SEARCH_SIDE: Final = 640
"""Longest side at which faces are searched for people: a face of 3 % of it is still 20 pixels high. Whoever has a
smaller one is followed by the body."""

NOBODY: Final = -1

SURE: Final = TrackerSettings().sure
"""Score of a body that may begin a path."""


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """The people of one sample.

    boxes: (N, 4) float32 xyxy in ratios of the sides: bodies as found, or as expected around a face.
    scores: (N,) float32, 0..1. faces: (N,) int64, which member of `details` is this person's face, NOBODY for none.
    details: FaceDetail members. vectors: (F, D) float32, one for each of `details`; (0, 0) where not asked for.
    bodies: (N,) bool, whether a body was found.
    """

    boxes: Floats
    scores: Floats
    faces: NDArray[np.int64]
    details: Members
    vectors: Floats
    bodies: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One person in one sample: index of the path, time, PersonDetail, and the face's vector if there is one."""

    index: int
    timestamp: int
    person: Member
    vector: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One frame: what the shot detector keeps of it and, where the frame is a sample with people, them."""

    shot: bytes
    crowd: Crowd | None


class PersonSamples:
    """An analyser that follows people. With an embedding model it also keeps what their faces are searched by.

    It looks at people every `step` seconds, and at every frame for the shots: no path goes on across a cut.
    """

    name = "persons"
    version = 3
    step: Fraction | None = None
    lead = ShotDetector.lead
    hears = False

    def __init__(self, looks: Looks, step: Fraction, *, embedding: Model | None = None) -> None:
        self._every = step
        self._looks = looks
        looks.search_faces(FACE_SEARCH_SIDE)
        self._embedding = embedding
        self._shots = ShotDetector()

    def begin(self, info: VideoInfo) -> None:
        """Forget all frames shown so far."""
        self._clock = info.clock
        self._shots.begin(info)

    def observe(self, frame: Frame) -> Seen:
        shot = self._shots.observe(frame)
        if not sampled(self._clock, frame.index, self._every):
            return Seen(shot, None)
        crowd = see_people(self._looks.of(frame, PICTURE_SIDE), self._embedding)
        return Seen(shot, crowd if len(crowd.boxes) else None)

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, Seen]]) -> Iterator[Member]:
        """PersonDetection items in the order of time."""
        for sighting in sightings(info, observations, follow(info, observations)):
            yield {"Timestamp": sighting.timestamp, "Person": sighting.person}


Search = Callable[[Floats], list[Member]]
"""FaceMatch members of a face vector, the most alike first."""


class FaceSearchSamples(PersonSamples):
    """As `PersonSamples`, each face with its matches in a collection.

    A face is searched by its own vector and by its person's mean one, which sees through a blurred moment.
    """

    name = "face-search"

    def __init__(self, looks: Looks, step: Fraction, *, embedding: Model, search: Search) -> None:
        super().__init__(looks, step, embedding=embedding)
        self._search = search

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, Seen]]) -> Iterator[Member]:
        """PersonMatch items in the order of time."""
        paths = follow(info, observations)
        sums: dict[int, NDArray[np.float64]] = {}
        last: dict[int, int] = {}
        for sighting in sightings(info, observations, paths):
            if sighting.vector is not None:
                sums[sighting.index] = sums.get(sighting.index, 0.0) + sighting.vector.astype(np.float64)
                last[sighting.index] = sighting.timestamp
        means: dict[int, list[Member]] = {}
        for sighting in sightings(info, observations, paths):
            item: dict[str, Any] = {"Timestamp": sighting.timestamp, "Person": sighting.person}
            if sighting.vector is not None:
                index = sighting.index
                if index not in means:
                    mean = sums.pop(index)
                    means[index] = self._search(np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32))
                # of people who are gone nothing is kept
                of_mean = means[index] if sighting.timestamp < last[index] else means.pop(index)
                matches = _best([*self._search(sighting.vector), *of_mean])
                if matches:
                    item["FaceMatches"] = matches
            yield item


# --- seeing -----------------------------------------------------------------------------------------------------------


def see_people(look: Look, embedding: Model | None = None) -> Crowd:
    """The people of a picture: bodies with the faces in them, and faces that show no body. Raises ModelError."""
    look.begin()
    picture, faces = look.picture, look.faces
    objects = look.objects.of(PERSON)
    owners = _owners(objects.boxes, objects.scores, faces)
    alone = np.array([face for face in range(len(faces)) if face not in owners], np.int64)
    boxes = np.concatenate([objects.boxes, _bodies_around(faces, alone, picture.width, picture.height)])
    sides = np.tile(np.array([picture.width, picture.height], np.float32), 2)
    vectors = np.zeros((0, 0), np.float32)
    if embedding is not None and len(faces):
        vectors = embed_faces(picture, faces, look.runtime, model=embedding.card.name)
    return Crowd(
        np.asarray(boxes / sides, np.float32),
        np.concatenate([objects.scores, faces.confidences[alone]]).astype(np.float32),
        np.concatenate([owners, alone]),
        [cast(Member, face_detail(faces, index, picture)) for index in range(len(faces))],
        vectors,
        np.arange(len(boxes)) < len(objects.boxes),
    )


def bodies_of(look: Look) -> dict[int, Member]:
    """BoundingBox members of the bodies that hold faces, by the number of the face. Raises ModelError.

    Bodies that are not surely any are left out.
    """
    picture, bodies = look.picture, look.objects.of(PERSON).at_least(SURE)
    sides = np.tile(np.array([picture.width, picture.height], np.float32), 2)
    owners = _owners(bodies.boxes, bodies.scores, look.faces)
    return {int(face): _box(box) for face, box in zip(owners, bodies.boxes / sides, strict=True) if face != NOBODY}


def _box(ratios: Floats) -> Member:
    """A BoundingBox member of xyxy in ratios of the sides."""
    left, top, right, bottom = (float(value) for value in ratios)
    return {"Width": right - left, "Height": bottom - top, "Left": left, "Top": top}


def _owners(bodies: Floats, scores: Floats, faces: Faces) -> NDArray[np.int64]:
    """(N,) of each body the face that is its own, NOBODY for none; no face has two bodies.

    A face belongs to the body whose head would be there: in the upper part, nearest to the middle, of a likely size.
    The border of a moving body's box lags, so a face may lie a little outside. Bodies that may begin a path come first:
    a large body is often found a second time, and less surely.
    """
    owners = np.full(len(bodies), NOBODY, np.int64)
    claims = []
    for face, (left, top, right, bottom) in enumerate(faces.boxes):
        x, y, width = (left + right) / 2, (top + bottom) / 2, right - left
        for body, (b_left, b_top, b_right, b_bottom) in enumerate(bodies):
            b_width, b_height = max(b_right - b_left, 1e-6), max(b_bottom - b_top, 1e-6)
            across, down = (x - b_left) / b_width, (y - b_top) / b_height
            if -0.08 <= across <= 1.08 and -0.05 <= down <= 0.6 and width <= 1.1 * b_width:
                claims.append((bool(scores[body] < SURE), abs(across - 0.5) + down, face, body))
    used: set[int] = set()
    for _, _, face, body in sorted(claims):
        if owners[body] == NOBODY and face not in used:
            owners[body] = face
            used.add(face)
    return owners


def _bodies_around(faces: Faces, chosen: NDArray[np.int64], width: int, height: int) -> Floats:
    """(K, 4) where the bodies of the chosen faces are expected, within the picture."""
    boxes = faces.boxes[chosen]
    x = (boxes[:, 0] + boxes[:, 2]) / 2
    half = (boxes[:, 2] - boxes[:, 0]) * BODY_WIDTH / 2
    tall = boxes[:, 3] - boxes[:, 1]
    top = boxes[:, 1] - BODY_ABOVE * tall
    return geometry.clip(np.stack([x - half, top, x + half, top + BODY_HEIGHT * tall], axis=1), width, height)


# --- following --------------------------------------------------------------------------------------------------------


def follow(info: VideoInfo, observations: Iterable[tuple[int, Seen]]) -> NDArray[np.int64]:
    """(N, 3) every sighting of someone who was followed: frame number, index of the path, number in the frame's crowd.

    In the order of time, then of the path's index. Nothing else is kept, so that a long video takes little memory: the
    observations are gone through twice here, and again for what they show of each.

    Paths end with their shot. A soft transition belongs to no shot: who comes into sight during one is of the next.
    """
    shots = ShotDetector().decide(info, ((number, seen.shot) for number, seen in observations))
    starts, ends = [shot.start for shot in shots], [-1, *(shot.end for shot in shots)]
    tracker = Tracker()
    shot = 0
    for number, seen in observations:
        if seen.crowd is None:
            continue
        now = bisect_right(starts, number)
        if now != shot:
            tracker.cut(since=ends[now - 1] + 1)
        shot = now
        tracker.update(number, info.clock.timestamp_ms(number) / 1000, seen.crowd.boxes, seen.crowd.scores)
    rows = [
        np.stack([track.samples, np.full(len(track.samples), index), track.members], axis=1)
        for index, track in enumerate(tracker.tracks())
    ]
    paths = np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)
    return np.asarray(paths[np.lexsort((paths[:, 1], paths[:, 0]))], np.int64)


def sightings(
    info: VideoInfo, observations: Iterable[tuple[int, Seen]], paths: NDArray[np.int64]
) -> Iterator[Sighting]:
    """What is known of each sighting in `paths` (see `follow`), in that order."""
    place = 0
    for number, seen in observations:
        while place < len(paths) and paths[place, 0] == number:
            assert seen.crowd is not None, "nobody is followed through a frame without people"
            _, index, member = paths[place].tolist()
            yield _sighting(seen.crowd, member, index, info.clock.timestamp_ms(number))
            place += 1


def _sighting(crowd: Crowd, member: int, index: int, timestamp: int) -> Sighting:
    face = int(crowd.faces[member])
    person: Member = {"Index": index}
    if crowd.bodies[member] or face == NOBODY:
        person["BoundingBox"] = _box(crowd.boxes[member])
    else:
        person["BoundingBox"] = crowd.details[face]["BoundingBox"]
    vector = None
    if face != NOBODY:
        person["Face"] = crowd.details[face]
        vector = crowd.vectors[face] if len(crowd.vectors) else None
    return Sighting(index, timestamp, person, vector)


def _best(matches: Members) -> Members:
    """Each matched face once, with its highest similarity; the most alike first."""
    best: dict[str, Member] = {}
    for match in matches:
        name = match["Face"]["FaceId"]
        if name not in best or match["Similarity"] > best[name]["Similarity"]:
            best[name] = match
    return sorted(best.values(), key=lambda match: (-match["Similarity"], match["Face"]["FaceId"]))
