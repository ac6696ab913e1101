"""Stored video: what the eight pairs of Start and Get operations share.

An operation pair is a subclass of `StoredVideo` in a module `stored_video_*`, registered with `@stored_video`. It says

- `start`, `get`: the operations; `member`: the list in the answer; `sorts`: the values of SortBy, the default first;
  `aggregates`: whether it has AggregateBy; `model_version`: the member that carries the version, and its value;
- `check`: what is wrong with a request beyond the service model, before the job is made;
- `analysers`: what looks at the video (see `vision.video.analysis`), for a job;
- `rows`: the result's items from the analysers' decisions. By default there is one analyser, and it decides items of
  the answer in the order of time; then only `key` (a row's place in the other order) and, where the pair aggregates,
  `group` and `step` are left to say.

The operations are registered once `analysers` is there; before, they answer NotImplementedException like any other
operation that is not built. Analysers run in workers, which call `analyses` for everything registered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from sqlalchemy import Connection

from openrek.contract.call import Call
from openrek.contract.errors import (
    InvalidPaginationTokenException,
    InvalidParameterException,
    InvalidS3ObjectException,
    LimitExceededException,
    NotImplementedException,
    ResourceNotFoundException,
    VideoTooLargeException,
)
from openrek.jobs import Job, JobAnalysis, JobLimitError, JobResults, JobStore, NewJob, Row, RowGoneError, Status, View
from openrek.service.idempotency import TOKEN, once, recorded
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.service.stored_video_rows import aggregated
from openrek.store.objects import ObjectNotFoundError
from openrek.store.schema import now_ms

if TYPE_CHECKING:
    from openrek.vision.video import VideoInfo
    from openrek.vision.video.analysis import Analyser

LARGEST_PAGE: Final = 1000
"""The largest page and the default; more is asked for in vain, but may be."""

TIMESTAMPS: Final = "TIMESTAMPS"
SEGMENTS: Final = "SEGMENTS"


class StoredVideo:
    """One pair of operations; see the module. Instances are shared and keep nothing."""

    start: ClassVar[str]
    get: ClassVar[str]
    member: ClassVar[str]
    sorts: ClassVar[tuple[str, ...]] = ()
    aggregates: ClassVar[bool] = False
    model_version: ClassVar[tuple[str, str] | None] = None

    def check(self, request: Mapping[str, Any], call: Call, services: Services) -> None:
        """Raise what is wrong with a Start request beyond the service model and the video itself."""

    def analysers(self, job: Job, services: Services) -> "Sequence[Analyser]":
        """New analysers for a job. Raises JobFailedError where what the request needs is no longer there."""
        raise NotImplementedError

    def rows(self, job: Job, info: "VideoInfo", decisions: Mapping[str, Any], services: Services) -> Iterable[Row]:
        """The result's rows, in order; those of both views where the pair aggregates."""
        (items,) = decisions.values()
        found = ((item, *self.key(item)) for item in items)
        if not self.aggregates:
            return (Row(item, text, number) for item, text, number in found)
        # of a video with few frames a second every frame is a sample, and they are further apart
        step = max(self.step(services), float(1 / info.rate))
        return aggregated(found, group=self.group, step=step, duration_ms=info.duration_ms)

    def key(self, item: Mapping[str, Any]) -> tuple[str, float]:
        """An item's place in the order that is not the default: a text, then a number, both ascending."""
        return "", 0.0

    def group(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of an aggregating pair: the part of an item that has a Name and a Confidence. It is not shared."""
        raise NotImplementedError

    def step(self, services: Services) -> float:
        """Seconds between samples, where the video has that many frames."""
        return services.settings.label_step

    def metadata(self, job: Job) -> dict[str, Any]:
        """What every page of a finished job says beside its items."""
        return {"VideoMetadata": video_metadata(job)}


S = TypeVar("S", bound=StoredVideo)

_pairs: dict[str, StoredVideo] = {}


def stored_video(pair: type[S]) -> type[S]:
    """Register a pair, and its operations where it has analysers."""
    instance = pair()
    _pairs[pair.start] = instance
    if pair.analysers is not StoredVideo.analysers:

        def start(request: Mapping[str, Any], call: Call, services: Services) -> Response:
            return start_job(instance, request, call, services)

        def get(request: Mapping[str, Any], call: Call, services: Services) -> Response:
            return get_page(instance, request, call, services)

        operation(pair.start)(start)
        operation(pair.get)(get)
    return pair


def analyses(services: Services) -> Mapping[str, JobAnalysis]:
    """What a worker needs to know, by the name of the Start operation."""
    from openrek.service.operation import load_operations

    load_operations()
    return {name: _Bound(pair, services) for name, pair in _pairs.items()}


class _Bound:
    """A pair with the services it works with: a JobAnalysis."""

    def __init__(self, pair: StoredVideo, services: Services) -> None:
        self._pair = pair
        self._services = services

    def analysers(self, job: Job) -> "Sequence[Analyser]":
        return self._pair.analysers(job, self._services)

    def rows(self, job: Job, info: "VideoInfo", decisions: Mapping[str, Any]) -> Iterable[Row]:
        return self._pair.rows(job, info, decisions, self._services)


# --- Start ------------------------------------------------------------------------------------------------------------


def start_job(pair: StoredVideo, request: Mapping[str, Any], call: Call, services: Services) -> Response:
    """Check a request, make its job, answer with its id. A repeat of a request's token gets the first one's id."""
    before = recorded(services, call)
    if before is not None:
        return before
    _check_reader(services)
    pair.check(request, call, services)
    _check_video(request, services)
    caller, limit = call.caller, services.settings.concurrent_job_limit
    parameters = {name: value for name, value in request.items() if name != TOKEN}
    new = NewJob(pair.start, caller.account_id, caller.region, parameters)

    def work(connection: Connection) -> Response:
        try:
            return {"JobId": JobStore(services.database).create(connection, new, limit=limit)}
        except JobLimitError as error:
            raise LimitExceededException(
                f"{error.open_jobs} open Jobs for User {caller.arn} Maximum limit: {limit}"
            ) from error

    return once(services, call, work)


def _check_reader(services: Services) -> None:
    if services.settings.job_workers != 0 and find_spec("av") is None:  # else the workers are elsewhere
        raise NotImplementedException("Stored video needs PyAV on this server: pip install 'openrek[video]'.")


def _check_video(request: Mapping[str, Any], services: Services) -> None:
    s3_object = request["Video"].get("S3Object", {})
    missing = " and ".join(name for name in ("Bucket", "Name") if not s3_object.get(name))
    if missing:
        raise InvalidParameterException(f"Request has invalid parameters: Video.S3Object needs {missing}")
    try:
        size = services.objects.head(s3_object["Bucket"], s3_object["Name"], s3_object.get("Version")).size
    except ObjectNotFoundError as error:
        raise InvalidS3ObjectException(f"{InvalidS3ObjectException.default_message} ({error})") from error
    limit = services.settings.video_byte_limit
    if size > limit:
        raise VideoTooLargeException(f"Video size in bytes: {size} is more than the maximum limit of: {limit} bytes.")


# --- Get --------------------------------------------------------------------------------------------------------------


def get_page(pair: StoredVideo, request: Mapping[str, Any], call: Call, services: Services) -> Response:
    """How a job stands and, once it has succeeded, a page of its result."""
    job = _find(pair, request["JobId"], call, services)
    sort_by = request.get("SortBy") or (pair.sorts[0] if pair.sorts else "")
    aggregate_by = request.get("AggregateBy") or (TIMESTAMPS if pair.aggregates else "")
    response: dict[str, Any] = {"JobStatus": str(job.status), "JobId": job.job_id, "Video": job.video}
    if job.tag is not None:
        response["JobTag"] = job.tag
    if job.message is not None:
        response["StatusMessage"] = job.message
    if pair.model_version is not None:
        name, value = pair.model_version
        response[name] = value
    if pair.aggregates:
        response["GetRequestMetadata"] = {"SortBy": sort_by, "AggregateBy": aggregate_by}

    # the same question whether the defaults are written out or not
    effective = {"JobId": job.job_id, "SortBy": sort_by, "AggregateBy": aggregate_by}
    question = replace(call, request=effective)
    token = request.get("NextToken")
    begin = int(services.page_tokens.open(question, token)["start"]) if token else None
    if job.status is not Status.SUCCEEDED:
        return response | {pair.member: []}
    try:
        page = JobResults(services.database).page(
            job,
            start=begin,
            limit=min(request.get("MaxResults", LARGEST_PAGE), LARGEST_PAGE),
            view=View.AGGREGATED if aggregate_by == SEGMENTS else View.FOUND,
            by_key=bool(pair.sorts) and sort_by != pair.sorts[0],
        )
    except RowGoneError as error:
        raise InvalidPaginationTokenException(
            "Invalid Pagination Token: what the page begins with was erased; begin without one."
        ) from error
    if page.following is not None:
        response["NextToken"] = services.page_tokens.seal(question, {"start": page.following})
    return response | pair.metadata(job) | {pair.member: page.items}


def _find(pair: StoredVideo, job_id: str, call: Call, services: Services) -> Job:
    caller = call.caller
    job = JobStore(services.database).find(
        job_id, operation=pair.start, account_id=caller.account_id, region=caller.region
    )
    kept = services.settings.job_retention * 1000
    if job is None or (job.finished_ms is not None and now_ms() - job.finished_ms >= kept):
        raise ResourceNotFoundException("Could not find JobId")
    return job


def video_metadata(job: Job) -> dict[str, Any]:
    """The member VideoMetadata."""
    video = cast("Mapping[str, Any]", job.plan["video"])
    return {
        "Codec": video["codec"],
        "DurationMillis": video["duration_ms"],
        "Format": video["format"],
        "FrameRate": video["rate"],
        "FrameHeight": video["height"],
        "FrameWidth": video["width"],
        "ColorRange": video["color_range"],
    }
