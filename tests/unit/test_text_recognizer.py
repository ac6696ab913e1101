"""Cutting strips, decoding the recogniser's answer, and where words stand."""

from typing import ClassVar

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.geometry import rotate_points
from openrek.vision.text import Word
from openrek.vision.text.detector import letter_bounds
from openrek.vision.text.direction import OrientedLine
from openrek.vision.text.recognizer import HEIGHT, Reading, Recognizer, cut_strip
from openrek.vision.text.sift import sift
from openrek.vision.text.words import split_words

CHARACTERS = "abc\u2028，　"  # a line separator, a full-width comma and an ideographic space among them


class Script:
    """Stands for the network: answers, for every strip, the classes written into its first row of pixels."""

    input_names = ("x",)
    metadata: ClassVar = {"character": "\n".join(CHARACTERS) + "\n"}

    def __init__(self) -> None:
        self.widths: list[tuple[int, int]] = []

    def run(self, feeds: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        (blob,) = feeds.values()
        self.widths.append((blob.shape[0], blob.shape[3]))
        codes = np.rint((blob[:, 0, 0, ::8] + 1) * 127.5).astype(int)
        padding = blob[:, 0, 0, ::8] == 0
        scores = np.full((*codes.shape, len(CHARACTERS) + 2), 0.01, np.float32)
        codes[padding] = 0
        np.put_along_axis(scores, codes[..., None], 0.9, axis=2)
        return [scores]


def strip(*codes: int) -> NDArray[np.uint8]:
    pixels = np.zeros((HEIGHT, 8 * len(codes), 3), np.uint8)
    pixels[:] = np.repeat(np.array(codes, np.uint8), 8)[None, :, None]
    return pixels


def read(*strips: NDArray[np.uint8]) -> list[Reading]:
    return Recognizer(Script()).read(strips)


def test_repeats_and_blanks_are_dropped() -> None:
    (reading,) = read(strip(0, 1, 1, 0, 1, 2, 2, 0))
    assert reading.text == "aab"
    assert reading.confidence == pytest.approx(0.9)
    np.testing.assert_allclose(reading.spans * 8, [[1, 3], [4, 5], [5, 7]], atol=1e-5)


def test_every_character_has_the_best_probability_of_its_own_columns() -> None:
    scores = np.full((1, 6, 4), 0.05, np.float32)
    for column, (code, probability) in enumerate([(1, 0.5), (1, 0.7), (0, 0.99), (2, 0.6), (0, 1.0), (0, 1.0)]):
        scores[0, column, code] = probability

    class Fixed:
        input_names = ("x",)
        metadata: ClassVar = {"character": "a\nb\n"}

        def run(self, feeds: object) -> list[NDArray[np.float32]]:
            return [scores]

    (reading,) = Recognizer(Fixed()).read([strip(0)])
    assert reading.text == "ab"
    np.testing.assert_allclose(reading.probabilities, [0.7, 0.6], atol=1e-6)


def test_the_characters_of_the_metadata_are_taken_line_by_line() -> None:
    assert read(strip(0, 1, 4, 2, 5, 7, 3))[0].text == "a\u2028b, c"


def test_full_width_forms_become_plain() -> None:
    assert read(strip(1, 6, 5, 2))[0].text == "a ,b"


def test_a_blank_strip_reads_as_nothing() -> None:
    (reading,) = read(strip(0, 0, 0))
    assert (reading.text, reading.confidence, reading.spans.shape) == ("", 0.0, (0, 2))


def test_no_strips_no_readings() -> None:
    assert read() == []


def test_what_is_read_does_not_depend_on_the_company() -> None:
    narrow, wide = strip(1, 0, 2), strip(*[1, 0, 3, 0] * 20)
    alone = read(narrow)[0]
    for reading in (read(wide, narrow, wide)[1], read(narrow, *[wide] * 40)[0]):
        assert reading.text == alone.text == "ab"
        np.testing.assert_array_equal(reading.spans, alone.spans)


def test_batches_are_bounded() -> None:
    script = Script()
    Recognizer(script).read([strip(*[1, 0] * 50)] * 30)
    assert sum(count for count, _ in script.widths) == 30
    assert all(count * width <= 2560 for count, width in script.widths)


# --- strips -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0, 30, 90, 180, -45])
@pytest.mark.parametrize("size", [20, 48, 200])
def test_a_strip_shows_the_rectangle_laid_level(angle: float, size: int) -> None:
    picture = np.zeros((1200, 1200, 3), np.uint8)
    quad = np.array([[-2 * size, -size / 2], [2 * size, -size / 2], [2 * size, size / 2], [-2 * size, size / 2]])
    quad = rotate_points(quad, angle) + np.float32(600)
    left = np.array([quad[0], (quad[0] + quad[1]) / 2, (quad[3] + quad[2]) / 2, quad[3]])
    cv2.fillPoly(picture, [np.round(left).astype(np.int32)], (255, 0, 0))
    level = cut_strip(picture, quad)
    assert level.shape == (HEIGHT, 4 * HEIGHT, 3)
    assert level[5:-5, 6 : 2 * HEIGHT - 6, 0].mean() > 245  # the left half is red, so nothing is mirrored or turned
    assert level[5:-5, 2 * HEIGHT + 6 : -6].mean() < 10
    assert level[..., 1:].max() == 0  # and channels keep their order


# --- words ------------------------------------------------------------------------------------------------------------


def line(
    text: str, columns: list[float], quad: list[list[float]], pixels: NDArray[np.uint8] | None = None
) -> OrientedLine:
    width = 400
    middles = np.array(columns, np.float32) / width
    spans = np.stack([middles - 0.005, middles + 0.005], axis=1)
    blank = np.full((HEIGHT, width, 3), 255, np.uint8)
    probabilities = np.linspace(0.8, 0.9, len(text), dtype=np.float32)
    return OrientedLine(
        np.array(quad, np.float32), blank if pixels is None else pixels, Reading(text, probabilities, spans)
    )


LEVEL = [[0.0, 0.0], [400.0, 0.0], [400.0, 48.0], [0.0, 48.0]]
LETTERS, MARGIN = letter_bounds(np.array(LEVEL, np.float32), 1.0)


def test_a_lone_word_fills_its_rectangle_but_for_the_margin() -> None:
    (word,) = split_words(line("abc", [60, 190, 330], LEVEL), 1.0)
    assert word.text == "abc"
    assert word.confidence == pytest.approx(0.85**2)
    assert 0 < MARGIN < 20
    assert 15 < LETTERS < 40
    top, bottom = 24 - LETTERS / 2, 24 + LETTERS / 2
    expected = [[MARGIN, top], [400 - MARGIN, top], [400 - MARGIN, bottom], [MARGIN, bottom]]
    np.testing.assert_allclose(word.quad, expected, atol=0.5)


def test_the_gap_between_two_words_is_where_the_strip_is_empty() -> None:
    pixels = np.full((HEIGHT, 400, 3), 255, np.uint8)
    for left in (20, 60, 100, 215, 255, 295):  # letters of two words; the gap is 125..215
        pixels[8:40, left : left + 25] = 0
    first, second = split_words(line("abc def", [32, 72, 112, 165, 228, 268, 308], LEVEL, pixels), 1.0)
    assert (first.text, second.text) == ("abc", "def")
    assert first.quad[1, 0] == pytest.approx(125, abs=2)
    assert second.quad[0, 0] == pytest.approx(215, abs=2)


def test_without_a_visible_gap_a_word_ends_half_a_character_from_its_last_middle() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (HEIGHT, 400, 3), np.uint8)
    first, second = split_words(line("ab cd", [50, 90, 150, 210, 250], LEVEL, noise), 1.0)
    assert 90 < first.quad[1, 0] < second.quad[0, 0] < 210


