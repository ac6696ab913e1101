"""The one place that wires everything together: settings in, an ASGI application out."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from openrek import __version__
from openrek.service.failures import with_answers
from openrek.service.operation import Operation, load_operations
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.store.access_keys import AccessKeys, FirstKey
from openrek.vision.runtime import Progress
from openrek.wire.app import wire_app

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Application:
    """A server ready to run: its ASGI application, its services, and the first start's key pair where there is one."""

    asgi: ASGIApp
    services: Services
    first_key: FirstKey | None

    @property
    def credentials(self) -> Path | None:
        """The credentials file of the first start's key pair."""
        return self.first_key.path if self.first_key else None


def create_app(settings: Settings, *, progress: Progress | None = None) -> Application:
    """Open the store (and make the first key pair where there is none), load the operations, build the application.

    Raises StoreError when the database or the key file cannot be written, ModelError as `Services` does.
    """
    services = Services(settings, progress=progress).open()
    keys = AccessKeys(services.database)
    first_key = keys.first_key(settings.home, settings.region)
    embedded = services.database.embedded
    wire = wire_app(built_operations(services), keys.secret_of, settings, services, keys_at_hand=embedded)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        wire.close()
        services.close()

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "version": __version__})

    routes = [Route("/health", health)]
    pages = Starlette(routes=routes, lifespan=lifespan)
    paths = {route.path for route in routes}

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        # the API is decided before any routing: it is nearly all of the traffic, and its errors answer what is no page
        page = scope["type"] != "http" or (scope["path"] in paths and scope["method"] in ("GET", "HEAD"))
        await (pages if page else wire)(scope, receive, send)

    return Application(asgi, services, first_key)


def built_operations(services: Services) -> Mapping[str, Operation]:
    """The operations as the wire runs them: known failures answered, light ones only where the store is embedded."""
    embedded = services.database.embedded
    return {
        name: replace(operation, handler=with_answers(operation.handler), light=operation.light and embedded)
        for name, operation in load_operations().items()
    }
