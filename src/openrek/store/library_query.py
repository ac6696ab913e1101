"""The query language of the photo library.

dog beach               both, in any order; neighbours that are a name together ("traffic light") count as one
"golden retriever"      these words in this order
-cat                    without
colour:red color:teal   a dominant colour
text:exit text:"way in" read in the picture
faces:2 faces:3+        exactly two faces, three or more
flag:weapons            a moderation label
taken:2024 taken:2024-07-21
file:holiday            in the path of a file
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class QueryError(ValueError):
    """The query means nothing; the message says why."""


class Field(StrEnum):
    """Where a term is looked for."""

    ANY = "any"
    COLOUR = "colour"
    TEXT = "text"
    FACES = "faces"
    FLAG = "flag"
    TAKEN = "taken"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `words` is what was written, without field and quotes; `phrase`: it was quoted."""

    words: str
    field: Field = Field.ANY
    phrase: bool = False
    excluded: bool = False


_NAMES: Final = {field.value: field for field in Field if field is not Field.ANY} | {"color": Field.COLOUR}
_TERM: Final = re.compile(r'\s*(?P<minus>-?)(?:(?P<field>[A-Za-z]+):)?(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))')
_FACES: Final = re.compile(r"(\d{1,4})(\+?)")
_TAKEN: Final = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")


def parse(query: str) -> tuple[Term, ...]:
    """The terms of a query, in order. Raises QueryError for an empty one, an open quote or a value that cannot be."""
    if query.count('"') % 2:
        raise QueryError(f'the query {query!r} opens a quote (") that it does not close')
    terms: list[Term] = []
    position = 0
    while query[position:].strip():
        found = _TERM.match(query, position)
        if found is None:
            raise QueryError(f"the query cannot be read from {query[position:].strip()!r} on")
        terms.append(_term(found))
        position = found.end()
    if not terms:
        raise QueryError("the query is empty; say what to look for, as in: dog beach")
    return tuple(terms)


def _term(found: re.Match[str]) -> Term:
    quoted = found["quoted"]
    words = (quoted if quoted is not None else found["bare"]).strip()
    name = (found["field"] or "").lower()
    field = _NAMES.get(name, Field.ANY)
    if name and field is Field.ANY:
        raise QueryError(f"there is no field {name!r}; there are {', '.join(sorted(_NAMES))}")
    if not re.search(r"\w", words):
        raise QueryError(f"{found[0].strip()!r} has no word to look for")
    if field is Field.FACES and not _FACES.fullmatch(words):
        raise QueryError(f"faces:{words} is no number of faces; write faces:2 or faces:2+")
    if field is Field.TAKEN and not _TAKEN.fullmatch(words):
        raise QueryError(f"taken:{words} is no date; write taken:2024, taken:2024-07 or taken:2024-07-21")
    return Term(words, field, quoted is not None, bool(found["minus"]))


def face_range(words: str) -> tuple[int, int | None]:
    """Fewest and most faces (None: no end) of a `faces:` term.

    >>> face_range("2"), face_range("3+")
    ((2, 2), (3, None))
    """
    found = _FACES.fullmatch(words)
    if found is None:
        raise QueryError(f"faces:{words} is no number of faces")
    least = int(found[1])
    return least, None if found[2] else least


def tokens(words: str) -> list[str]:
    """The words that the full-text index makes of a text, in lower case.

    >>> tokens("Way-In 2")
    ['way', 'in', '2']
    """
    return [word.lower() for word in re.findall(r"[^\W_]+", words)]
