"""Words become lines in reading order; filters leave words out and lines are rebuilt."""

import numpy as np
import pytest

from openrek.vision.geometry import polygon_bounds, quad_angle, rotate_points, share_inside
from openrek.vision.text import Line, TextResult, Word, WordFilter
from openrek.vision.text.layout import arrange, filter_words


def word(text: str, left: float, top: float, width: float, height: float = 20, confidence: float = 0.9) -> Word:
    right, bottom = left + width, top + height
    quad = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return Word(text, confidence, quad)


def turned(item: Word, degrees: float) -> Word:
    return Word(item.text, item.confidence, rotate_points(item.quad, degrees, (500, 500)))


def texts(result: TextResult) -> list[str]:
    return [line.text for line in result.lines]


BUT, KEEP = word("but", 100, 100, 50), word("keep", 160, 100, 60)


def test_words_found_as_one_make_one_line() -> None:
    (line,) = arrange([[BUT, KEEP]]).lines
    assert line.text == "but keep"
    assert line.words == (BUT, KEEP)
    np.testing.assert_allclose(polygon_bounds(line.quad), [100, 100, 220, 120], atol=0.01)


def test_the_confidence_of_a_line_is_the_mean_of_its_words() -> None:
    line = arrange([[word("a", 0, 0, 20, confidence=0.953319), word("b", 25, 0, 20, confidence=0.981954)]]).lines[0]
    assert line.confidence == pytest.approx(0.9676365, abs=1e-9)
    single = arrange([[BUT]]).lines[0]
    assert (single.text, single.confidence) == (BUT.text, BUT.confidence)


@pytest.mark.parametrize("angle", [0, 8, 45, 90, -90, -60])
def test_neighbours_on_one_baseline_are_joined(angle: float) -> None:
    assert texts(arrange([[turned(KEEP, angle)], [turned(BUT, angle)]])) == ["but keep"]


@pytest.mark.parametrize("angle", [0, 45, 90, -90])
def test_the_quad_of_a_line_follows_its_words(angle: float) -> None:
    (line,) = arrange([[turned(BUT, angle), turned(KEEP, angle)]]).lines
    assert quad_angle(line.quad) == pytest.approx(angle, abs=1e-3)
    np.testing.assert_allclose(line.quad[0], turned(BUT, angle).quad[0], atol=0.01)
    assert all(share_inside(item.quad, line.quad) > 0.999 for item in line.words)


@pytest.mark.parametrize(
    "other",
    [
        word("far", 300, 100, 50),
        word("below", 160, 125, 50),
        word("LARGE", 160, 80, 120, 60),
        turned(word("tilted", 160, 100, 60), 20),
    ],
    ids=lambda item: item.text,
)
def test_what_does_not_continue_a_line_starts_another(other: Word) -> None:
    assert len(arrange([[BUT], [other]]).lines) == 2


def test_a_wide_gap_ends_a_line() -> None:
    assert texts(arrange([[word("left", 100, 100, 60), word("right", 300, 100, 60)]])) == ["left", "right"]


def test_three_pieces_are_chained() -> None:
    pieces = [[word("three", 230, 102, 60)], [word("one", 100, 100, 50)], [word("two", 165, 101, 50)]]
    assert texts(arrange(pieces)) == ["one two three"]


def test_lines_come_top_to_bottom_then_left_to_right() -> None:
    pieces = [[word(name, x, y, 60)] for name, x, y in
              [("d", 400, 205), ("b", 400, 97), ("e", 100, 300), ("c", 100, 200), ("a", 100, 100)]]  # fmt: skip
    assert texts(arrange(pieces)) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("angle", [90, -90, 30])
def test_a_turned_page_is_read_in_its_own_order(angle: float) -> None:
    pieces = [[turned(word(name, x, y, 60), angle)] for name, x, y in
              [("d", 400, 205), ("b", 400, 97), ("e", 100, 300), ("c", 100, 200), ("a", 100, 100)]]  # fmt: skip
    assert texts(arrange(pieces)) == ["a", "b", "c", "d", "e"]


def test_nothing_yields_nothing() -> None:
    assert arrange([]) == TextResult()
    assert arrange([[]]) == TextResult()


# --- filters ----------------------------------------------------------------------------------------------------------

PAGE = arrange([[word("weak", 0, 0, 100, 20, 0.5), word("strong", 110, 0, 100, 20, 0.75)], [word("x", 0, 100, 10, 10)]])


def filtered(**options: object) -> list[str]:
    return texts(filter_words(PAGE, 1000, 500, **options))


def test_no_filter_changes_nothing() -> None:
    assert filter_words(PAGE, 1000, 500) == PAGE


def test_lines_are_rebuilt_from_the_words_that_stay() -> None:
    result = filter_words(PAGE, 1000, 500, words=WordFilter(confidence=0.6))
    line = result.lines[0]
    assert (line.text, line.confidence) == ("strong", 0.75)
    np.testing.assert_array_equal(line.quad, line.words[0].quad)


@pytest.mark.parametrize(
    ("minimum", "stay"),
    [
        (WordFilter(confidence=0.75), ["strong", "x"]),
        (WordFilter(confidence=0.751), ["x"]),
        (WordFilter(confidence=0.99), []),
        (WordFilter(width=0.1), ["weak strong"]),
        (WordFilter(width=0.101), []),
        (WordFilter(height=0.02), ["weak strong", "x"]),
        (WordFilter(height=0.04), ["weak strong"]),
        (WordFilter(height=0.041), []),
    ],
)
def test_minima_are_inclusive(minimum: WordFilter, stay: list[str]) -> None:
    assert filtered(words=minimum) == stay


def test_a_printed_confidence_keeps_its_own_word_as_threshold() -> None:
    printed = float(np.float32(1 / 3 * 100))
    page = arrange([[word("third", 0, 0, 50, confidence=1 / 3)]])
    assert texts(filter_words(page, 100, 100, words=WordFilter(confidence=printed / 100))) == ["third"]


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def test_a_region_takes_words_with_more_than_half_their_area_inside() -> None:
    assert filtered(regions=[box(0, 0, 50, 500)]) == ["x"]  # exactly half of "weak" is not enough
    assert filtered(regions=[box(0, 0, 51, 50)]) == ["weak"]
    assert filtered(regions=[box(0, 0, 26, 50), box(26, 0, 52, 50)]) == []  # in any one region, not in all together
    assert filtered(regions=[box(0, 90, 20, 120), box(100, 0, 220, 30)]) == ["strong", "x"]


def test_a_region_may_be_any_polygon() -> None:
    triangle = np.array([[0, 0], [220, 0], [0, 30]], np.float32)
    assert filtered(regions=[triangle]) == ["weak"]


def test_the_largest_words_stay_first_among_equals_in_reading_order() -> None:
    small = [[word(f"s{n}", 0, 200 + 30 * n, 40, 12)] for n in range(5)]
    body = [[word(f"b{n}", 300, 200 + 30 * n, 40, 20 + n % 2)] for n in range(5)]
    page = arrange([*small, *body, [word("TITLE", 0, 0, 200, 60)]])
    assert texts(filter_words(page, 1000, 1000, limit=4)) == ["TITLE", "b0", "b1", "b2"]
    assert len(filter_words(page, 1000, 1000, limit=11).words) == 11


def test_equal_words_at_two_places_are_two_words() -> None:
    same = Line((BUT,), BUT.quad)
    twin = word("but", 100, 300, 50)
    result = filter_words(TextResult((same, Line((twin,), twin.quad))), 1000, 1000, limit=1)
    assert texts(result) == ["but"]