def test_characters_read_beyond_the_strip_do_no_harm() -> None:
    words = split_words(line("ab cd", [50, 90, 400, 400, 400], LEVEL), 1.0)
    assert [word.text for word in words] == ["ab", "cd"]
    assert all(word.quad[1, 0] > word.quad[0, 0] for word in words)


def test_a_word_does_not_reach_far_beyond_its_characters() -> None:
    (word,) = split_words(line("ab", [300, 340], LEVEL), 1.0)
    assert word.quad[0, 0] == pytest.approx(260, abs=1)
    assert word.quad[1, 0] == pytest.approx(380, abs=1)


def test_words_of_a_turned_line_are_turned() -> None:
    down = [[48.0, 0.0], [48.0, 400.0], [0.0, 400.0], [0.0, 0.0]]
    first, second = split_words(line("ab cd", [50, 90, 150, 210, 250], down), 1.0)
    np.testing.assert_allclose(first.quad[0], [24 + LETTERS / 2, 50 - 40], atol=1)  # a character before its middle
    assert first.quad[1, 1] < second.quad[0, 1]
    assert first.quad[0, 0] == pytest.approx(first.quad[1, 0])


def test_ideographs_and_letters_are_words_of_their_own() -> None:
    words = split_words(line("大AB", [40, 100, 140], LEVEL), 1.0)
    assert [word.text for word in words] == ["大", "AB"]


@pytest.mark.parametrize(
    ("read", "word"),
    [
        ("1ºr", "1er"),
        ("lºr", "1er"),
        ("Iºr", "1er"),
        ("2ⁿd", "2nd"),
        ("21ªt", "21st"),
        ("3º", "3º"),
        ("12ª", "12ª"),
        ("m²", "m²"),
        ("xⁿ", "xⁿ"),
        ("aºr", "aºr"),
        ("ler", "ler"),
    ],
)
def test_raised_letters_of_ordinals_are_as_they_are_typed(read: str, word: str) -> None:
    (found,) = split_words(line(read, [60 + 40 * i for i in range(len(read))], LEVEL), 1.0)
    assert found.text == word


def test_spaces_alone_are_no_words() -> None:
    assert split_words(line("  ", [100, 200], LEVEL), 1.0) == []


# --- what is no text --------------------------------------------------------------------------------------------------


def sifted(*pieces: str, confidence: float = 0.95) -> list[str]:
    quad = np.array(LEVEL, np.float32)
    return [
        " ".join(word.text for word in line)
        for line in sift([[Word(text, confidence, quad) for text in piece.split()] for piece in pieces])
    ]


def test_plain_text_passes() -> None:
    assert sifted("Café & Bar", "24/7", "No.", "A") == ["Café & Bar", "24/7", "No.", "A"]


@pytest.mark.parametrize("ornament", ["→", "•", "—", "...", "♥", "|"])
def test_ornaments_alone_do_not(ornament: str) -> None:
    assert sifted(ornament) == []


def test_icons_read_as_ideographs_are_dropped_unless_the_picture_holds_such_text() -> None:
    assert sifted("大 LES ARTS", "口") == ["LES ARTS"]
    assert sifted("大 LES ARTS", "出口") == ["大 LES ARTS", "出口"]


def test_floors() -> None:
    assert sifted("word", confidence=0.24) == []
    assert sifted("word", confidence=0.25) == ["word"]
    assert sifted("7", confidence=0.79) == []
    assert sifted("7", confidence=0.8) == ["7"]
