"""A collection as one portable file, and back: docs/collections.md has the format.

JSON Lines in UTF-8: a header, users, faces, and an end line with the SHA-256 of all bytes before it. Both directions
stream, so that memory does not grow with the collection.
"""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
)
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.errors import CollectionMissingError, ExistsError, FullError, StoreError
from openrek.store.portable_lines import Line, Vector
from openrek.store.private_file import replacing
from openrek.store.purge import purge_collection
from openrek.store.schema import collections, faces, now_ms, tags, users
from openrek.store.tags import MAX_TAGS, Tags
from openrek.store.vector_changes import next_change

FORMAT: Final = "openrek-collection"
VERSION: Final = 1
BATCH: Final = 2_000
"""Rows of one transaction of an import."""

MAX_LINE: Final = 1 << 20
UNFINISHED: Final = "import"
"""The account of a collection while it is imported: no caller's, as those have 12 digits."""

UNFINISHED_MS: Final = 24 * 3600 * 1000
"""An import begun longer ago than that was interrupted: the next one removes what it left."""


class PortableFileError(StoreError):
    """The file is not a whole, undamaged export of a version that this openrek reads."""


# --- lines ------------------------------------------------------------------------------------------------------------


TAG: Final = r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$"
"""Rekognition's pattern for names and values of tags."""


def _own(name: str) -> str:
    if name.startswith("aws:"):
        raise ValueError("names that begin with aws: are not for clients")
    return name


# what answers can hold: none of it is checked again when it is shown
Place = Annotated[float, Field(ge=-10, le=10)]
Side = Annotated[float, Field(ge=0, le=10)]
Time = Annotated[int, Field(ge=0, le=253_370_764_800_000)]  # up to the year 9999, wherever it is shown
TagName = Annotated[str, Field(min_length=1, max_length=128, pattern=TAG), AfterValidator(_own)]
TagValue = Annotated[str, Field(max_length=256, pattern=TAG)]
CollectionId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-]{1,255}$")]
UserId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9\-_.:]{1,128}$")]
Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class Header(Line):
    """The first line. dimensions: numbers of a vector, 0 where there is none."""

    format: Literal["openrek-collection"] = FORMAT
    version: Literal[1] = VERSION
    collection_id: CollectionId
    face_model_version: Annotated[str, Field(pattern=r"^[0-9.]{1,32}$")]
    dimensions: Annotated[int, Field(ge=0, le=65_536)]
    created_ms: Time
    faces: Annotated[int, Field(ge=0)]
    users: Annotated[int, Field(ge=0)]
    tags: Annotated[dict[TagName, TagValue], Field(max_length=MAX_TAGS)]


class UserLine(Line):
    """A user; `vector` is the mean of the faces', none without a face."""

    type: Literal["user"] = "user"
    user_id: UserId
    created_ms: Time
    vector: Vector | None = None


class FaceLine(Line):
    """A face; box: left, top, width, height as ratios. Its user stands before it in the file."""

    type: Literal["face"] = "face"
    face_id: Uuid
    image_id: Uuid
    external_image_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-:]{1,255}$")] | None = None
    user_id: UserId | None = None
    box: tuple[Place, Place, Side, Side]
    confidence: Annotated[float, Field(ge=0, le=100)]
    model_version: Annotated[str, Field(pattern=r"^[0-9.]{1,32}$")]
    created_ms: Time
    vector: Vector


class EndLine(Line):
    """The last line. sha256: of all bytes before it, in hexadecimal digits."""

    type: Literal["end"] = "end"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_LINE: Final[TypeAdapter[UserLine | FaceLine | EndLine]] = TypeAdapter(
    Annotated[UserLine | FaceLine | EndLine, Field(discriminator="type")]
)


# --- export -----------------------------------------------------------------------------------------------------------


def export_collection(
    database: Database, account_id: str, region: str, collection_id: str, *, resource: str, path: Path
) -> Header:
    """Write a collection, as it is at this moment, to a file of mode 0600, whole or not at all; what it holds.

    resource: the collection's ARN, which its tags are on. Raises CollectionMissingError, StoreError, OSError.
    """
    with replacing(path) as file:
        return write_collection(database, account_id, region, collection_id, resource=resource, file=file)


def write_collection(
    database: Database, account_id: str, region: str, collection_id: str, *, resource: str, file: BinaryIO
) -> Header:
    """As `export_collection`, to an open file; what was written stays where it raises, without the end line."""
    with database.read() as connection:
        return _write(connection, file, database, (account_id, region, collection_id), resource)


