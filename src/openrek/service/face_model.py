"""The face model of a collection: frozen when the collection is made, so that all of its vectors can be compared."""

from typing import Final

from openrek.contract.errors import InvalidParameterException
from openrek.service.services import Services
from openrek.store.collections import Collection
from openrek.vision.faces.embedding import FACE_MODEL, face_model_version
from openrek.vision.runtime import Catalogue
from openrek.vision.runtime.cards import Card

TASK: Final = "face-embedding"


def current_version(services: Services) -> str:
    """The FaceModelVersion that a new collection gets."""
    return face_model_version(services.runtime.catalogue[FACE_MODEL])


def vector_lengths(catalogue: Catalogue) -> dict[str, int]:
    """How many numbers a face's vector has, by FaceModelVersion, of the models whose cards say it."""
    lengths: dict[str, int] = {}
    for card in catalogue.values():
        length = card.outputs[0].shape[-1] if card.task == TASK and card.outputs else None
        if isinstance(length, int):
            lengths[face_model_version(card)] = length
    return lengths


def model_of(collection: Collection, services: Services) -> Card:
    """The model that made a collection's vectors: today's, or an older one that is still in the catalogue.

    Raises InvalidParameterException where there is none: pictures cannot be compared with the collection then.
    """
    catalogue, version = services.runtime.catalogue, collection.face_model_version
    for card in [catalogue[FACE_MODEL], *catalogue.values()]:
        if card.task == TASK and face_model_version(card) == version:
            return card
    raise InvalidParameterException(
        f"Request has invalid parameters: the collection {collection.collection_id} was made with face model version "
        f"{version}, and this server has {current_version(services)}. Make it again in place (openrek collections "
        "reindex), index the pictures into a new collection, or put the card of the older model into the folder "
        "models.d of the server's home."
    )
