"""The gallery of well-known people that a server's owner builds: facts, reference vectors, and who must not return.

One person is one row with a stable id; photos are never kept, only the vector of the face in each. A person who is
removed is erased, and remembered as keyed hashes alone, so that no later import brings them back by accident.
"""

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update

from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.job_traces import forget_celebrity
from openrek.store.schema import celebrities, celebrity_changes, celebrity_references, now_ms, removed_celebrities
from openrek.store.server_secret import ServerSecret
from openrek.store.vector_changes import Floats, pack, unit, unpack

GENDERS: Final = ("Male", "Female", "Nonbinary", "Unlisted")
ID_LENGTH: Final = 7
MAX_URLS: Final = 255

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ONE: Final = 1
_ALONE: Final = "celebrities"
_CHANGE: Final = select(celebrity_changes.c.change).where(celebrity_changes.c.id == bindparam("one", _ONE))
_COPY_TIME: Final = 10.0  # seconds that erasing waits for readers of the log's old pages


class AmbiguousNameError(ValueError):
    """Several people of the gallery have this name, and nothing tells which one is meant."""


class RemovedPersonError(ValueError):
    """The person was removed, and may come back only when that is said."""


@dataclass(frozen=True, slots=True)
class Person:
    """The facts about one person. urls: without scheme. gender: one of GENDERS, None when unknown; a fact, no guess."""

    name: str
    urls: tuple[str, ...] = ()
    gender: str | None = None
    wikidata: str | None = None
    source: str | None = None
    licence: str | None = None
    consent: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a person of the gallery needs a name")
        if self.gender is not None and self.gender not in GENDERS:
            raise ValueError(f"the gender {self.gender!r} of {self.name} is none of {', '.join(GENDERS)}")
        if self.wikidata is not None and not re.fullmatch(r"Q[1-9]\d{0,19}", self.wikidata):
            raise ValueError(f"{self.wikidata!r} of {self.name} is no Wikidata id (such as Q42)")
        if len(self.urls) > MAX_URLS:
            raise ValueError(f"{self.name} has {len(self.urls)} URLs; at most {MAX_URLS} are kept")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """One reference photo: SHA-256 of its bytes (hex), the vector (D,) of its face, where it is from and its terms."""

    photo: str
    model_version: str
    vector: Floats = field(repr=False)
    source: str | None = None
    licence: str | None = None
    attribution: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Where a reference photo is from, and what asks to be observed by who uses it."""

    source: str | None = None
    licence: str | None = None
    attribution: str | None = None


@dataclass(frozen=True, slots=True)
class Celebrity:
    """A person of the gallery; `references` counts the photos by model version."""

    id: str
    person: Person
    references: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The reference vectors of one model version: row i of (N, D) float32, length 1, is a photo of person ids[i].

    Rows are in ascending order of the id. change: the state of the gallery that this is.
    """

    change: int
    ids: NDArray[np.str_]
    vectors: Floats