def _write(
    connection: Connection, file: BinaryIO, database: Database, key: tuple[str, str, str], resource: str
) -> Header:
    if not database.embedded:
        connection.execution_options(isolation_level="REPEATABLE READ")  # one view of the data, as SQLite's
    table = collections.c
    account_id, region, collection_id = key
    row = connection.execute(
        select(collections).where(
            table.account_id == account_id, table.region == region, table.collection_id == collection_id
        )
    ).one_or_none()
    if row is None:
        raise CollectionMissingError(f"there is no collection {collection_id} in the region {region}")
    first = connection.execute(select(faces.c.vector).where(faces.c.collection_number == row.id).limit(1)).scalar()
    tagged = select(tags).where(tags.c.resource == resource).order_by(tags.c.name)
    header = Header(
        collection_id=collection_id,
        face_model_version=row.face_model_version,
        dimensions=len(first) // 4 if first is not None else 0,
        created_ms=row.created_ms,
        faces=row.face_count,
        users=row.user_count,
        tags={tag.name: tag.value for tag in connection.execute(tagged)},
    )
    digest = hashlib.sha256()

    def put(line: Line) -> None:
        data = line.model_dump_json(exclude_none=True).encode() + b"\n"
        digest.update(data)
        file.write(data)

    put(header)
    for line in _stored_users(connection, row.id):
        put(line)
    for face in _stored_faces(connection, row.id):
        put(face)
    put(EndLine(sha256=digest.hexdigest()))
    return header


def _stored_users(connection: Connection, number: int) -> Iterator[UserLine]:
    statement = select(users).where(users.c.collection_number == number).order_by(users.c.id)
    for row in connection.execute(statement.execution_options(yield_per=BATCH)):
        yield UserLine(user_id=row.user_id, created_ms=row.created_ms, vector=row.vector)


def _stored_faces(connection: Connection, number: int) -> Iterator[FaceLine]:
    owned = faces.outerjoin(users, users.c.id == faces.c.user_number)
    statement = select(faces, users.c.user_id).select_from(owned).where(faces.c.collection_number == number)
    for row in connection.execute(statement.order_by(faces.c.id).execution_options(yield_per=BATCH)):
        yield FaceLine(
            face_id=row.face_id,
            image_id=row.image_id,
            external_image_id=row.external_image_id,
            user_id=row.user_id,
            box=(row.box_left, row.box_top, row.box_width, row.box_height),
            confidence=row.confidence,
            model_version=row.model_version,
            created_ms=row.created_ms,
            vector=row.vector,
        )


# --- import -----------------------------------------------------------------------------------------------------------


def read_header(file: BinaryIO, path: Path) -> tuple[Header, bytes]:
    """The header of an export, and its line. Raises PortableFileError."""
    line = file.readline(MAX_LINE)
    try:
        return Header.model_validate_json(line), line
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        if "version" in wrong and "format" not in wrong:
            raise PortableFileError(
                f"{path} is an export of another format version; this openrek reads version {VERSION}"
            ) from error
        if wrong and not wrong & {"format", "version"}:
            raise PortableFileError(
                f"{path} is damaged: its header has no valid {', '.join(map(str, sorted(wrong)))}"
            ) from error
        raise PortableFileError(f"{path} is no exported collection") from error


def import_collection(
    database: Database,
    account_id: str,
    region: str,
    collection_id: str,
    *,
    resource: str,
    path: Path,
    max_faces: int | None = None,
    max_users: int | None = None,
    lengths: Mapping[str, int] | None = None,
) -> Header:
    """Make a collection of an exported one; nobody sees it before all of it is there and the file proved whole.

    lengths: how many numbers a vector has, by face model version, where that is known.
    Other writers go on meanwhile. Raises ExistsError, FullError where it has more than `max_faces` or `max_users`,
    PortableFileError, StoreError, OSError; nothing is left then. After a crash, the next import that begins a day later
    removes what was left.
    """
    store = Collections(database)
    if store.find(account_id, region, collection_id) is not None:
        raise ExistsError(f"there is a collection {collection_id} already")
    _remove_unfinished(database)
    with path.open("rb") as file:
        header, first = read_header(file, path)
        for count, limit in ((header.faces, max_faces), (header.users, max_users)):
            if limit is not None and count > limit:
                raise FullError(limit)
        _check_length(header, lengths or {}, path)
        hidden = uuid.uuid4().hex
        store.create(UNFINISHED, region, hidden, header.face_model_version, resource="", tags={})
        try:
            found = store.find(UNFINISHED, region, hidden)
            assert found is not None
            for batch in _batches(_lines(file, path, header, first)):
                _insert(database, found.number, batch, path)
            _finish(database, found.number, header, (account_id, region, collection_id), resource, path)
        except BaseException:
            _remove(database, region, hidden)
            raise
    return header


def _check_length(header: Header, lengths: Mapping[str, int], path: Path) -> None:
    """Vectors of another length than the model's could be compared with no face that it reads."""
    length = lengths.get(header.face_model_version, header.dimensions)
    if header.dimensions not in (0, length):
        raise PortableFileError(
            f"{path} holds vectors of {header.dimensions} numbers; those of face model version "
            f"{header.face_model_version} have {length}"
        )


