"""The query language of the photo library."""

import pytest

from openrek.store.library_query import Field, QueryError, Term, face_range, parse, tokens


def test_words_phrases_and_exclusions() -> None:
    assert parse('dog "golden retriever" -cat -"hot dog"') == (
        Term("dog"),
        Term("golden retriever", phrase=True),
        Term("cat", excluded=True),
        Term("hot dog", phrase=True, excluded=True),
    )


@pytest.mark.parametrize(
    ("query", "term"),
    [
        ("colour:red", Term("red", Field.COLOUR)),
        ("color:Teal", Term("Teal", Field.COLOUR)),
        ('text:"way in"', Term("way in", Field.TEXT, phrase=True)),
        ("-text:exit", Term("exit", Field.TEXT, excluded=True)),
        ("faces:2", Term("2", Field.FACES)),
        ("faces:3+", Term("3+", Field.FACES)),
        ("flag:weapons", Term("weapons", Field.FLAG)),
        ("taken:2024-07", Term("2024-07", Field.TAKEN)),
        ("FILE:holiday", Term("holiday", Field.FILE)),
        ("  café ", Term("café")),
        ("t-shirt", Term("t-shirt")),
    ],
)
def test_one_term(query: str, term: Term) -> None:
    assert parse(query) == (term,)


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ('dog "beach', "close"),
        ("size:big", "no field 'size'"),
        ("faces:many", "faces:2"),
        ("faces:-1", "faces:2"),
        ("taken:July", "taken:2024"),
        ("!!", "no word"),
        ('dog ""', "no word"),
        ("-", "no word"),
    ],
)
def test_what_means_nothing_is_said(query: str, part: str) -> None:
    with pytest.raises(QueryError, match=part):
        parse(query)


def test_numbers_of_faces() -> None:
    assert [face_range(words) for words in ("0", "2", "3+")] == [(0, 0), (2, 2), (3, None)]


def test_words_are_split_as_the_index_splits_them() -> None:
    assert tokens("Traffic-Light_2, Zoë") == ["traffic", "light", "2", "zoë"]
