"""Durable asynchronous work: a queue of leased tasks, workers as processes, progress, notifications.

A job is made in the transaction that records its Start request. Its tasks are claimed by workers: `plan` opens the
video and cuts it at key frames, one `chunk` task a chunk observes frames, and `decide` makes result rows of all
observations in frame order. See `docs/decisions/0013-*.md` for why, and `openrek.service.stored_video` for how an
operation says what it looks for.
"""

from openrek.jobs.errors import JobFailedError, JobLimitError, JobStateError, LeaseLostError, RowGoneError
from openrek.jobs.records import Job, NewJob, Notice, Row, Status, Task, View
from openrek.jobs.results import JobResults, Page
from openrek.jobs.runner import JobAnalysis
from openrek.jobs.store import JobStore
from openrek.jobs.tasks import TaskQueue

__all__ = [
    "Job",
    "JobAnalysis",
    "JobFailedError",
    "JobLimitError",
    "JobResults",
    "JobStateError",
    "JobStore",
    "LeaseLostError",
    "NewJob",
    "Notice",
    "Page",
    "Row",
    "RowGoneError",
    "Status",
    "Task",
    "TaskQueue",
    "View",
]
