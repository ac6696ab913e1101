"""`openrek worker`: a process that works on stored-video jobs."""

import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from openrek.cli.common import HomeOption, UserError, console_err, settings_from
from openrek.settings import Profile

if TYPE_CHECKING:
    from openrek.jobs.worker import Worker

NO_READER = "reading video needs PyAV: pip install 'openrek[video]'"


def worker(
    home: HomeOption = None,
    profile: Annotated[
        Profile | None,
        typer.Option(help="aws: H.264 in MP4 or MOV; relaxed: what FFmpeg reads \\[env: OPENREK_PROFILE]."),
    ] = None,
    offline: Annotated[
        bool | None, typer.Option("--offline/--online", help="Never download models.", show_default=False)
    ] = None,
    attached: Annotated[bool, typer.Option(hidden=True, help="End when standard input ends.")] = False,
    worker_id: Annotated[str | None, typer.Option("--id", hidden=True)] = None,
) -> None:
    """Work on stored-video jobs, beside the server's own workers or on another machine.

    It needs the server's database (OPENREK_DATABASE_URL for PostgreSQL, or its home on this machine) and its buckets.
    Stopping it, in whatever way, loses nothing: what it was at is done by another worker.
    """
    from importlib.util import find_spec

    if find_spec("av") is None:
        raise UserError(NO_READER)
    settings = settings_from(home=home, profile=profile, offline=offline)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    from openrek.jobs.worker import Worker
    from openrek.service.services import Services
    from openrek.service.stored_video import analyses

    services = Services(settings)
    working = Worker(services.database, services.objects, analyses(services), settings, worker_id=worker_id)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: working.stop())
    if attached:
        threading.Thread(target=_follow, args=(working,), name="server", daemon=True).start()
    else:
        console_err.print(f"openrek worker {working.worker_id} is at work; Ctrl-C stops it", highlight=False)
    try:
        working.run()
    finally:
        services.close()


def _follow(working: "Worker") -> None:
    """Stop when the server that started this worker is gone: the pipe from it ends then."""
    while sys.stdin.buffer.read(1):
        pass
    working.stop()
