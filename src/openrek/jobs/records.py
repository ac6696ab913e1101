"""What a job, a task, a result row and a notice are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final

PLAN: Final = -2
"""The position of the task that opens the video and cuts it into chunks."""

DECIDE: Final = -1
"""The position of the task that makes results of all chunks' observations."""


class Status(StrEnum):
    """What the API says of a job."""

    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class View(IntEnum):
    """The two ways in which one job's results can be read."""

    FOUND = 0
    AGGREGATED = 1


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a Start operation asks for. `parameters` are the validated request's, as JSON can hold them."""

    operation: str
    account_id: str
    region: str
    parameters: Mapping[str, Any]
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is kept. Times in milliseconds since the epoch.

    plan: what the planning task found, and what the chunks added up to; empty before.
    frames: of the whole video; frames_done: looked at so far.
    """

    number: int
    job_id: str
    operation: str
    account_id: str
    region: str
    parameters: Mapping[str, Any]
    priority: int
    status: Status
    message: str | None
    plan: Mapping[str, Any]
    frames: int
    frames_done: int
    chunks: int
    chunks_done: int
    created_ms: int
    started_ms: int | None
    finished_ms: int | None

    @property
    def video(self) -> Mapping[str, Any]:
        """The `Video` member of the request."""
        video: Mapping[str, Any] = self.parameters.get("Video", {})
        return video

    @property
    def tag(self) -> str | None:
        return self.parameters.get("JobTag")

    @property
    def skipped(self) -> int:
        """Packets of the video that could not be read or decoded, so far."""
        return int(self.plan.get("skipped", 0))

    @property
    def share(self) -> float:
        """How much of the video has been looked at, 0..1."""
        if self.status is Status.SUCCEEDED:
            return 1.0  # also of a video without a frame
        return min(self.frames_done / self.frames, 1.0) if self.frames else 0.0


@dataclass(frozen=True, slots=True)
class OpenVideo:
    """The object that a job in progress looks at; the etag is None until it is planned."""

    job_id: str
    bucket: str
    key: str
    version: str | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of a job's work, held by whoever knows its lease.

    position: PLAN, DECIDE, or the number of a chunk; arguments: what it needs to know beside the job.
    """

    job: Job
    position: int
    arguments: Mapping[str, Any]
    lease: str
    failures: int
    interruptions: int

    @property
    def name(self) -> str:
        """For people: "plan", "decide" or "chunk 3"."""
        return task_name(self.position)


def task_name(position: int) -> str:
    """A task for people: "plan", "decide" or "chunk 3"."""
    return {PLAN: "plan", DECIDE: "decide"}.get(position, f"chunk {position}")


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a job's result.

    item: the member of the answer, as JSON can hold it.
    sort_text, sort_number: its place in the operation's other order (by name, by person): first by text, byte by byte,
    then by number ascending, then in the order of the rows.
    """

    item: Mapping[str, Any]
    sort_text: str = ""
    sort_number: float = 0.0
    view: View = View.FOUND


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about a finished job that is to be published once."""

    number: int
    job_number: int
    topic: str
    message: str
    state: str
    attempts: int
    error: str | None
    changed_ms: int
    lease: str | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that works on jobs; `seen_ms` is its last sign of life, `tasks` what it holds."""

    worker_id: str
    host: str
    pid: int
    started_ms: int
    seen_ms: int
    tasks: tuple[str, ...] = field(default=())
