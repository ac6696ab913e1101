"""The gallery of well-known people as one file, and back: docs/celebrities.md has the format.

JSON Lines in UTF-8: a header, the people, and an end line with the SHA-256 of all bytes before it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal

import numpy as np
from pydantic import Field, ValidationError

from openrek.cli.celebrity_files import without_scheme
from openrek.cli.common import UserError
from openrek.store.celebrities import MAX_URLS, Celebrities, Celebrity, Person, Reference
from openrek.store.portable_lines import Line, Vector

FORMAT: Final = "openrek-celebrities"
VERSION: Final = 2


class Header(Line):
    """The first line. people: how many there are. Files of version 1 have no end line."""

    format: Literal["openrek-celebrities"] = FORMAT
    version: Literal[1, 2] = VERSION
    people: Annotated[int, Field(ge=0)]


class ReferenceLine(Line):
    """A photo of a person: SHA-256 of its bytes, the vector of its face, where it is from and its terms."""

    photo: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    model_version: Annotated[str, Field(pattern=r"^[0-9.]{1,32}$")]
    vector: Vector
    source: str | None = None
    licence: str | None = None
    attribution: str | None = None


class PersonLine(Line):
    """A person with references."""

    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,22}$")]
    name: str
    urls: Annotated[list[str], Field(default_factory=list, max_length=MAX_URLS)]
    gender: str | None = None
    wikidata: str | None = None
    source: str | None = None
    licence: str | None = None
    consent: str | None = None
    references: list[ReferenceLine]


class EndLine(Line):
    """The last line. sha256: of all bytes before it, in hexadecimal digits."""

    type: Literal["end"] = "end"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


# --- export -----------------------------------------------------------------------------------------------------------


def write_gallery(people: Celebrities, file: BinaryIO) -> int:
    """Write everyone with all vectors; how many they are."""
    digest = hashlib.sha256()

    def put(line: Line) -> None:
        data = line.model_dump_json(exclude_none=True).encode() + b"\n"
        digest.update(data)
        file.write(data)

    everyone = people.everyone()
    put(Header(people=len(everyone)))
    for celebrity in everyone:
        put(_exported(celebrity, people.references(celebrity.id)))
    put(EndLine(sha256=digest.hexdigest()))
    return len(everyone)


def _exported(celebrity: Celebrity, references: Iterable[Reference]) -> PersonLine:
    person = celebrity.person
    return PersonLine(
        id=celebrity.id,
        name=person.name,
        urls=list(person.urls),
        gender=person.gender,
        wikidata=person.wikidata,
        source=person.source,
        licence=person.licence,
        consent=person.consent,
        references=[
            ReferenceLine(
                photo=reference.photo,
                model_version=reference.model_version,
                vector=reference.vector.astype("<f4").tobytes(),
                source=reference.source,
                licence=reference.licence,
                attribution=reference.attribution,
            )
            for reference in references
        ],
    )


# --- import -----------------------------------------------------------------------------------------------------------


def read_gallery(path: Path, lengths: Mapping[str, int]) -> list[tuple[str, Person, list[Reference]]]:
    """The people of an exported gallery: id, facts, references; all of them, proved, or none.

    lengths: how many numbers a vector has, by model version; vectors of versions that are not in it need only have one
    length. Raises UserError that names the line.
    """
    try:
        with path.open("rb") as file:
            lines = file.readlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    header = _header(lines[0] if lines else b"", path)
    if header.version > 1:
        lines = _proved(lines, path)
    if len(lines) - 1 != header.people:
        raise UserError(f"{path} ends after {len(lines) - 1} of {header.people} people: it was cut off")
    expected = dict(lengths)
    found = []
    for number, line in enumerate(lines[1:], 2):
        try:
            found.append(_imported(PersonLine.model_validate_json(line), expected))
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: cannot be read: {_first(error)}") from error
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
    return found


def _header(line: bytes, path: Path) -> Header:
    try:
        return Header.model_validate_json(line)
    except ValidationError as error:
        wrong = {problem["loc"][0]: problem["input"] for problem in error.errors() if problem["loc"]}
        if "version" in wrong and "format" not in wrong:
            raise UserError(
                f"{path} has version {wrong['version']} of the format; this openrek reads 1 and {VERSION}"
            ) from error
        raise UserError(f"{path} is no exported gallery: its first line must say {FORMAT}") from error


def _proved(lines: list[bytes], path: Path) -> list[bytes]:
    """The lines before the end line, which has to be there and to tell their SHA-256."""
    try:
        end = EndLine.model_validate_json(lines[-1])
    except ValidationError as error:
        raise UserError(f"{path} was cut off: it has no end line") from error
    if end.sha256 != hashlib.sha256(b"".join(lines[:-1])).hexdigest():
        raise UserError(f"{path} is damaged: its SHA-256 is not what its last line says")
    return lines[:-1]


def _imported(line: PersonLine, lengths: dict[str, int]) -> tuple[str, Person, list[Reference]]:
    person = Person(
        line.name,
        tuple(without_scheme(url) for url in line.urls),
        line.gender,
        line.wikidata,
        line.source,
        line.licence,
        line.consent,
    )
    return line.id, person, [_reference(reference, person, lengths) for reference in line.references]


def _reference(line: ReferenceLine, person: Person, lengths: dict[str, int]) -> Reference:
    """A reference whose vector can be compared with others of its model version. Raises ValueError."""
    vector = np.frombuffer(line.vector[: len(line.vector) // 4 * 4], "<f4")
    length = lengths.setdefault(line.model_version, len(vector))
    if len(line.vector) != 4 * length:
        raise ValueError(
            f"a vector of {person.name} has {len(line.vector)} bytes; model version {line.model_version} needs "
            f"{4 * length}"
        )
    if not abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) < 1e-3:
        raise ValueError(f"a vector of {person.name} is none of length 1")
    given: dict[str, Any] = line.model_dump(include={"source", "licence", "attribution"})
    return Reference(line.photo, line.model_version, np.array(vector, np.float32), **given)


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])