def _lines(file: BinaryIO, path: Path, header: Header, first: bytes) -> Iterator[UserLine | FaceLine]:
    """The users and faces of a file; raises PortableFileError, at the latest at its end, where it is damaged."""
    digest = hashlib.sha256(first)
    counts = {"user": 0, "face": 0}
    number = 1
    while data := file.readline(MAX_LINE):
        number += 1
        try:
            line = _LINE.validate_json(data)
        except ValidationError as error:
            raise PortableFileError(f"{path} is damaged in line {number}") from error
        if isinstance(line, EndLine):
            if line.sha256 != digest.hexdigest():
                raise PortableFileError(f"{path} is damaged: its SHA-256 is not what its last line says")
            if (counts["user"], counts["face"]) != (header.users, header.faces) or file.read(1):
                raise PortableFileError(f"{path} is damaged: its counts are not those of its header")
            return
        digest.update(data)
        counts[line.type] += 1
        if line.vector is not None and not _sound(line.vector, header.dimensions):
            raise PortableFileError(f"{path} is damaged in line {number}: the vector is none of length 1")
        yield line
    raise PortableFileError(f"{path} is cut off after line {number}")


def _sound(data: bytes, dimensions: int) -> bool:
    if len(data) != 4 * dimensions:
        return False
    length = float(np.linalg.norm(np.frombuffer(data, "<f4").astype(np.float64)))
    return abs(length - 1) < 1e-3


def _batches(lines: Iterator[UserLine | FaceLine]) -> Iterator[list[UserLine | FaceLine]]:
    """Up to BATCH lines of one kind."""
    batch: list[UserLine | FaceLine] = []
    for line in lines:
        if batch and (len(batch) == BATCH or line.type != batch[0].type):
            yield batch
            batch = []
        batch.append(line)
    if batch:
        yield batch


def _insert(database: Database, number: int, batch: list[UserLine | FaceLine], path: Path) -> None:
    try:
        with database.begin() as connection:
            common = {"collection_number": number, "change": next_change(connection, number)}
            new_users = [line for line in batch if isinstance(line, UserLine)]
            new_faces = [line for line in batch if isinstance(line, FaceLine)]
            if new_users:
                connection.execute(insert(users), [common | line.model_dump(exclude={"type"}) for line in new_users])
            if new_faces:
                numbers = _user_numbers(connection, number, {face.user_id for face in new_faces if face.user_id})
                connection.execute(insert(faces), [common | _face_row(face, numbers) for face in new_faces])
    except (IntegrityError, KeyError) as error:
        raise PortableFileError(
            f"{path} is damaged: an id stands in it twice, or a face belongs to a user that is not there"
        ) from error
    except CollectionMissingError as error:
        raise StoreError("the import took more than a day, and another one began meanwhile; try again") from error


def _user_numbers(connection: Connection, number: int, names: set[str]) -> dict[str, int]:
    if not names:
        return {}
    statement = select(users.c.user_id, users.c.id).where(
        users.c.collection_number == number, users.c.user_id.in_(sorted(names))
    )
    return {row.user_id: row.id for row in connection.execute(statement)}


def _face_row(face: FaceLine, numbers: dict[str, int]) -> dict[str, Any]:
    left, top, width, height = face.box
    return {
        **face.model_dump(exclude={"type", "box", "user_id"}),
        "user_number": numbers[face.user_id] if face.user_id is not None else None,
        "box_left": left,
        "box_top": top,
        "box_width": width,
        "box_height": height,
    }


def _finish(
    database: Database, number: int, header: Header, key: tuple[str, str, str], resource: str, path: Path
) -> None:
    """Count, and give the collection its name: now it is there."""
    account_id, region, collection_id = key
    of_user = select(func.count()).where(faces.c.user_number == users.c.id).scalar_subquery()
    mine = users.c.collection_number == number
    with database.begin() as connection:
        connection.execute(update(users).where(mine).values(face_count=of_user))
        odd = select(func.count()).where(mine, (users.c.face_count == 0) != users.c.vector.is_(None))
        if connection.execute(odd).scalar_one():
            raise PortableFileError(f"{path} is damaged: a user's vector is not that of the user's faces")
        named = {
            "account_id": account_id,
            "region": region,
            "collection_id": collection_id,
            "created_ms": header.created_ms,
            "face_count": header.faces,
            "user_count": header.users,
        }
        try:
            done = connection.execute(update(collections).where(collections.c.id == number).values(**named)).rowcount
        except IntegrityError as error:
            raise ExistsError(f"there is a collection {collection_id} already") from error
        if not done:
            raise StoreError("the import took more than a day, and another one began meanwhile; try again")
        Tags(database).put(connection, resource, header.tags)


def _remove_unfinished(database: Database) -> None:
    table = collections.c
    old = select(table.region, table.collection_id).where(
        table.account_id == UNFINISHED, table.created_ms < now_ms() - UNFINISHED_MS
    )
    with database.read() as connection:
        left = connection.execute(old).all()
    for row in left:
        _remove(database, row.region, row.collection_id)


def _remove(database: Database, region: str, hidden: str) -> None:
    number = Collections(database).delete(UNFINISHED, region, hidden, resource="")
    if number is not None:
        purge_collection(database, number)
