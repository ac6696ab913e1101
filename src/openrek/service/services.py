"""What the handlers work with: one container a process, its parts opened when first used."""

from collections.abc import Mapping
from functools import cached_property

from openrek.service.celebrity_gallery import CelebrityGallery
from openrek.service.pagination import PageTokens
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.face_crops import CropKey, FaceCrops
from openrek.store.objects import ObjectStore, open_objects
from openrek.store.purge import Purger
from openrek.store.server_secret import ServerSecret
from openrek.store.vectors import VectorSearch, open_search
from openrek.vision.faces.detector import SEARCH_SIDE
from openrek.vision.image import DecodingMemory, Picture
from openrek.vision.look import Look
from openrek.vision.objects import MODEL, detectors
from openrek.vision.runtime import Card, Progress, Runtime, UnknownModelError


class Services:
    """What handlers work with, one of each a process: settings, the model runtime, memory for decoding, the metadata
    database, the object store and the page tokens.

    Making it raises ModelError where a card is not valid or the settings choose a detector that is none; opening the
    database or reading the objects raises StoreError, running a model ModelError. A process that only looks
    at pictures (the command line) never opens the database. `progress` is told about model downloads.
    """

    def __init__(self, settings: Settings, *, progress: Progress | None = None) -> None:
        self.settings = settings
        self.decoding = DecodingMemory(settings.decoding_memory)
        self.runtime = Runtime(
            cache=settings.cache,
            offline=settings.offline,
            mirror=settings.model_mirror,
            index_url=settings.index_url,
            threads=settings.threads,
            idle=settings.model_idle,
            progress=progress,
            extra_cards=settings.home / "models.d",
        )
        check_detector(settings, self.runtime.catalogue)

    @cached_property
    def database(self) -> Database:
        return Database.open(self.settings.database_address)

    @cached_property
    def objects(self) -> ObjectStore:
        return open_objects(self.settings)

    @cached_property
    def celebrities(self) -> CelebrityGallery:
        return CelebrityGallery(self.database)

    @cached_property
    def page_tokens(self) -> PageTokens:
        return PageTokens(ServerSecret(self.database).value)

    @cached_property
    def vectors(self) -> VectorSearch:
        embedded = self.settings.vector_search == "embedded"
        return open_search(self.database, self.settings.home.absolute() / "vectors", embedded=embedded)

    @cached_property
    def crop_key(self) -> CropKey:
        """The key that crops of faces are kept under, made when first needed. Raises CropKeyError."""
        return FaceCrops(self.database).key(self.settings.crop_key_file)

    @cached_property
    def purger(self) -> Purger:
        return Purger(self.database, self.vectors)

    def look(self, picture: Picture, *, face_search_side: int = SEARCH_SIDE) -> Look:
        """What the shared models say of a picture, objects by the detector that the settings name."""
        return Look(picture, self.runtime, face_search_side=face_search_side, detector=self.settings.detector)

    def open(self) -> "Services":
        """Open all of it now, as a server does, so that what is wrong shows at the start."""
        _ = self.database, self.objects, self.page_tokens, self.vectors
        if self.settings.keep_face_crops:
            _ = self.crop_key
        self.purger.wake()  # what a process that was killed has left
        return self

    def close(self) -> None:
        """Close what was opened."""
        if "purger" in self.__dict__:
            self.purger.close()
        self.runtime.close()
        if "vectors" in self.__dict__:
            self.vectors.close()
        if "database" in self.__dict__:
            self.database.close()


def check_detector(settings: Settings, catalogue: Mapping[str, Card]) -> None:
    """Raises UnknownModelError where the settings choose a detector that the catalogue does not have."""
    known = detectors(catalogue)
    if settings.detector not in (MODEL, *known):
        raise UnknownModelError(
            f"OPENREK_DETECTOR chooses {settings.detector!r}, which is no detector; the catalogue has "
            f"{', '.join(known) or 'none'}."
        )
