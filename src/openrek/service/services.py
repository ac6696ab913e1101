"""What the handlers work with: one container, wired together in `openrek.app`."""

from dataclasses import dataclass

from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.objects import ObjectStore
from openrek.vision.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Services:
    """Settings, the model runtime, the metadata database and the object store of one openrek process."""

    settings: Settings
    runtime: Runtime
    database: Database
    objects: ObjectStore
