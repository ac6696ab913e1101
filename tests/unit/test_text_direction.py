"""Which way up lines are read, with a recogniser whose readings are given by where the strip came from."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.geometry import quad_angle, rotate_points
from openrek.vision.text.direction import page_angle, read_lines
from openrek.vision.text.recognizer import Reading

Answer = Callable[[float], tuple[str, float]]
PICTURE = np.zeros((1000, 1000, 3), np.uint8)
PICTURE[..., 0] = np.linspace(0, 255, 1000)[None]  # red grows to the right, green downwards:
PICTURE[..., 1] = np.linspace(0, 255, 1000)[:, None]  # a strip tells its direction


class Script:
    """Answers by the direction in which a strip was cut, found from its colours."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.looks: list[float] = []

    def read(self, strips: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        readings = []
        for strip in strips:
            part = strip[8:-8].astype(float).mean(axis=0)
            along = part[-1, :2] - part[0, :2]
            angle = float(np.rad2deg(np.arctan2(along[1], along[0])))
            self.looks.append(angle)
            text, confidence = self.answer(angle)
            count = len(text)
            readings.append(Reading(text, np.full(count, confidence, np.float32), np.zeros((count, 2), np.float32)))
        return readings


def near(angle: float, other: float) -> bool:
    return abs((angle - other + 180) % 360 - 180) < 30


def upright_at(direction: float, text: str = "letters", good: float = 0.98, bad: float = 0.6) -> Answer:
    return lambda angle: (text, good if near(angle, direction) else bad)


def rectangle(
    width: float, height: float, angle: float = 0, centre: tuple[float, float] = (500, 500)
) -> NDArray[np.float32]:
    """As the detector gives it: the first edge along the longer side, pointing right."""
    w, h = max(width, height) / 2, min(width, height) / 2
    quad = rotate_points([[-w, -h], [w, -h], [w, h], [-w, h]], angle + (90 if height > width else 0))
    if quad[1, 0] < quad[0, 0] - 1e-3:
        quad = np.roll(quad, -2, axis=0)
    return quad + np.float32(centre)


def read(answer: Answer, *quads: NDArray[np.float32]) -> tuple[list[float], Script]:
    script = Script(answer)
    lines = read_lines(PICTURE, list(quads), script)
    return [line.angle for line in lines], script


@pytest.mark.parametrize("angle", [0, 15, -40, 60, 85, -85])
def test_a_confident_line_is_looked_at_once(angle: float) -> None:
    found, script = read(upright_at(angle), rectangle(400, 60, angle))
    assert found == [pytest.approx(angle, abs=1)]
    assert len(script.looks) == 1


@pytest.mark.parametrize("angle", [90, -90, 100, 180, 150, -135])
def test_lines_are_read_whichever_way_they_run(angle: float) -> None:
    found, _ = read(upright_at(angle), rectangle(400, 60, angle))
    assert len(found) == 1
    assert abs((found[0] - angle + 180) % 360 - 180) < 1


def test_upside_down_lines_that_read_well_follow_the_page() -> None:
    """In a picture that stands on its head, "SOS" is upside down too although it reads the same."""

    def answer(angle: float) -> tuple[str, float]:
        return answers.pop(0)

    # first looks, then second looks: two long lines that are bad as they lie, one that ties
    answers = [("sdrawkcab", 0.6), ("nwod", 0.6), ("SOS", 0.97), ("straight", 0.99), ("down", 0.99), ("SOS", 0.965)]
    quads = [rectangle(300, 50, 0, (500, y)) for y in (200.0, 400.0, 600.0)]
    assert [abs(angle) for angle in read(answer, *quads)[0]] == pytest.approx([180] * 3, abs=1)


def test_a_page_that_reads_well_upside_down_is_not_trusted() -> None:
    def answer(angle: float) -> tuple[str, float]:
        return answers.pop(0)

    answers = [("unsure line", 0.6), ("CONERT", 0.975), ("a certain line", 0.99), ("CONVERT", 0.9999)]
    quads = [rectangle(400, 50, 0, (500, 300)), rectangle(300, 50, 0, (500, 600))]
    assert [abs(angle) for angle in read(answer, *quads)[0]] == pytest.approx([180, 180], abs=1)


@pytest.mark.parametrize(("width", "height"), [(50, 60), (60, 50), (30, 50)])
def test_squarish_text_is_read_level(width: float, height: float) -> None:
    found, _ = read(upright_at(0, "7"), rectangle(width, height))
    assert found == [pytest.approx(0, abs=1)]


@pytest.mark.parametrize("page", [90, -90])
def test_squarish_text_is_read_as_the_page_runs(page: float) -> None:
    quads = [rectangle(400, 50, page, (300, 500)), rectangle(60, 50, 0, (600, 500))]
    found, _ = read(upright_at(page, "words", bad=0.9), *quads)
    assert found == [pytest.approx(page, abs=1), pytest.approx(page, abs=1)]


def test_squarish_text_alone_is_found_sideways() -> None:
    found, _ = read(upright_at(90, "du", bad=0.4), rectangle(60, 50))
    assert found == [pytest.approx(90, abs=1)]


def test_letters_on_their_side_are_not_taken_for_an_ideograph() -> None:
    """Two faint letters in a squarish rectangle: turned by a quarter they look like a Chinese character."""

    def answer(angle: float) -> tuple[str, float]:
        return ("IR", 0.76) if near(angle, 0) else ("园", 0.98) if near(angle, 90) or near(angle, -90) else ("JI", 0.3)

    script = Script(answer)
    (line,) = read_lines(PICTURE, [rectangle(64, 60)], script)
    assert line.reading.text == "IR"
    assert line.angle == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    ("sure", "angle", "confidence", "looks"),
    [
        (3, 0, 0.92, 1),
        (3, 0, 0.88, 2),
        (2, 0, 0.92, 2),
        (3, 80, 0.92, 2),
    ],
    ids=["settled", "doubtful", "too few", "across"],
)
def test_a_short_line_is_looked_at_once_where_the_direction_is_settled(
    sure: int, angle: float, confidence: float, looks: int
) -> None:
    def answer(_: float) -> tuple[str, float]:
        return answers.pop(0)

    quads = [rectangle(300, 40, 0, (300, 100.0 + 100 * row)) for row in range(sure)]
    answers = [("letters", 0.99)] * sure + [("bus", confidence), ("snq", 0.4)]
    _, script = read(answer, *quads, rectangle(120, 40, angle, (700, 500)))
    assert len(script.looks) == sure + looks


@pytest.mark.parametrize(("sure", "looks"), [(3, 1), (2, 2)])
def test_so_is_squarish_text(sure: int, looks: int) -> None:
    def answer(_: float) -> tuple[str, float]:
        return answers.pop(0)

    quads = [rectangle(300, 40, 0, (300, 100.0 + 100 * row)) for row in range(sure)]
    answers = [("letters", 0.99)] * sure + [("7", 0.92), ("L", 0.4)]
    _, script = read(answer, *quads, rectangle(50, 60, 0, (700, 500)))
    assert len(script.looks) == sure + looks


def test_nothing_read_is_no_line() -> None:
    assert read(lambda _: ("", 0.0), rectangle(400, 50), rectangle(50, 50))[0] == []


def test_the_page_angle_is_weighed_by_characters() -> None:
    script = Script(lambda angle: ("four" if near(angle, 90) else "twentytwo", 0.98))
    quads = [rectangle(400, 50, 0, (500, 200)), rectangle(300, 50, 80, (500, 600))]
    lines = read_lines(PICTURE, quads, script)
    assert abs(page_angle(lines)) < 60
    assert page_angle([]) == 0
    assert quad_angle(lines[0].quad) == pytest.approx(0, abs=1)
