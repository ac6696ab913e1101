"""`openrek serve`: the server."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openrek import __version__
from openrek.cli.common import HomeOption, UserError, console, settings_from
from openrek.settings import Profile, Settings

if TYPE_CHECKING:
    from openrek.jobs.supervisor import Supervisor
    from openrek.store.access_keys import FirstKey
    from openrek.store.database import Database
    from openrek.vision.runtime import Runtime


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on \\[env: OPENREK_HOST].")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one \\[env: OPENREK_PORT].")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Allow an address that other machines can reach. Traffic is plain HTTP.")
    ] = False,
    home: HomeOption = None,
    profile: Annotated[
        Profile | None, typer.Option(help="aws: Rekognition's limits; relaxed: wider ones \\[env: OPENREK_PROFILE].")
    ] = None,
    offline: Annotated[
        bool | None, typer.Option("--offline/--online", help="Never download models.", show_default=False)
    ] = None,
    job_workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes for stored video \\[env: OPENREK_JOB_WORKERS].")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, hidden=True, help="The former name of --job-workers.")] = None,
    warm: Annotated[bool, typer.Option("--warm", help="Load the models before the first call.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the address here (JSON) once calls are accepted.", show_default=False)
    ] = None,
) -> None:
    """Answer the Rekognition API on this machine.

    The first start makes an access key and says where it put it.
    """
    settings = settings_from(
        host=host,
        port=port,
        home=home,
        profile=profile,
        offline=offline,
        job_workers=workers if job_workers is None else job_workers,
    )
    if not public and not is_loopback(settings.host):
        raise UserError(
            f"{settings.host} can be reached by other machines. Calls are signed but not encrypted: put a TLS proxy in "
            "front, and add --public if you mean it."
        )
    with listen(settings) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(settings, listener, warm=warm, ready_file=ready_file))


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(settings: Settings) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises UserError when the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise UserError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; "
            "choose another with --port"
        ) from error
    return listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not built for every platform; asyncio's own loop is only slower
        return None
    return uvloop.new_event_loop


async def _run(settings: Settings, listener: socket.socket, *, warm: bool, ready_file: Path | None) -> None:
    import uvicorn

    from openrek.app import create_app
    from openrek.cli.progress import DownloadBars
    from openrek.wire.connection import ConnectionLimits, default_connections, limited_connections

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    application = create_app(settings, progress=DownloadBars())
    limits = ConnectionLimits(settings.max_connections or default_connections(), settings.header_timeout)
    config = uvicorn.Config(
        application.asgi,
        http=limited_connections(limits),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks for the client's address
        ws="none",
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=30,
    )
    server = uvicorn.Server(config)
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if warm:
        application.services.runtime.warm(application.services.runtime.catalogue.pack("base"))

    async def announce() -> None:
        while not server.started:
            await asyncio.sleep(0.005)
        _greet(settings, url, application.first_key)
        if ready_file is not None:
            temporary = ready_file.with_name(ready_file.name + ".part")
            temporary.write_text(json.dumps({"url": url, "pid": os.getpid(), "version": __version__}))
            temporary.replace(ready_file)
        services = application.services
        await asyncio.to_thread(_mention_missing_models, services.runtime, offline=services.settings.offline)
        await asyncio.to_thread(_mention_blind_spots, settings)

    greeting = asyncio.create_task(announce())
    supervisor = _start_workers(settings, application.services.database)
    try:
        await server.serve(sockets=[listener])
    finally:
        greeting.cancel()
        if supervisor is not None:
            await asyncio.to_thread(supervisor.stop)


def _start_workers(settings: Settings, database: "Database") -> "Supervisor | None":
    """The processes that work on stored video; none where the video extra is not installed."""
    from importlib.util import find_spec

    from openrek.jobs.supervisor import Supervisor, default_workers

    count = default_workers() if settings.job_workers is None else settings.job_workers
    if not count or find_spec("av") is None:
        return None
    supervisor = Supervisor(settings, database, count=count)
    supervisor.start()
    return supervisor


def _greet(settings: Settings, url: str, key: "FirstKey | None") -> None:
    console.print(f"[bold]openrek {__version__}[/] answers the Rekognition API on [bold cyan]{url}[/]", highlight=False)
    console.print(
        f"  profile {settings.profile}, region {settings.region}, home {settings.home}", highlight=False, soft_wrap=True
    )
    if key is not None:
        made = "A key pair was made and put" if key.created else "The first key pair is"
        console.print(f"  {made} in {key.path} (owner only). Use it with:", highlight=False, soft_wrap=True)
        for name, value in (
            ("AWS_ENDPOINT_URL_REKOGNITION", url),
            ("AWS_SHARED_CREDENTIALS_FILE", str(key.path)),
            ("AWS_PROFILE", "openrek"),
            ("AWS_REGION", settings.region),
        ):
            console.print(f"    export {name}={value}", highlight=False, soft_wrap=True, markup=False)
    else:
        console.print("  The keys are yours to manage: openrek keys list, openrek keys create", highlight=False)


def _mention_blind_spots(settings: Settings) -> None:
    from openrek.cli.blind import blind_sentence

    console.print(f"  {blind_sentence(settings)}", highlight=False, soft_wrap=True, markup=False)


def _mention_missing_models(runtime: "Runtime", *, offline: bool) -> None:
    from openrek.vision.runtime.cache import State

    missing = [card.name for card in runtime.catalogue.pack("base") if runtime.library.state(card) is State.MISSING]
    if missing:
        first = "Downloading is off" if offline else "The first call that needs one fetches it"
        console.print(
            f"  Not fetched yet: {', '.join(missing)}. {first}; all of them now: "
            f"{runtime.library.pull_command('base')}",
            highlight=False,
            soft_wrap=True,
        )
