"""Crops of faces that the owner of the server asked to keep: encrypted, in the database, gone with their face.

A crop is sealed with AES-256-GCM (NIST SP 800-38D; the library cryptography) under a key that is kept in a file of its
own, so that the database, a copy of it, or a backup of it alone shows no face. Sealed for one face id, a crop cannot be
put under another's.
"""

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, func, select

from openrek.store.copies import copies_of
from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.private_file import place
from openrek.store.schema import face_crops, faces

KEY_BYTES: Final = 32
NAME_BYTES: Final = 8
NONCE_BYTES: Final = 12
VERSION: Final = b"\x01"
AT_ONCE: Final = 5_000


class CropKeyError(StoreError):
    """The key of the crops is not there, cannot be read, or is another one."""


class CropKey:
    """Seals and opens crops."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of the crops has {KEY_BYTES} bytes")
        self.name = hashlib.sha256(b"openrek face crops " + key).digest()[:NAME_BYTES]
        """What a sealed crop says about the key that it needs."""
        self._cipher = AESGCM(key)

    @classmethod
    def open(cls, path: Path, *, make: bool) -> "CropKey":
        """The key in a file (64 hexadecimal digits, mode 0600), made where there is none and `make` says so.

        Raises CropKeyError.
        """
        try:
            if make and not path.exists():
                place(path, f"{secrets.token_hex(KEY_BYTES)}\n".encode())
            return cls(bytes.fromhex(path.read_text().strip()))
        except FileNotFoundError as error:
            raise CropKeyError(
                f"the key of the kept face crops, {path}, is not there: put it back from the server that made it"
            ) from error
        except OSError as error:
            raise CropKeyError(f"the key of the kept face crops, {path}, cannot be read or written: {error}") from error
        except ValueError as error:
            raise CropKeyError(f"{path} holds no key of face crops: {2 * KEY_BYTES} hexadecimal digits") from error

    def seal(self, face_id: str, crop: bytes) -> bytes:
        """A crop that only this key opens, and only as that of this face."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return VERSION + self.name + nonce + self._cipher.encrypt(nonce, crop, face_id.encode())

    def unseal(self, face_id: str, sealed: bytes) -> bytes:
        """The crop. Raises CropKeyError for one that another key sealed, or that was changed."""
        start = len(VERSION) + NAME_BYTES
        if sealed[:start] != VERSION + self.name:
            raise CropKeyError(
                "face crops of this database were sealed with another key: name its file in OPENREK_FACE_CROP_KEY"
            )
        nonce, text = sealed[start : start + NONCE_BYTES], sealed[start + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, text, face_id.encode())
        except InvalidTag as error:
            raise CropKeyError(f"the kept crop of the face {face_id} is damaged") from error


class FaceCrops:
    """The kept crops of one database. All methods raise StoreError when it fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def key(self, path: Path) -> CropKey:
        """The key for further crops; made where neither a key nor a crop is there. Raises CropKeyError."""
        with self._database.read() as connection:
            sealed = connection.execute(select(face_crops.c.sealed).limit(1)).scalar()
        key = CropKey.open(path, make=sealed is None)
        if sealed is not None and bytes(sealed[len(VERSION) : len(VERSION) + NAME_BYTES]) != key.name:
            raise CropKeyError(
                f"face crops of this database were sealed with another key than {path}: servers of one database share "
                "one key file (OPENREK_FACE_CROP_KEY)"
            )
        return key

    def count(self, collection: int) -> int:
        """How many faces of a collection have a crop."""
        mine = faces.c.collection_number == collection
        statement = select(func.count()).select_from(face_crops.join(faces)).where(mine)
        with self._database.read() as connection:
            return int(connection.execute(statement).scalar_one())

    def sealed(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """The sealed crops of faces, by the faces' numbers."""
        statement = select(face_crops).where(face_crops.c.face_number.in_([int(number) for number in numbers]))
        with self._database.read() as connection:
            return {row.face_number: bytes(row.sealed) for row in connection.execute(statement)}

    def forget(self, collection: int) -> int:
        """Delete the crops of a collection and of copies of it; how many they were."""
        mine = (faces.c.collection_number == collection) | faces.c.collection_number.in_(copies_of(collection))
        some = select(face_crops.c.face_number).select_from(face_crops.join(faces)).where(mine)
        gone = AT_ONCE
        total = 0
        while gone == AT_ONCE:
            with self._database.begin() as connection:
                numbers = list(connection.execute(some.limit(AT_ONCE)).scalars())
                connection.execute(delete(face_crops).where(face_crops.c.face_number.in_(numbers)))
            gone = len(numbers)
            total += gone
        return total
