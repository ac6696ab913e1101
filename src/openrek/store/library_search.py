"""Searching the photo library: which pictures a query means, the best first.

Every term gives each picture an evidence 0..1, and a picture must have some of every term. A label counts with its
confidence. Its ancestors are labels of the picture too, and an alias is as good as a name: `automobile` finds cars. A
word that is a name by itself means that name alone, so `dog` does not find hot dogs; a word that is none finds the
names that hold it. Neighbouring words that are a name together count as this name, or each by itself, whatever is
surer. What the picture says and how its file is called count less than what it shows.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from openrek.store.library import Kind, Library
from openrek.store.library_query import Field, Term, face_range, parse, tokens

PART_OF_NAME: Final = 0.6
READ: Final = 0.7
IN_FILE_NAME: Final = 0.5
FULL_COLOUR: Final = 0.4
"""A colour on this share of the picture, or more, counts fully."""
LEAST: Final = 0.3
"""Labels below this confidence are not kept."""
_LONGEST_NAME: Final = 4  # words


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a picture: how much, 0..1, and what it is, for people."""

    weight: float
    why: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture found. `score` 0..1; `why`: what each term found; `paths`: its files; `labels` and `flags` (moderation
    labels): name and confidence 0..1, the surest first."""

    score: float
    why: tuple[str, ...]
    paths: tuple[Path, ...]
    width: int
    height: int
    taken: str | None
    faces: int
    labels: tuple[tuple[str, float], ...]
    flags: tuple[tuple[str, float], ...]
    text: str


Found = dict[int, Evidence]


def search(library: Library, query: str, *, limit: int = 40, least: float = LEAST) -> tuple[list[Hit], int]:
    """The best `limit` pictures of a query, best first, and how many there are in all.

    least: labels count from this confidence, 0..1. Raises QueryError and StoreError.
    """
    terms = parse(query)
    wanted = [term for term in terms if not term.excluded]
    found = _all(_units(library, wanted, least)) if wanted else _everything(library)
    for term in terms:
        if term.excluded and found:
            for picture in _term(library, term, least):
                found.pop(picture, None)
    order = sorted(found, key=lambda picture: (-found[picture].weight, picture))[:limit]
    return [_hit(library, picture, found[picture]) for picture in order], len(found)


def unknown_words(library: Library, query: str, *, least: float = LEAST) -> dict[str, list[str]]:
    """The terms of a query that nothing in the library matches, each with up to three names that are written alike."""
    strange = [term for term in parse(query) if not term.excluded and not _term(library, term, least)]
    names = {name.lower(): name for (name,) in library.rows("SELECT name FROM names")} if strange else {}
    return {
        term.words: [names[close] for close in get_close_matches(term.words.lower(), names, 3, 0.75)]
        for term in strange
    }


# --- terms ------------------------------------------------------------------------------------------------------------


def _units(library: Library, terms: Sequence[Term], least: float) -> Iterator[Found]:
    """What each term finds; neighbours that are a name together are one unit."""
    position = 0
    while position < len(terms):
        length = _joined(library, terms, position)
        parts = _all(_term(library, term, least) for term in terms[position : position + length])
        if length > 1:
            name = " ".join(term.words for term in terms[position : position + length])
            whole = _seen(library, _named(library, name), least, 1.0)
            parts = _either([whole, parts])
        yield parts
        position += length


def _joined(library: Library, terms: Sequence[Term], start: int) -> int:
    """How many terms from `start` on make one name; 1 where no more do."""
    plain = 0
    for term in terms[start : start + _LONGEST_NAME]:
        if term.field is not Field.ANY or term.phrase:
            break
        plain += 1
    for length in range(plain, 1, -1):
        if _named(library, " ".join(term.words for term in terms[start : start + length])):
            return length
    return 1


def _term(library: Library, term: Term, least: float) -> Found:
    match term.field:
        case Field.COLOUR:
            return _colour(library, term.words)
        case Field.TEXT:
            return _written(library, "text", term.words, 1.0)
        case Field.FILE:
            return _written(library, "files", term.words, 1.0)
        case Field.FLAG:
            return _seen(library, _holding(library, term.words, Kind.FLAG), least, 1.0)
        case Field.FACES:
            least_faces, most_faces = face_range(term.words)
            rows = library.rows(
                "SELECT id, faces FROM pictures WHERE faces >= ? AND (? IS NULL OR faces <= ?)",
                (least_faces, most_faces, most_faces),
            )
            return {picture: Evidence(1.0, f"{faces} face{'s' * (faces != 1)}") for picture, faces in rows}
        case Field.TAKEN:
            rows = library.rows("SELECT id, taken FROM pictures WHERE taken GLOB ?", (term.words + "*",))
            return {picture: Evidence(1.0, f"taken {taken[:10]}") for picture, taken in rows}
        case Field.ANY:
            return _anything(library, term.words, least)


def _anything(library: Library, words: str, least: float) -> Found:
    exact = _named(library, words)
    colour = _colour(library, words) if len(tokens(words)) == 1 else {}
    shown = _seen(library, exact, least, 1.0)
    if not exact and not colour:
        shown = _seen(library, _holding(library, words, Kind.LABEL, Kind.FLAG), least, PART_OF_NAME)
    written = [_written(library, "text", words, READ), _written(library, "files", words, IN_FILE_NAME)]
    return _either([shown, colour, *written])


def _named(library: Library, words: str) -> list[int]:
    """Labels and flags that have exactly this name or alias, up to word endings."""
    rows = library.rows(
        "SELECT DISTINCT thing FROM names WHERE names MATCH ? AND words = ?",
        (_phrase("name", words), len(tokens(words))),
    )
    kinds = library.rows("SELECT id FROM things WHERE kind <> ?", (Kind.COLOUR,))
    allowed = {number for (number,) in kinds}
    return [thing for (thing,) in rows if thing in allowed]


def _holding(library: Library, words: str, *kinds: Kind) -> list[int]:
    """Things of these kinds with the words somewhere in a name or alias."""
    rows = library.rows(
        "SELECT DISTINCT things.id, things.kind FROM names JOIN things ON things.id = names.thing WHERE names MATCH ?",
        (_phrase("name", words),),
    )
    return [thing for thing, kind in rows if kind in kinds]


def _seen(library: Library, things: Iterable[int], least: float, weight: float) -> Found:
    found: Found = {}
    for thing in things:
        ((name,),) = library.rows("SELECT name FROM things WHERE id = ?", (thing,))
        for picture, confidence in library.rows(
            "SELECT picture, confidence FROM seen WHERE thing = ? AND confidence >= ?", (thing, least)
        ):
            evidence = Evidence(confidence * weight, f"{name} {confidence:.0%}")
            if picture not in found or found[picture].weight < evidence.weight:
                found[picture] = evidence
    return found


def _colour(library: Library, words: str) -> Found:
    name = words.lower().replace(" ", "")
    name = {"gray": "grey"}.get(name, name)
    rows = library.rows(
        "SELECT picture, confidence FROM seen JOIN things ON things.id = thing WHERE kind = ? AND name = ?",
        (Kind.COLOUR, name),
    )
    return {picture: Evidence(min(1.0, share / FULL_COLOUR), f"{name} {share:.0%}") for picture, share in rows}


def _written(library: Library, column: str, words: str, weight: float) -> Found:
    number = ("text", "files").index(column)
    rows = library.rows(
        "SELECT rowid, snippet(words, ?, '', '', '…', 8) FROM words WHERE words MATCH ?",
        (number, _phrase(column, words)),
    )
    what = {"text": "says", "files": "file"}[column]
    return {picture: Evidence(weight, f"{what} “{' '.join(part.split())}”") for picture, part in rows}


def _phrase(column: str, words: str) -> str:
    """A full-text question for these words in this order."""
    return f'{column} : "' + " ".join(tokens(words)) + '"'


# --- putting evidence together ----------------------------------------------------------------------------------------


def _all(parts: Iterable[Found]) -> Found:
    """Pictures that every part has, with the mean of the weights."""
    units = list(parts)
    common = set(units[0]).intersection(*units[1:])
    return {
        picture: Evidence(
            sum(unit[picture].weight for unit in units) / len(units),
            "\n".join(unit[picture].why for unit in units),
        )
        for picture in common
    }


def _either(parts: Iterable[Found]) -> Found:
    """Pictures that any part has, with the strongest evidence."""
    best: Found = {}
    for part in parts:
        for picture, evidence in part.items():
            if picture not in best or best[picture].weight < evidence.weight:
                best[picture] = evidence
    return best


def _everything(library: Library) -> Found:
    return {picture: Evidence(1.0, "") for (picture,) in library.rows("SELECT id FROM pictures")}


def _hit(library: Library, picture: int, evidence: Evidence) -> Hit:
    ((width, height, taken, faces),) = library.rows(
        "SELECT width, height, taken, faces FROM pictures WHERE id = ?", (picture,)
    )
    paths = library.rows("SELECT path FROM files WHERE picture = ? ORDER BY path", (picture,))
    text = library.rows("SELECT text FROM words WHERE rowid = ?", (picture,))
    seen = library.rows(
        "SELECT kind, name, confidence FROM seen JOIN things ON things.id = thing WHERE picture = ?"
        " ORDER BY confidence DESC, name",
        (picture,),
    )
    return Hit(
        score=evidence.weight,
        why=tuple(line for line in evidence.why.split("\n") if line),
        paths=tuple(Path(os.fsdecode(path)) for (path,) in paths),
        width=width,
        height=height,
        taken=taken,
        faces=faces,
        labels=tuple((name, confidence) for kind, name, confidence in seen if kind == Kind.LABEL),
        flags=tuple((name, confidence) for kind, name, confidence in seen if kind == Kind.FLAG),
        text=text[0][0] if text else "",
    )
