"""The time that networks take, apart from what is around them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from openrek.vision.runtime import Model


@contextmanager
def raw_time() -> Iterator[Callable[[], float]]:
    """Counts the seconds that models run; the value so far is what is yielded gives."""
    spent = 0.0
    run = Model.run

    def counted(self: Model, *arguments: Any, **options: Any) -> Any:
        nonlocal spent
        started = time.perf_counter()
        try:
            return run(self, *arguments, **options)
        finally:
            spent += time.perf_counter() - started

    Model.run = counted
    try:
        yield lambda: spent
    finally:
        Model.run = run
