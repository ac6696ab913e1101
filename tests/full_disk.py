"""A disk that takes no more, for one process alone."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_more_space(process: int) -> Iterator[None]:
    """No file of another process may grow, as on a full disk."""
    assert sys.platform == "linux"
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)
