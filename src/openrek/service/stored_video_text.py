"""Text in stored videos: StartTextDetection, GetTextDetection."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openrek.contract.call import Call
from openrek.jobs import Job
from openrek.service.services import Services
from openrek.service.stored_video import StoredVideo, stored_video
from openrek.service.text import TEXT_MODEL_VERSION, region_polygons, word_filter

if TYPE_CHECKING:
    from openrek.vision.video.analysis import Analyser


@stored_video
class Text(StoredVideo):
    """Lines and words in samples of a video; ids count from 0 in each."""

    start = "StartTextDetection"
    get = "GetTextDetection"
    member = "TextDetections"
    model_version = ("TextModelVersion", TEXT_MODEL_VERSION)

    def check(self, request: Mapping[str, Any], call: Call, services: Services) -> None:
        _regions(request)

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        from openrek.service.video_analysers.base import Looks
        from openrek.service.video_analysers.text import MIN_CONFIDENCE, TextSamples

        words = job.parameters.get("Filters", {}).get("WordFilter", {})
        return [
            TextSamples(
                Looks(services),
                services.settings.exact("text_step"),
                words=word_filter(words, MIN_CONFIDENCE),
                regions=_regions(job.parameters),
            )
        ]


def _regions(request: Mapping[str, Any]) -> list[Any]:
    return region_polygons(request.get("Filters", {}).get("RegionsOfInterest", ()))
