"""People of the gallery in a video's samples."""

from fractions import Fraction

from openrek.service.celebrities import recognised
from openrek.service.faces import face_detail
from openrek.service.services import Services
from openrek.service.video_analysers.base import Looks, Members, Samples
from openrek.service.video_analysers.persons import bodies_of
from openrek.vision.faces import PICTURE_SIDE, SEARCH_SIDE
from openrek.vision.video.frame import Frame


class CelebritySamples(Samples):
    """The faces of each sample that the gallery knows, the largest first; the others are left out.

    Where a person's body is found around a face, the box is the body's, as in Rekognition; else the face's.
    """

    name = "celebrities"
    member = "Celebrity"
    version = 2

    def __init__(self, looks: Looks, step: Fraction, services: Services) -> None:
        super().__init__(looks, step)
        looks.search_faces(SEARCH_SIDE)
        self._services = services

    def members(self, frame: Frame) -> Members:
        look = self.looks.of(frame, PICTURE_SIDE)
        known = recognised(look.picture, look.faces, self._services)
        bodies = bodies_of(look) if known else {}  # looking for bodies takes as long as the rest
        members: Members = []
        for index, facts, confidence in known:
            face = face_detail(look.faces, index, look.picture)
            box = bodies.get(index, face["BoundingBox"])
            members.append({**facts, "Confidence": confidence, "BoundingBox": box, "Face": face})
        return members
