"""Content moderation of stored videos: StartContentModeration, GetContentModeration."""

from collections.abc import Mapping
from typing import Any

from openrek.service.stored_video import StoredVideo, stored_video
from openrek.service.stored_video_rows import by_name


@stored_video
class Moderation(StoredVideo):
    """Inappropriate content in samples of a video."""

    start = "StartContentModeration"
    get = "GetContentModeration"
    member = "ModerationLabels"
    sorts = ("TIMESTAMP", "NAME")
    aggregates = True
    model_version = ("ModerationModelVersion", "7.0")

    def key(self, item: Mapping[str, Any]) -> tuple[str, float]:
        return by_name(item["ModerationLabel"])

    def group(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        label: Mapping[str, Any] = item["ModerationLabel"]
        return label