class Celebrities:
    """The gallery of one database. All methods raise StoreError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading ----------------------------------------------------------------------------------------------------

    def change(self) -> int:
        """The number of the newest change of the references, 0 before the first. Microseconds on SQLite."""
        rows = self._database.fetch(_CHANGE)
        return int(rows[0][0]) if rows else 0

    def get(self, celebrity_id: str) -> Person | None:
        """The facts about a person, None for an unknown id."""
        return self.persons([celebrity_id]).get(celebrity_id)

    def persons(self, ids: Sequence[str]) -> dict[str, Person]:
        """The facts about these people, by id; unknown ids are left out."""
        with self._database.read() as connection:
            rows = connection.execute(select(celebrities).where(celebrities.c.id.in_(ids)))
            return {row.id: _person(row) for row in rows}

    def everyone(self) -> list[Celebrity]:
        """Everyone, by name."""
        table = celebrity_references.c
        with self._database.read() as connection:
            rows = connection.execute(select(celebrities).order_by(celebrities.c.name_key, celebrities.c.id)).all()
            counts: dict[str, dict[str, int]] = {}
            grouped = select(table.celebrity_id, table.model_version, func.count()).group_by(
                table.celebrity_id, table.model_version
            )
            for celebrity_id, version, count in connection.execute(grouped):
                counts.setdefault(celebrity_id, {})[version] = count
        return [Celebrity(row.id, _person(row), counts.get(row.id, {})) for row in rows]

    def references(self, celebrity_id: str, model_version: str | None = None) -> list[Reference]:
        """A person's references, oldest first; those of one model version where it is given."""
        table = celebrity_references
        wanted = select(table).where(table.c.celebrity_id == celebrity_id).order_by(table.c.id)
        if model_version is not None:
            wanted = wanted.where(table.c.model_version == model_version)
        with self._database.read() as connection:
            return [_reference(row) for row in connection.execute(wanted)]

    def terms(self) -> dict[str, list[Terms]]:
        """The terms of everyone's photos, by the person's id, the oldest first; people without photos are left out."""
        table = celebrity_references.c
        wanted = select(table.celebrity_id, table.photo, table.source, table.licence, table.attribution)
        found: dict[str, dict[str, Terms]] = {}
        with self._database.read() as connection:
            for celebrity_id, photo, *terms in connection.execute(wanted.order_by(table.id)):
                found.setdefault(celebrity_id, {}).setdefault(photo, Terms(*terms))
        return {celebrity_id: list(photos.values()) for celebrity_id, photos in found.items()}

    def vectors(self, model_version: str) -> Vectors:
        """All reference vectors of a model version."""
        table = celebrity_references
        with self._database.read() as connection:
            change = connection.execute(_CHANGE).scalar() or 0
            wanted = select(table.c.celebrity_id, table.c.vector).where(table.c.model_version == model_version)
            rows = connection.execute(wanted.order_by(table.c.celebrity_id, table.c.id)).all()
        ids = np.array([row.celebrity_id for row in rows], np.str_)
        return Vectors(int(change), ids, unpack([row.vector for row in rows]))

    def find(self, person: Person) -> str | None:
        """The id of this person where the gallery has them; see `_same`. Raises AmbiguousNameError."""
        with self._database.read() as connection:
            return self._find(connection, person)

    def is_removed(self, person: Person) -> bool:
        """Whether this person was removed."""
        name, wikidata = _hashes(self._secret(), person)
        with self._database.read() as connection:
            return self._removals(connection, name, wikidata) != []

    def refuse_removed(self, person: Person) -> None:
        """Raise RemovedPersonError where this person was removed."""
        if self.is_removed(person):
            raise _refusal(person)

    # --- writing ----------------------------------------------------------------------------------------------------

    def put(
        self, person: Person, references: Sequence[Reference], *, celebrity_id: str | None = None, again: bool = False
    ) -> str:
        """Add a person, or bring them up to date: facts given here replace those there, references are added; the id.

        Facts that are None or empty here stay as they are; a photo that is there already is not added twice. A new
        person gets `celebrity_id`, else one derived from the Wikidata id, else a random one.
        again: let a person return who was removed; else RemovedPersonError. Raises AmbiguousNameError, and ValueError
        for an id that is not made of letters and digits or belongs to someone else, and for a vector of another length
        than those of its model version.
        """
        if celebrity_id is not None and not re.fullmatch(r"[0-9A-Za-z]{1,22}", celebrity_id):
            raise ValueError(f"{celebrity_id!r} is no id: 1 to 22 letters and digits")
        name_hash, wikidata_hash = _hashes(self._secret(), person)
        with self._write() as connection:
            removals = self._removals(connection, name_hash, wikidata_hash)
            if removals and not again:
                raise _refusal(person)
            if removals:
                gone = removed_celebrities.c.id.in_(removals)
                connection.execute(delete(removed_celebrities).where(gone))
            found = self._find(connection, person)
            if found is None:
                found = _free_id(connection, person, celebrity_id)
                connection.execute(insert(celebrities).values(id=found, created_ms=now_ms(), **_row(person)))
            else:
                given = {name: value for name, value in _row(person).items() if value not in (None, "[]")}
                connection.execute(update(celebrities).where(celebrities.c.id == found).values(**given))
            self._add(connection, found, references)
        return found

    def remove(self, celebrity_id: str, *, remember: bool = True) -> Person | None:
        """Erase a person: facts, vectors and sightings in results of video jobs, from the pages of the database too;
        who that was, None for an unknown id.

        remember: keep hashes of the name and the Wikidata id, so that `put` refuses the person from now on. Raises
        StoreError where the person is gone but old pages could not be erased yet because of a long reader.
        """
        mine = celebrities.c.id == celebrity_id
        secret = self._secret()
        with self._write() as connection:
            row = connection.execute(select(celebrities).where(mine)).first()
            if row is None:
                return None
            person = _person(row)
            if remember:
                name, wikidata = _hashes(secret, person)
                connection.execute(
                    insert(removed_celebrities).values(name_hash=name, wikidata_hash=wikidata, removed_ms=now_ms())
                )
            connection.execute(delete(celebrity_references).where(celebrity_references.c.celebrity_id == celebrity_id))
            connection.execute(delete(celebrities).where(mine))
            forget_celebrity(connection, celebrity_id)
            _raise_change(self._database, connection)
        if self._database.embedded:
            _empty_log(self._database)
        return person

    # --- parts ------------------------------------------------------------------------------------------------------

    def _find(self, connection: Connection, person: Person) -> str | None:
        table = celebrities.c
        if person.wikidata is not None:
            same = connection.execute(select(table.id).where(table.wikidata == person.wikidata)).scalar()
            if same is not None:
                return str(same)
        named = select(table.id).where(table.name_key == name_key(person.name))
        if person.wikidata is not None:  # two people of one name, unless the one there has no Wikidata id yet
            named = named.where(table.wikidata.is_(None))
        ids = connection.execute(named.order_by(table.id)).scalars().all()
        if len(ids) > 1:
            raise AmbiguousNameError(
                f"{len(ids)} people of the gallery are called {person.name} ({', '.join(ids)}); "
                "give the Wikidata id of the one that is meant"
            )
        return str(ids[0]) if ids else None

    def _add(self, connection: Connection, celebrity_id: str, references: Sequence[Reference]) -> None:
        _check_lengths(connection, references)
        added = False
        for reference in references:
            row = {
                "celebrity_id": celebrity_id,
                "photo": reference.photo,
                "model_version": reference.model_version,
                "vector": pack(unit(np.asarray(reference.vector, np.float32)[None])[0]),
                "source": reference.source,
                "licence": reference.licence,
                "attribution": reference.attribution,
                "created_ms": now_ms(),
            }
            added |= self._database.insert_if_absent(celebrity_references, row, connection)
        if added:
            _raise_change(self._database, connection)

    def _secret(self) -> bytes:
        return ServerSecret(self._database, "removed-celebrities").value

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._database.begin(alone=_ALONE) as connection:
            if self._database.embedded:
                connection.exec_driver_sql("PRAGMA secure_delete=ON")  # what is freed is overwritten with zeros
            yield connection

    @staticmethod
    def _removals(connection: Connection, name: str, wikidata: str | None) -> list[int]:
        """The rows that keep this person out: the same Wikidata id, or the same name unless both have one."""
        table = removed_celebrities.c
        if wikidata is None:
            rule: Any = table.name_hash == name
        else:
            rule = or_(table.wikidata_hash == wikidata, (table.name_hash == name) & table.wikidata_hash.is_(None))
        return list(connection.execute(select(table.id).where(rule)).scalars())


