"""The face model of a collection: frozen when the collection is made, so that all of its vectors can be compared."""

from typing import Final

from openrek.service.services import Services

VERSION: Final = "7.0"


def current_version(services: Services) -> str:
    """The FaceModelVersion that a new collection gets."""
    return VERSION
