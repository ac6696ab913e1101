"""People of the gallery in a video's samples."""

from fractions import Fraction

from openrek.service.celebrities import recognised
from openrek.service.faces import face_detail
from openrek.service.services import Services
from openrek.service.video_analysers.base import Looks, Members, Samples
from openrek.vision.faces import PICTURE_SIDE, SEARCH_SIDE
from openrek.vision.video.frame import Frame


class CelebritySamples(Samples):
    """The faces of each sample that the gallery knows, the largest first; the others are left out."""

    name = "celebrities"
    member = "Celebrity"

    def __init__(self, looks: Looks, step: Fraction, services: Services) -> None:
        super().__init__(looks, step)
        looks.search_faces(SEARCH_SIDE)
        self._services = services

    def members(self, frame: Frame) -> Members:
        look = self.looks.of(frame, PICTURE_SIDE)
        members: Members = []
        for index, facts, confidence in recognised(look.picture, look.faces, self._services):
            face = face_detail(look.faces, index, look.picture)
            # Rekognition gives the body's box here; the face's is what was seen
            members.append({**facts, "Confidence": confidence, "BoundingBox": face["BoundingBox"], "Face": face})
        return members
