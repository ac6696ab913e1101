"""The taxonomy: every label there is, its category, ancestors and aliases, and what sees it.

`taxonomy.csv` is the source. A row has the label's name, one of the forty categories, its direct parents, aliases,
whether it can carry boxes, and `seen_by`: evidence that means exactly this label, as `<source>:<class>` (`tagger:207`)
or `<source>` alone (`faces`). A label is also seen by whatever sees one of its descendants. Lists are separated by `|`.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

COLUMNS: Final = ("name", "category", "parents", "aliases", "has_boxes", "seen_by")

CATEGORIES: Final = (
    "Actions",
    "Animals and Pets",
    "Apparel and Accessories",
    "Beauty and Personal Care",
    "Buildings and Architecture",
    "Colors and Visual Composition",
    "Damage Detection",
    "Education",
    "Events and Attractions",
    "Everyday Objects",
    "Expressions and Emotions",
    "Food and Beverage",
    "Furniture and Furnishings",
    "Health and Fitness",
    "Hobbies and Interests",
    "Home and Indoors",
    "Home Appliances",
    "Kitchen and Dining",
    "Materials",
    "Medical",
    "Nature and Outdoors",
    "Offices and Workspaces",
    "Patterns and Shapes",
    "Performing Arts",
    "Person Description",
    "Plants and Flowers",
    "Popular Landmarks",
    "Profession",
    "Public Safety",
    "Religion",
    "Sports",
    "Symbols and Flags",
    "Technology and Computing",
    "Text and Documents",
    "Tools and Machinery",
    "Toys and Gaming",
    "Transport and Logistics",
    "Travel and Adventure",
    "Vehicles and Automotive",
    "Weapons and Military",
)

# what a client may write in a label filter; a name outside it could not be asked for
_NAME: Final = re.compile(r"[A-Za-z0-9àâèçñó'-_(). ]{1,50}")
_EVIDENCE: Final = re.compile(r"[a-z][a-z-]*(:[A-Za-z0-9_ -]+)?")


class TaxonomyError(ValueError):
    """The table breaks one of its rules; the message names the row."""


@dataclass(frozen=True, slots=True)
class Label:
    """One label. `parents` are the direct ones as written; `ancestors` all of them, alphabetical."""

    name: str
    category: str
    parents: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    has_boxes: bool = False
    seen_by: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()


class Taxonomy(Mapping[str, Label]):
    """The labels by name, in alphabetical order, with their ancestor closure.

    Raises TaxonomyError for: a name or alias that is written twice, a name that is someone's alias, an unknown parent,
    a cycle, a category outside the forty, a name that no filter could ask for, evidence that two labels claim.
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        given: dict[str, Label] = {}
        for label in labels:
            if label.name in given:
                raise TaxonomyError(f"{label.name!r} is written twice")
            given[label.name] = label
        _check(given)
        closure: dict[str, frozenset[str]] = {}
        for name in given:
            _close(name, given, closure, ())
        self._labels = {
            name: Label(
                name=name,
                category=given[name].category,
                parents=given[name].parents,
                aliases=given[name].aliases,
                has_boxes=given[name].has_boxes,
                seen_by=given[name].seen_by,
                ancestors=tuple(sorted(closure[name])),
            )
            for name in sorted(given)
        }

    @classmethod
    def read(cls, path: Path) -> "Taxonomy":
        """Read a table of COLUMNS in UTF-8; raises TaxonomyError as the class does, or for other columns."""
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise TaxonomyError(f"{path} has the columns {reader.fieldnames}, not {list(COLUMNS)}")
            return cls(_label(row) for row in reader)

    def __getitem__(self, name: str) -> Label:
        return self._labels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The place of each label in the alphabetical order; rows of `membership` follow it."""
        return {name: place for place, name in enumerate(self._labels)}

    @cached_property
    def by_evidence(self) -> Mapping[str, Label]:
        """The label that a piece of evidence (`tagger:207`, `faces`) means; its ancestors follow from it."""
        return {evidence: label for label in self._labels.values() for evidence in label.seen_by}

    @cached_property
    def sources(self) -> Mapping[str, frozenset[str]]:
        """For each label, the sources (`tagger`, `faces`) that can see it or one of its descendants."""
        found: dict[str, set[str]] = {name: set() for name in self._labels}
        for label in self._labels.values():
            for source in {evidence.partition(":")[0] for evidence in label.seen_by}:
                for name in (label.name, *label.ancestors):
                    found[name].add(source)
        return {name: frozenset(sources) for name, sources in found.items()}

    def with_descendants(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (labels,) with those of all descendants added, at most 1."""
        places, ancestors = self._kinship
        sums = scores.astype(np.float32, copy=True)
        np.add.at(sums, ancestors, scores[places])
        return np.minimum(sums, 1)

    @cached_property
    def _kinship(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of a label's place and an ancestor's, as two columns."""
        pairs = [
            (self.positions[one.name], self.positions[above])
            for one in self._labels.values()
            for above in one.ancestors
        ]
        columns = np.array(pairs, np.intp).reshape(-1, 2)
        return columns[:, 0], columns[:, 1]

    def membership(self, source: str, classes: int) -> NDArray[np.float32]:
        """(labels, classes) of 0 and 1: the numbered classes of a source that mean a label or a descendant of it."""
        matrix = np.zeros((len(self), classes), np.float32)
        for label in self._labels.values():
            rows = [self.positions[name] for name in (label.name, *label.ancestors)]
            for evidence in label.seen_by:
                kind, _, number = evidence.partition(":")
                if kind == source:
                    matrix[rows, int(number)] = 1
        return matrix


def _label(row: Mapping[str, str]) -> Label:
    def items(column: str) -> tuple[str, ...]:
        return tuple(part for part in row[column].split("|") if part)

    if row["has_boxes"] not in ("", "yes"):
        raise TaxonomyError(f"{row['name']!r} has_boxes is {row['has_boxes']!r}; write 'yes' or nothing")
    return Label(
        name=row["name"],
        category=row["category"],
        parents=items("parents"),
        aliases=items("aliases"),
        has_boxes=row["has_boxes"] == "yes",
        seen_by=items("seen_by"),
    )


def _check(labels: Mapping[str, Label]) -> None:
    owners: dict[str, str] = {}
    claims: dict[str, str] = {}
    for label in labels.values():
        if label.category not in CATEGORIES:
            raise TaxonomyError(f"{label.name!r} has the category {label.category!r}, which is none of the forty")
        for text in (label.name, *label.aliases):
            if not _NAME.fullmatch(text):
                raise TaxonomyError(f"{text!r} has a character that no filter accepts, or is longer than 50")
        for parent in label.parents:
            if parent not in labels:
                raise TaxonomyError(f"{label.name!r} has the unknown parent {parent!r}")
        for alias in label.aliases:
            if alias in labels:
                raise TaxonomyError(f"{alias!r} is a label and an alias of {label.name!r}")
            if alias in owners:
                raise TaxonomyError(f"{alias!r} is an alias of both {owners[alias]!r} and {label.name!r}")
            owners[alias] = label.name
        for evidence in label.seen_by:
            if not _EVIDENCE.fullmatch(evidence):
                raise TaxonomyError(f"{label.name!r}: seen_by {evidence!r} is not <source> or <source>:<class>")
            if evidence in claims:
                raise TaxonomyError(f"{evidence} is claimed by both {claims[evidence]!r} and {label.name!r}")
            claims[evidence] = label.name


def _close(
    name: str, labels: Mapping[str, Label], closure: dict[str, frozenset[str]], path: tuple[str, ...]
) -> frozenset[str]:
    if name in path:
        raise TaxonomyError(f"the parents go round in a circle: {' -> '.join((*path[path.index(name) :], name))}")
    if name not in closure:
        parents = labels[name].parents
        above = [_close(parent, labels, closure, (*path, name)) for parent in parents]
        closure[name] = frozenset(parents).union(*above)
    return closure[name]


@cache
def taxonomy() -> Taxonomy:
    """The table that ships with openrek, read once."""
    return Taxonomy.read(Path(__file__).with_name("taxonomy.csv"))
