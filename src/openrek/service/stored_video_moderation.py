"""Content moderation of stored videos: StartContentModeration, GetContentModeration."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openrek.jobs import Job
from openrek.service.services import Services
from openrek.service.stored_video import StoredVideo, stored_video
from openrek.service.stored_video_rows import by_name

if TYPE_CHECKING:
    from openrek.vision.video.analysis import Analyser


@stored_video
class Moderation(StoredVideo):
    """Inappropriate content in samples of a video."""

    start = "StartContentModeration"
    get = "GetContentModeration"
    member = "ModerationLabels"
    sorts = ("TIMESTAMP", "NAME")
    aggregates = True
    model_version = ("ModerationModelVersion", "7.0")

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        from openrek.service.moderation import MIN_CONFIDENCE
        from openrek.service.video_analysers.base import Looks
        from openrek.service.video_analysers.moderation import ModerationSamples

        return [
            ModerationSamples(
                Looks(services),
                services.settings.exact("label_step"),
                min_confidence=job.parameters.get("MinConfidence", MIN_CONFIDENCE),
                nudenet=services.settings.nudenet,
            )
        ]

    def key(self, item: Mapping[str, Any]) -> tuple[str, float]:
        return by_name(item["ModerationLabel"])

    def group(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        label: Mapping[str, Any] = item["ModerationLabel"]
        return label
