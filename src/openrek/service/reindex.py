"""Making a collection again in place with another face model, out of kept crops and photos."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from openrek.contract.call import Caller
from openrek.service.face_index import MAX_FACES, SAME_FACE, box_of, image_id_of, overlap
from openrek.service.face_model import TASK
from openrek.service.services import Services
from openrek.store.collections import Collections
from openrek.store.errors import CollectionMissingError, StoreError
from openrek.store.face_crops import CropKey
from openrek.store.reindex import Left, Reindexing, remaining
from openrek.store.vector_changes import Floats
from openrek.vision.faces import PICTURE_SIDE, detect_faces
from openrek.vision.faces.crops import embed_kept
from openrek.vision.faces.embedding import FACE_MODEL, embed_faces, face_model_version
from openrek.vision.faces.similarity import scale_of
from openrek.vision.image import RELAXED_FORMATS, ImageError, open_image
from openrek.vision.runtime.cards import Card

Progress = Callable[[int, int], None]
"""Told how many faces are done, of how many."""

ATTEMPTS: Final = 100
"""How often the switch is tried while faces keep coming."""


class ReindexError(StoreError):
    """A collection cannot be made again; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What came of it: the version before and now, faces that came along, and those that did not."""

    before: str
    now: str
    faces: int
    left_out: int


def reindex(
    services: Services,
    owner: Caller,
    collection_id: str,
    *,
    model: str = FACE_MODEL,
    photos: Sequence[Path] = (),
    drop_missing: bool = False,
    progress: Progress = lambda done, total: None,
) -> Reindexed:
    """Make a collection again with the vectors of `model`, and switch to it at once and wholly.

    A face is read from its kept crop, else from the photo among `photos` whose bytes it was indexed from. Where a face
    has neither, nothing is switched, unless `drop_missing` leaves such faces out. What is done stays done: a run that
    was interrupted, or that lacked photos, is gone on with. Raises ReindexError, StoreError, ModelError.
    """
    card = _card(services, model)
    version = face_model_version(card)
    found = Collections(services.database).find(owner.account_id, owner.region, collection_id)
    if found is None:
        raise ReindexError(f"there is no collection {collection_id} in the region {owner.region}")
    if found.face_model_version == version:
        raise ReindexError(
            f"{collection_id} is one of face model version {version} already, the present one of {model!r}: there is "
            "nothing to do. --model names another model"
        )
    try:
        work = Reindexing.begin(services.database, found.number, version)
        newest = work.newest()
        reader = _Reader(services, card)
        _read_crops(work, reader, progress)
        _read_photos(work, reader, photos, progress)
        lacking = sum(len(portion) for portion in remaining(work))
        if lacking and not drop_missing:
            raise ReindexError(
                f"{lacking:,} of {work.counts()[1]:,} faces have neither a kept crop nor their photo among those "
                "given; what was read is kept and nothing is switched. Give the photos with --photos, or leave those "
                "faces out with --drop-missing"
            )
        before, total = found.face_model_version, work.counts()[1]
        _switch(work, reader, newest if drop_missing else 0, progress)
    except CollectionMissingError as error:
        raise ReindexError(f"the collection {collection_id} was deleted meanwhile") from error
    return Reindexed(before, version, total - lacking, lacking)


def _card(services: Services, model: str) -> Card:
    """The card of a face embedding with a scale of its own."""
    catalogue = services.runtime.catalogue
    known = ", ".join(card.name for card in catalogue.values() if card.task == TASK and card.similarity)
    if model not in catalogue or catalogue[model].task != TASK:
        raise ReindexError(f"{model!r} is no model that compares faces; there are: {known}")
    card = catalogue[model]
    if not card.similarity:
        raise ReindexError(
            f"no collection can be made with {model!r}: nobody has measured yet which of its cosines stand for which "
            f"similarity. There are: {known}; a card of your own in models.d of the home needs `similarity` and "
            "`preprocess`"
        )
    scale_of(card)
    return card


class _Reader:
    """New vectors of faces."""

    def __init__(self, services: Services, card: Card) -> None:
        self._services = services
        self._model = card.name
        self._key: CropKey | None = None

    def of_crops(self, faces: Sequence[Left]) -> Mapping[int, Floats]:
        """By face number; faces without a crop are left out."""
        kept = [(face, face.sealed) for face in faces if face.sealed is not None]
        if not kept:
            return {}
        if self._key is None:
            self._key = CropKey.open(self._services.settings.crop_key_file, make=False)
        crops = [self._key.unseal(face.face_id, sealed) for face, sealed in kept]
        vectors = embed_kept(crops, self._services.runtime, model=self._model)
        return {face.number: vector for (face, _), vector in zip(kept, vectors, strict=True)}

    def of_photo(self, data: bytes, faces: Sequence[Left]) -> Mapping[int, Floats]:
        """By face number: the photo's faces where they were when it was indexed; those not found there are left out."""
        limit, memory = self._services.settings.pixel_limit, self._services.decoding
        picture = open_image(data, formats=RELAXED_FORMATS, max_pixels=limit, memory=memory).decode(PICTURE_SIDE)
        seen = detect_faces(picture, self._services.runtime, max_faces=MAX_FACES)
        boxes = [box_of(seen, index, picture) for index in range(len(seen))]
        chosen: dict[int, int] = {}
        for face in faces:
            shares = [overlap(face.box, box) for box in boxes]
            if shares and max(shares) >= SAME_FACE:
                chosen[face.number] = int(np.argmax(shares))
        if not chosen:
            return {}
        selected = seen.select(np.array(list(chosen.values()), np.intp))
        vectors = embed_faces(picture, selected, self._services.runtime, model=self._model)
        return dict(zip(chosen, vectors, strict=True))


def _read_crops(work: Reindexing, reader: _Reader, progress: Progress) -> None:
    done, total = work.counts()
    progress(done, total)
    for portion in remaining(work):
        vectors = reader.of_crops(portion)
        work.add(vectors)
        done += len(vectors)
        progress(done, total)


def _read_photos(work: Reindexing, reader: _Reader, photos: Iterable[Path], progress: Progress) -> None:
    done, total = work.counts()
    for path in photos:
        try:
            data = path.read_bytes()
            wanted = work.left(image_id=image_id_of(data))
            vectors = reader.of_photo(data, wanted) if wanted else {}
        except (OSError, ImageError):  # not what the faces were indexed from, or they are counted as lacking
            continue
        work.add(vectors)
        done += len(vectors)
        progress(done, total)


def _switch(work: Reindexing, reader: _Reader, leave_out: int, progress: Progress) -> None:
    """Take over what came meanwhile, again and again, until so little is left that writers can wait for it."""
    for _ in range(ATTEMPTS):
        work.follow()
        if work.switch(reader.of_crops, leave_out=leave_out):
            return
        late = work.left(after=leave_out)
        if any(face.sealed is None for face in late):
            raise ReindexError(
                f"{len(late):,} faces were indexed meanwhile and have no kept crop: nothing is switched. Stop indexing "
                "into the collection, and run the command again with the photos of those faces"
            )
        _read_crops(work, reader, progress)
    raise ReindexError("faces come faster than they can be read again: stop indexing, and run the command again")
