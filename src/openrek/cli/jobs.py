"""`openrek jobs`: stored-video jobs listed, shown, watched, cancelled and tried again."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from openrek.cli.common import HomeOption, JsonOption, UserError, console, counted, settings_from

if TYPE_CHECKING:
    from openrek.jobs import Job, JobStore, Notice
    from openrek.settings import Settings
    from openrek.store.database import Database

app = typer.Typer(help="Stored-video jobs: list, show, watch, cancel, retry.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="A job's id, or enough of its beginning.", show_default=False)]

SHORT = 12
"""Characters of a job's id in tables: enough to name it."""

MOST_NAMED = 9
"""Jobs with one beginning that are counted."""

COLOURS = {"IN_PROGRESS": "cyan", "SUCCEEDED": "green", "FAILED": "red"}


@app.command("list")
def list_jobs(
    home: HomeOption = None,
    as_json: JsonOption = False,
    status: Annotated[str | None, typer.Option(help="IN_PROGRESS, SUCCEEDED or FAILED.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 30,
) -> None:
    """The newest jobs, and the workers that are alive."""
    from openrek.jobs import Status

    try:
        wanted = Status(status.upper()) if status else None
    except ValueError as error:
        raise UserError(f"{status} is not a status; there are IN_PROGRESS, SUCCEEDED and FAILED") from error
    settings, database = _open(home)
    store = _store(database)
    jobs = store.newest(wanted, limit=limit)
    workers = store.workers(alive_ms=round(settings.job_lease * 1000))
    if as_json:
        typer.echo(json.dumps({"jobs": [_facts(job) for job in jobs], "workers": [_plain(one) for one in workers]}))
        return
    table = Table(box=None, header_style="dim")
    for column in ("job", "operation", "status", "done", "created", "took"):
        table.add_column(column, justify="right" if column in ("done", "took") else "left", no_wrap=True)
    table.add_column("video", overflow="fold")  # what is left of the line
    for job in jobs:
        video = job.video.get("S3Object", {})
        table.add_row(
            job.job_id[:SHORT],
            job.operation.removeprefix("Start").removesuffix("Detection"),
            _coloured(job),
            f"{job.share:.0%}",
            _moment(job.created_ms, "%m-%d %H:%M"),
            _took(job),
            escape(f"{video.get('Bucket')}/{video.get('Name')}"),
        )
    console.print(table if jobs else "[dim]no jobs[/]")
    if workers:
        for one in workers:
            console.print(f"[dim]worker {escape(one.worker_id)}: {escape(', '.join(one.tasks)) or 'idle'}[/]")
    elif any(job.finished_ms is None for job in jobs):
        console.print("[yellow]No worker is alive: start one with `openrek worker`, or `openrek serve`.[/]")


@app.command()
def show(job: JobArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All about one job, with what became of its notification."""
    from openrek.jobs.notices import Outbox

    _, database = _open(home)
    found = _find(database, job)
    notices = Outbox(database).of(found)
    if as_json:
        typer.echo(json.dumps(_facts(found) | {"notices": [_notice(notice) for notice in notices]}))
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("job", found.job_id)
    table.add_row("operation", found.operation)
    table.add_row("status", _coloured(found))
    if found.message:
        table.add_row("message", escape(found.message))
    share = f"{found.share:.1%}"
    table.add_row(
        "done", f"{share} ({found.frames_done:,} of {counted(found.frames, 'frame')})" if found.plan else share
    )
    table.add_row("chunks", f"{found.chunks_done} of {found.chunks}")
    table.add_row("priority", str(found.priority))
    for name, value in (
        ("created", found.created_ms),
        ("started", found.started_ms),
        ("finished", found.finished_ms),
    ):
        table.add_row(name, _moment(value))
    if found.plan:
        video = found.plan["video"]
        table.add_row(
            "video",
            f"{video['codec']} {video['width']}x{video['height']}, {video['rate']:.6g} frames a second, "
            f"{video['duration_ms'] / 1000:.3f} s",
        )
    if found.skipped:
        table.add_row("damage", f"{counted(found.skipped, 'damaged packet')} skipped")
    table.add_row("request", escape(json.dumps(found.parameters, ensure_ascii=False)))
    for notice in notices:
        colour = {"sent": "green", "failed": "red"}.get(notice.state, "yellow")
        more = f": {notice.error}" if notice.error else ""
        table.add_row(
            "notification",
            f"[{colour}]{notice.state}[/] to {escape(notice.topic)} after {counted(notice.attempts, 'attempt')}"
            f"{escape(more)}",
        )
    console.print(table)


@app.command()
def cancel(job: JobArgument, home: HomeOption = None) -> None:
    """End a job in progress: it becomes FAILED, and its workers drop it."""
    _, database = _open(home)
    found = _find(database, job)
    _store(database).cancel(found.job_id)
    console.print(f"cancelled {found.job_id}", highlight=False)


@app.command()
def retry(job: JobArgument, home: HomeOption = None) -> None:
    """Begin a failed job anew, under the same id; its end will be published again.

    The limit of open jobs is for requests: an order of yours is not refused for it.
    """
    _, database = _open(home)
    found = _find(database, job)
    _store(database).retry(found.job_id)
    console.print(f"{found.job_id} begins anew", highlight=False)


@app.command()
def priority(
    job: JobArgument,
    value: Annotated[int, typer.Argument(help="Jobs of higher priority go first; 0 is usual.")],
    home: HomeOption = None,
) -> None:
    """Let a job in progress go before others, or after them."""
    _, database = _open(home)
    found = _find(database, job)
    _store(database).set_priority(found.job_id, value)
    console.print(f"{found.job_id} has priority {value}", highlight=False)


@app.command()
def watch(
    job: Annotated[str | None, typer.Argument(help="One job; all open ones without it.", show_default=False)] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow jobs until they have ended. With --json, a line whenever something has changed."""
    _, database = _open(home)
    store = _store(database)
    if job is None:
        ids = [one.job_id for one in store.newest(_open_status(), limit=50)]
    else:
        ids = [_find(database, job).job_id]
    if as_json:
        _follow_lines(store, ids)
        return
    if not ids:
        console.print("[dim]no job is in progress[/]")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[state]}"), console=console) as bars:
        rows = {job_id: bars.add_task(job_id[:SHORT], total=1.0, state="") for job_id in ids}
        while rows:
            for job_id, row in list(rows.items()):
                found = store.find(job_id)
                if found is None:
                    del rows[job_id]
                    continue
                bars.update(row, completed=found.share, state=_coloured(found))
                if found.finished_ms is not None:
                    del rows[job_id]
            if rows:
                time.sleep(0.25)
    for job_id in ids:
        found = store.find(job_id)
        if found is not None and found.message:
            console.print(f"{job_id[:SHORT]}: {escape(found.message)}", highlight=False)


def _follow_lines(store: "JobStore", ids: list[str]) -> None:
    last: dict[str, str] = {}
    waiting = list(ids)
    while waiting:
        for job_id in list(waiting):
            found = store.find(job_id)
            if found is None:
                waiting.remove(job_id)
                continue
            line = json.dumps(_facts(found))
            if last.get(job_id) != line:
                typer.echo(line)
                last[job_id] = line
            if found.finished_ms is not None:
                waiting.remove(job_id)
        if waiting:
            time.sleep(0.25)


# --- inside -----------------------------------------------------------------------------------------------------------


def _open(home: Path | None) -> "tuple[Settings, Database]":
    from openrek.store.database import Database

    settings = settings_from(home=home)
    return settings, Database.open(settings.database_address)


def _store(database: "Database") -> "JobStore":
    from openrek.jobs import JobStore

    return JobStore(database)


def _open_status() -> Any:
    from openrek.jobs import Status

    return Status.IN_PROGRESS


def _find(database: "Database", prefix: str) -> "Job":
    if not prefix:
        raise UserError("an empty id names no job: write some of it, as `openrek jobs list` shows it")
    found = _store(database).matching(prefix, limit=MOST_NAMED + 1)
    if not found:
        raise UserError(f"there is no job {prefix}")
    if len(found) > 1:
        many = f"more than {MOST_NAMED}" if len(found) > MOST_NAMED else f"{len(found)}"
        raise UserError(f"{many} jobs begin with {prefix}: write more of the id")
    return found[0]


def _facts(job: "Job") -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "operation": job.operation,
        "status": str(job.status),
        "message": job.message,
        "share": round(job.share, 4),
        "frames": job.frames,
        "frames_done": job.frames_done,
        "chunks": job.chunks,
        "chunks_done": job.chunks_done,
        "skipped_packets": job.skipped,
        "priority": job.priority,
        "created_ms": job.created_ms,
        "started_ms": job.started_ms,
        "finished_ms": job.finished_ms,
        "video": job.plan.get("video"),
        "parameters": job.parameters,
    }


def _notice(notice: "Notice") -> dict[str, Any]:
    return {
        "topic": notice.topic,
        "state": notice.state,
        "attempts": notice.attempts,
        "error": notice.error,
        "message": json.loads(notice.message),
    }


def _plain(worker: Any) -> dict[str, Any]:
    return {
        "worker_id": worker.worker_id,
        "host": worker.host,
        "pid": worker.pid,
        "started_ms": worker.started_ms,
        "seen_ms": worker.seen_ms,
        "tasks": list(worker.tasks),
    }


def _coloured(job: "Job") -> str:
    return f"[{COLOURS[job.status]}]{job.status}[/]"


def _moment(milliseconds: int | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().strftime(form)


def _took(job: "Job") -> str:
    if job.finished_ms is None:
        return "-"
    return f"{(job.finished_ms - (job.started_ms or job.created_ms)) / 1000:.1f} s"