def name_key(name: str) -> str:
    """What makes two spellings of a name the same: NFKC, case folded, single spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())[:255]


def derived_id(wikidata: str, length: int = ID_LENGTH) -> str:
    """The id of the person with a Wikidata id: base 62 of its SHA-256, the same on every server."""
    number = int.from_bytes(hashlib.sha256(f"wikidata {wikidata}".encode()).digest())
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits


def _check_lengths(connection: Connection, references: Sequence[Reference]) -> None:
    """One vector of another length, and nobody could be compared with the gallery any more."""
    table = celebrity_references.c
    lengths: dict[str, int] = {}
    for reference in references:
        version, length = reference.model_version, len(reference.vector)
        if version not in lengths:
            there = select(table.vector).where(table.model_version == version).limit(1)
            stored = connection.execute(there).scalar()
            lengths[version] = len(stored) // 4 if stored is not None else length
        if length != lengths[version]:
            raise ValueError(
                f"a vector of model version {version} has {length} numbers, those in the gallery {lengths[version]}"
            )


def _refusal(person: Person) -> RemovedPersonError:
    return RemovedPersonError(f"{person.name} was removed from the gallery")


def _free_id(connection: Connection, person: Person, wanted: str | None) -> str:
    def taken(candidate: str) -> bool:
        return connection.execute(select(celebrities.c.id).where(celebrities.c.id == candidate)).first() is not None

    if wanted is not None:
        if taken(wanted):
            raise ValueError(f"the id {wanted} of {person.name} belongs to someone else in this gallery")
        return wanted
    for attempt in range(16):
        if person.wikidata is not None:
            candidate = derived_id(person.wikidata, ID_LENGTH + attempt)  # two people in one id: one more digit
        else:
            candidate = "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))
        if not taken(candidate):
            return candidate
    raise StoreError("no free id was found in 16 attempts")


def _hashes(secret: bytes, person: Person) -> tuple[str, str | None]:
    def keyed(text: str) -> str:
        return hmac.new(secret, text.encode(), "sha256").hexdigest()

    wikidata = keyed(f"wikidata {person.wikidata}") if person.wikidata is not None else None
    return keyed(f"name {name_key(person.name)}"), wikidata


def _row(person: Person) -> dict[str, Any]:
    return {
        "name": person.name.strip(),
        "name_key": name_key(person.name),
        "wikidata": person.wikidata,
        "urls": json.dumps(list(person.urls), ensure_ascii=False),
        "gender": person.gender,
        "source": person.source,
        "licence": person.licence,
        "consent": person.consent,
    }


def _person(row: Row[Any]) -> Person:
    urls = tuple(str(url) for url in json.loads(row.urls))
    return Person(row.name, urls, row.gender, row.wikidata, row.source, row.licence, row.consent)


def _reference(row: Row[Any]) -> Reference:
    vector = unpack([row.vector])[0]
    return Reference(row.photo, row.model_version, vector, row.source, row.licence, row.attribution)


def _raise_change(database: Database, connection: Connection) -> None:
    table = celebrity_changes
    if not database.insert_if_absent(table, {"id": _ONE, "change": 1}, connection):
        connection.execute(update(table).where(table.c.id == _ONE).values(change=table.c.change + 1))


def _empty_log(database: Database) -> None:
    """Bring SQLite's write-ahead log into the file and cut it off: its older pages still show what was deleted."""
    deadline = time.monotonic() + _COPY_TIME
    while True:
        with database.engine.connect() as connection:
            driver = cast(sqlite3.Connection, connection.connection.driver_connection)
            busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if not busy:
            return
        if time.monotonic() > deadline:
            raise StoreError(
                "the person is removed, but another process is reading the database, so that pages of its log could "
                "not be erased yet; stop the reader and remove anybody, or restart the server"
            )
        time.sleep(0.05)
