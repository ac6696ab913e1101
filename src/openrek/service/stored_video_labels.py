"""Labels of stored videos: StartLabelDetection, GetLabelDetection."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openrek.contract.call import Call
from openrek.jobs import Job
from openrek.service.labels import LABEL_MODEL_VERSION, LabelFilter
from openrek.service.services import Services
from openrek.service.stored_video import StoredVideo, stored_video
from openrek.service.stored_video_rows import by_name

if TYPE_CHECKING:
    from openrek.vision.video.analysis import Analyser

MIN_CONFIDENCE: Final = 50.0


@stored_video
class Labels(StoredVideo):
    """What samples of a video show."""

    start = "StartLabelDetection"
    get = "GetLabelDetection"
    member = "Labels"
    sorts = ("TIMESTAMP", "NAME")
    aggregates = True
    model_version = ("LabelModelVersion", LABEL_MODEL_VERSION)

    def check(self, request: Mapping[str, Any], call: Call, services: Services) -> None:
        LabelFilter.of(request.get("Settings", {}).get("GeneralLabels", {}))

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        from openrek.service.video_analysers.base import Looks
        from openrek.service.video_analysers.labels import LabelSamples

        return [
            LabelSamples(
                Looks(services),
                services.settings.exact("label_step"),
                min_confidence=job.parameters.get("MinConfidence", MIN_CONFIDENCE),
                choice=LabelFilter.of(job.parameters.get("Settings", {}).get("GeneralLabels", {})),
            )
        ]

    def key(self, item: Mapping[str, Any]) -> tuple[str, float]:
        return by_name(item["Label"])

    def group(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        label: Mapping[str, Any] = item["Label"]
        return label
