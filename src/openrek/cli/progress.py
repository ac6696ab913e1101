"""Progress bars: of model downloads, and of counted work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from openrek.cli.common import console_err


class DownloadBars:
    """One bar a file, on standard error; the `progress` of a model library or runtime.

    Use as a context manager, or keep it: the display starts with the first byte, so that a warm cache shows nothing.
    Without a terminal each file is named once, when it starts. Thread-safe.
    """

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=False),
            TimeRemainingColumn(compact=True),
            console=console_err,
            transient=True,
        )
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, done: int, total: int | None) -> None:
        with self._lock:
            task = self._tasks.get(name)
            if task is None:
                if console_err.is_terminal:
                    self._progress.start()
                else:
                    size = f" ({total / 1e6:.1f} MB)" if total else ""
                    console_err.print(f"fetching {name}{size}", markup=False, highlight=False, soft_wrap=True)
                task = self._tasks[name] = self._progress.add_task(name, total=total)
            self._progress.update(task, completed=done, total=total)
            if self._progress.finished:
                self._stop()

    def __enter__(self) -> "DownloadBars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._progress.live.is_started:  # stopping what never ran would print an empty line
            self._progress.stop()


def work_bar(*, shown: bool = True) -> Progress:
    """A bar on standard error, where that is a terminal: how many of how many, the time so far and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console_err,
        transient=True,
        disable=not (shown and console_err.is_terminal),
    )


@contextmanager
def count_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """`work_bar` for work that tells how many of how many are done."""
    with work_bar() as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
