"""Faces and people of stored videos: detection, search in a collection, paths, and people of the gallery."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openrek.contract.call import Call, Caller
from openrek.contract.errors import ServiceError
from openrek.jobs import Job, JobFailedError
from openrek.service.collections import find_collection
from openrek.service.face_model import model_of
from openrek.service.face_search import face_matches
from openrek.service.services import Services
from openrek.service.stored_video import StoredVideo, stored_video

if TYPE_CHECKING:
    from openrek.vision.video.analysis import Analyser

LARGEST: Final = 100
"""The most matches that a face in a video is given."""


@stored_video
class Faces(StoredVideo):
    """The faces of a video's samples, the largest first in each."""

    start = "StartFaceDetection"
    get = "GetFaceDetection"
    member = "Faces"

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        from openrek.service.video_analysers.base import Looks
        from openrek.service.video_analysers.faces import FaceSamples

        every = job.parameters.get("FaceAttributes") == "ALL"
        return [
            FaceSamples(
                Looks(services),
                services.settings.exact("face_step"),
                attributes=("ALL",) if every else (),
            )
        ]


@stored_video
class Celebrities(StoredVideo):
    """People of the owner's gallery in a video's samples."""

    start = "StartCelebrityRecognition"
    get = "GetCelebrityRecognition"
    member = "Celebrities"
    sorts = ("TIMESTAMP", "ID")

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        from openrek.service.video_analysers.base import Looks
        from openrek.service.video_analysers.celebrities import CelebritySamples

        return [CelebritySamples(Looks(services), services.settings.exact("face_step"), services)]

    def key(self, item: Mapping[str, Any]) -> tuple[str, float]:
        return item["Celebrity"]["Id"], float(item["Timestamp"])


@stored_video
class Persons(StoredVideo):
    """Who is the same person from sample to sample."""

    start = "StartPersonTracking"
    get = "GetPersonTracking"
    member = "Persons"
    sorts = ("TIMESTAMP", "INDEX")

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        from openrek.service.video_analysers.base import Looks
        from openrek.service.video_analysers.persons import PersonSamples

        return [PersonSamples(Looks(services), services.settings.exact("face_step"))]

    def key(self, item: Mapping[str, Any]) -> tuple[str, float]:
        return _by_index(item)


@stored_video
class FaceSearch(StoredVideo):
    """The people of a video, each face with its matches in a collection."""

    start = "StartFaceSearch"
    get = "GetFaceSearch"
    member = "Persons"
    sorts = ("TIMESTAMP", "INDEX")

    def check(self, request: Mapping[str, Any], call: Call, services: Services) -> None:
        model_of(find_collection(call, services, request["CollectionId"]), services)

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        from openrek.service.video_analysers.base import Looks
        from openrek.service.video_analysers.persons import FaceSearchSamples

        embedding, search = _searching(job, services)
        return [
            FaceSearchSamples(Looks(services), services.settings.exact("face_step"), embedding=embedding, search=search)
        ]

    def key(self, item: Mapping[str, Any]) -> tuple[str, float]:
        return _by_index(item)


def _by_index(item: Mapping[str, Any]) -> tuple[str, float]:
    """The key that sorts by person, and within a person by the face's confidence from the highest."""
    person = item["Person"]
    return f"{person['Index']:012}", -person.get("Face", {}).get("Confidence", 0.0)


def _searching(job: Job, services: Services) -> tuple[Any, Callable[[Any], list[Any]]]:
    """The embedding model of a job's collection, and the search in it. Raises JobFailedError where it is gone."""
    caller = Caller("", job.account_id, job.region)
    call = Call(job.operation, job.job_id, caller, job.parameters)
    try:
        collection = find_collection(call, services, job.parameters["CollectionId"])
        model = model_of(collection, services)
    except ServiceError as error:
        raise JobFailedError(error.message) from error

    def search(vector: Any) -> list[Any]:
        try:
            return list(face_matches(services, collection, vector, job.parameters, limit=LARGEST))
        except ServiceError as error:
            raise JobFailedError(error.message) from error

    return services.runtime.model(model.name), search
