"""Annotated pictures."""

import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision import draw
from openrek.vision.draw import MIN_SIDE, Mark, Swatch, annotate
from openrek.vision.image import Picture


def blank(width: int = 800, height: int = 600, value: int = 128) -> Picture:
    return Picture.of(np.full((height, width, 3), value, np.uint8))


def changed(picture: Picture, **parts: object) -> NDArray[np.bool_]:
    """Where the annotated picture differs from the plain one, at the same size."""
    drawn = np.asarray(annotate(picture, **parts))
    return np.asarray((drawn[: picture.height, : picture.width] != picture.pixels).any(axis=2))


def extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    y, x = np.nonzero(mask)
    return int(x.min()), int(y.min()), int(x.max()), int(y.max())


def test_nothing_to_draw() -> None:
    picture = blank()
    assert np.array_equal(np.asarray(annotate(picture)), picture.pixels)


def test_the_picture_itself_is_left_alone() -> None:
    picture = blank()
    annotate(picture, [Mark("x", box=(10, 10, 90, 90))], ["y"])
    assert (picture.pixels == 128).all()


def test_a_box_is_drawn_where_it_is() -> None:
    mask = changed(blank(), marks=[Mark(box=(200, 150, 500, 400))])
    left, top, right, bottom = extent(mask)
    assert np.abs(np.array([left, top, right, bottom]) - (200, 150, 500, 400)).max() <= 4
    assert not mask[200:350, 250:450].any()
    assert mask[275, 200]
    assert mask[400, 350]


def test_a_polygon_and_points() -> None:
    mask = changed(blank(), marks=[Mark(polygon=[[100, 100], [300, 160], [290, 200], [90, 140]])])
    assert mask[130, 200]
    assert not mask[105, 280]
    mask = changed(blank(), marks=[Mark(points=[[100, 100], [300, 200]])])
    assert mask[100, 100]
    assert mask[200, 300]
    assert mask.sum() < 300


def test_a_name_stands_above_its_box() -> None:
    bare = changed(blank(), marks=[Mark(box=(200, 150, 500, 400))])
    named = changed(blank(), marks=[Mark("Person 99.1", box=(200, 150, 500, 400))])
    plate = extent(named & ~bare)
    assert plate[3] <= 152
    assert plate[1] >= 120
    assert plate[0] >= 195


@pytest.mark.parametrize("box", [(-50, -40, 60, 50), (760, -10, 900, 60), (700, 560, 990, 700), (0, 0, 800, 600)])
def test_names_stay_inside(box: tuple[int, int, int, int]) -> None:
    bare = changed(blank(), marks=[Mark(box=box)])
    named = changed(blank(), marks=[Mark("Traffic Light 98.5", box=box)])
    left, top, right, bottom = extent(named & ~bare)
    assert right - left > 100  # the whole name, not a part cut off by the edge
    assert bottom - top >= 12


def test_a_name_too_long_is_shortened() -> None:
    image = annotate(blank(), [Mark("word " * 200, box=(100, 100, 200, 200))], ["entry " * 200])
    assert image.width < 2 * 800


def test_names_of_neighbours_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plates: list[draw.Rectangle] = []
    original = draw._draw_name

    def spy(*arguments: object) -> draw.Rectangle:
        plates.append(original(*arguments))
        return plates[-1]

    monkeypatch.setattr(draw, "_draw_name", spy)
    annotate(blank(), [Mark(f"Person {i}", box=(200 + 12 * i, 200 + 6 * i, 400, 400)) for i in range(5)])
    assert len(plates) == 5
    for i, a in enumerate(plates):
        for b in plates[i + 1 :]:
            assert draw._shared(a, b) == 0


def test_small_pictures_are_enlarged_and_large_ones_are_not() -> None:
    assert annotate(blank(90, 60), [Mark("a", box=(10, 10, 40, 40))]).size == (MIN_SIDE, MIN_SIDE * 2 // 3)
    assert annotate(blank(3000, 100)).size == (3000, 100)
    tiny = np.asarray(annotate(blank(90, 60), [Mark(box=(30, 20, 60, 40))]))
    assert (tiny[160:320, 236:242] != 128).any()


def test_letters_grow_with_the_picture() -> None:
    heights = []
    for width in (800, 4000):
        picture = blank(width, width * 3 // 4)
        box = (0.3 * width, 0.3 * width, 0.6 * width, 0.6 * width)
        plate = extent(changed(picture, marks=[Mark("A", box=box)]) & ~changed(picture, marks=[Mark(box=box)]))
        heights.append(plate[3] - plate[1])
    assert heights[1] > 3 * heights[0]


def test_marks_of_one_key_share_a_colour() -> None:
    image = np.asarray(
        annotate(
            blank(),
            [
                Mark(box=(50, 50, 150, 150), colour_key="a"),
                Mark(box=(250, 50, 350, 150), colour_key="b"),
                Mark(box=(450, 50, 550, 150), colour_key="a"),
            ],
        )
    )
    first, second, third = (image[100, x] for x in (50, 250, 450))
    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)


def test_the_legend_stands_beside_the_picture() -> None:
    picture = blank()
    image = annotate(picture, legend=["Outdoors 98.1", Swatch("teal 40 %", (0, 128, 128))])
    pixels = np.asarray(image)
    assert image.height == 600
    assert image.width > 900
    assert np.array_equal(pixels[:600, :800], picture.pixels)
    side = pixels[:, 800:]
    assert (side == (0, 128, 128)).all(axis=2).sum() > 80
    assert (side == draw._PAPER).all(axis=2).sum() > 100


def test_a_long_legend_makes_the_canvas_grow() -> None:
    image = annotate(blank(), legend=[f"Label {i}" for i in range(100)])
    assert image.height > 1500
    last = np.asarray(image)[-60:, 800:]
    assert (last != draw._SIDEBAR).any()


def test_letters_of_other_alphabets_differ() -> None:
    """A font without a letter would draw the same stand-in for each."""
    letters = draw._Letters(24)

    def ink(text: str) -> bytes:
        canvas = np.zeros((40, 60, 3), np.uint8)
        letters.write(canvas, text, (4, 4), (255, 255, 255))
        assert canvas.any()
        return canvas.tobytes()

    for alphabet in ("eéèêëEÉ", "aàâäåæã", "oóôöøœ", "nñcçsßš", "ПБЖЯйё", "αβλΩ", "€£°…–"):
        assert len({ink(letter) for letter in alphabet}) == len(alphabet)
        assert ink("\uffff") not in {ink(letter) for letter in alphabet}


def test_names_in_several_rows_become_one() -> None:
    letters = draw._Letters(20)
    assert letters.shortened("two\nrows", 1000) == "two rows"
    assert letters.shortened("a long name", 60).endswith("…")
    assert letters.width(letters.shortened("a long name", 60)) <= 60
