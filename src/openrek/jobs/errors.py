"""How jobs fail."""


class JobLimitError(Exception):
    """An account has as many open jobs as it may have."""

    def __init__(self, open_jobs: int, limit: int) -> None:
        self.open_jobs = open_jobs
        self.limit = limit
        super().__init__(f"{open_jobs} jobs are open; the limit is {limit}")


class JobStateError(Exception):
    """A job is not in a state in which that can be done with it, or is not there."""


class JobFailedError(Exception):
    """The job cannot succeed, however often it is tried; the message becomes its StatusMessage."""


class LeaseLostError(Exception):
    """The task is no longer this worker's: the job was cancelled, or others took the worker for dead."""


class RowGoneError(Exception):
    """The row of a result with which a page would begin was erased meanwhile."""
