"""Kept crops of faces: what is in them, who can open them, and that a model reads the same face from them."""

import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.face_crops import CropKey, CropKeyError, FaceCrops
from openrek.store.faces import Faces, NewFace
from openrek.vision.faces import align, detect_faces
from openrek.vision.faces.crops import SIDE, embed_kept, keep_crops, read_crop
from openrek.vision.faces.embedding import embed_faces
from openrek.vision.image import Picture, UnreadableImageError, load_image
from openrek.vision.runtime import Runtime
from tests.unit.test_portable import database, fill, new_face, number_of

__all__ = ["database"]


def test_a_sealed_crop_opens_with_its_key_for_its_face_alone(tmp_path: Path) -> None:
    key = CropKey.open(tmp_path / "home" / "crops.key", make=True)
    assert stat.S_IMODE((tmp_path / "home" / "crops.key").stat().st_mode) == 0o600
    sealed = key.seal("face-1", b"a face")
    assert b"a face" not in sealed
    assert key.seal("face-1", b"a face") != sealed
    again = CropKey.open(tmp_path / "home" / "crops.key", make=True)
    assert again.unseal("face-1", sealed) == b"a face"
    for other, wrong, sentence in (
        (key, "face-2", "damaged"),
        (CropKey.open(tmp_path / "other.key", make=True), "face-1", "another key"),
    ):
        with pytest.raises(CropKeyError, match=sentence):
            other.unseal(wrong, sealed)
    with pytest.raises(CropKeyError, match="damaged"):
        key.unseal("face-1", sealed[:-1] + bytes([sealed[-1] ^ 1]))


def test_a_key_that_is_not_there_or_no_key_says_so(tmp_path: Path) -> None:
    with pytest.raises(CropKeyError, match="is not there: put it back"):
        CropKey.open(tmp_path / "crops.key", make=False)
    (tmp_path / "crops.key").write_text("hello")
    with pytest.raises(CropKeyError, match="holds no key"):
        CropKey.open(tmp_path / "crops.key", make=True)


def test_one_database_has_one_key(database: Database, tmp_path: Path) -> None:
    fill(database)
    number, crops = number_of(database, "people"), FaceCrops(database)
    key = crops.key(tmp_path / "crops.key")
    f = new_face(50)
    crop = key.seal(f.face_id, b"crop")
    Faces(database).add(number, [NewFace(f.face_id, f.image_id, None, f.box, 99, "7.0", f.vector, crop), new_face(51)])
    assert crops.key(tmp_path / "crops.key").name == key.name
    with pytest.raises(CropKeyError, match="is not there"):  # a second server must not make one of its own
        crops.key(tmp_path / "elsewhere.key")
    CropKey.open(tmp_path / "elsewhere.key", make=True)
    with pytest.raises(CropKeyError, match="share one key file"):
        crops.key(tmp_path / "elsewhere.key")


def points(size: float, middle: tuple[float, float]) -> np.ndarray:
    """Five points of an upright face with `size` pixels between the eyes."""
    scale = size / (align.TEMPLATE[1, 0] - align.TEMPLATE[0, 0])
    return np.asarray((align.TEMPLATE - 56) * scale + np.float32(middle), np.float32)


def test_a_crop_shows_the_face_upright_and_no_larger_than_it_was() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (600, 800, 3), np.uint8)
    picture = Picture(pixels, 800, 600)
    landmarks = np.stack([points(200, (400, 300)), points(20, (100, 100)), points(64, (5, 5))])
    crops = keep_crops(picture, landmarks)
    for data, size in zip(crops, (SIDE, SIDE * 20 / 64, SIDE), strict=True):
        shown, placed = read_crop(data)
        assert shown.shape == (round(size), round(size), 3)
        middle = placed.mean(axis=0) - (shown.shape[0] - 1) / 2
        assert np.abs(middle / shown.shape[0]).max() < 0.05
        assert placed[1, 0] - placed[0, 0] == pytest.approx(64 * size / SIDE, rel=0.02)
    with pytest.raises(UnreadableImageError):
        read_crop(b"face" + bytes(10))
    with pytest.raises(UnreadableImageError):
        read_crop(crops[0][4:])


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    made = Runtime(cache=Settings().cache)
    yield made
    made.close()


def test_a_model_reads_nearly_the_same_from_the_crop(runtime: Runtime, photos: dict[str, Path]) -> None:
    picture = load_image(photos["astronaut"])
    found = detect_faces(picture, runtime)
    assert len(found) == 1
    straight = embed_faces(picture, found, runtime)
    from_crop = embed_kept(keep_crops(picture, found.landmarks), runtime)
    assert float((straight * from_crop).sum()) > 0.99
    assert embed_kept([], runtime).shape[0] == 0
