"""DetectText's rules that need no model: parts of the request, parts of the answer."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from openrek.contract.errors import InvalidParameterException
from openrek.service.stored_video_text import Text
from openrek.service.text import region_polygons, text_detections, word_filter
from openrek.service.video_analysers import text as text_samples
from openrek.settings import Settings
from openrek.vision.geometry import share_inside
from openrek.vision.image import Picture
from openrek.vision.text import Line, TextResult, Word

PICTURE = Picture.of(np.zeros((500, 1000, 3), np.uint8))


def word(text: str, left: float, top: float, confidence: float) -> Word:
    quad = np.array([[left, top], [left + 100, top], [left + 100, top + 25], [left, top + 25]], np.float32)
    return Word(text, confidence, quad)


def line(*words: Word) -> Line:
    return Line(words, words[0].quad)


def test_lines_come_first_and_words_name_their_line() -> None:
    a, b, c = word("a", 100, 50, 0.953319), word("b", 250, 50, 0.981954), word("c", 100, 200, 0.5)
    answer = text_detections(TextResult((line(a, b), line(c))), PICTURE)
    rows = [(item["Id"], item["Type"], item["DetectedText"], item.get("ParentId")) for item in answer]
    assert rows == [
        (0, "LINE", "a b", None),
        (1, "LINE", "c", None),
        (2, "WORD", "a", 0),
        (3, "WORD", "b", 0),
        (4, "WORD", "c", 1),
    ]
    assert answer[0]["Confidence"] == pytest.approx(96.76365, abs=1e-5)
    assert answer[1]["Confidence"] == answer[4]["Confidence"] == pytest.approx(50)


def test_geometry_is_given_in_ratios() -> None:
    geometry = text_detections(TextResult((line(word("a", 100, 50, 1)),)), PICTURE)[0]["Geometry"]
    assert geometry["BoundingBox"] == pytest.approx({"Left": 0.1, "Top": 0.1, "Width": 0.1, "Height": 0.05})
    assert geometry["Polygon"][0] == pytest.approx({"X": 0.1, "Y": 0.1})
    assert geometry["Polygon"][2] == pytest.approx({"X": 0.2, "Y": 0.15})


def test_nothing_read_is_an_empty_list() -> None:
    assert text_detections(TextResult(), PICTURE) == []


def test_thresholds() -> None:
    assert word_filter({}).confidence == 0
    assert word_filter({}, 80).confidence == 0.8
    chosen = word_filter({"MinConfidence": 0, "MinBoundingBoxWidth": 0.2, "MinBoundingBoxHeight": 0.1}, 80)
    assert (chosen.confidence, chosen.width, chosen.height) == (0, 0.2, 0.1)


def test_regions_become_polygons() -> None:
    (box,) = region_polygons([{"BoundingBox": {"Left": 0.3, "Top": 0.1, "Width": 0.7, "Height": 0.5}}])
    np.testing.assert_allclose(box, [[0.3, 0.1], [1, 0.1], [1, 0.6], [0.3, 0.6]], atol=1e-6)
    (triangle,) = region_polygons([{"Polygon": [{"X": 0, "Y": 0}, {"X": 1, "Y": 0}, {"X": 0.5, "Y": 1}]}])
    assert triangle.shape == (3, 2)


def test_a_region_that_crosses_itself_is_all_that_it_encloses() -> None:
    crossed: Any = [{"Polygon": [{"X": x, "Y": y} for x, y in ((0, 0), (1, 1), (1, 0), (0, 1))]}]
    words = [[[x, 0.4], [x + 0.1, 0.4], [x + 0.1, 0.6], [x, 0.6]] for x in (0.1, 0.8)]
    assert all(any(share_inside(word, part) > 0.99 for part in region_polygons(crossed)) for word in words)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ({}, "neither"),
        ({"BoundingBox": {}, "Polygon": []}, "both"),
        ({"BoundingBox": {"Left": 0, "Top": 0, "Height": 1}}, "needs Width"),
        ({"BoundingBox": {"Left": 0, "Top": 0, "Width": 0, "Height": 1}}, "no area"),
        ({"BoundingBox": {"Left": 0.5, "Top": 0, "Width": 0.6, "Height": 1}}, "outside the picture"),
        ({"Polygon": [{"X": 0, "Y": 0}, {"X": 1, "Y": 1}]}, "2 points"),
        ({"Polygon": [{"X": 0, "Y": 0}, {"X": 1}, {"X": 1, "Y": 1}]}, "needs X and Y"),
        ({"Polygon": [{"X": 0, "Y": 0}, {"X": 0.5, "Y": 0.5}, {"X": 1, "Y": 1}]}, "no area"),
        ({"Polygon": [{"X": float("nan"), "Y": 0}, {"X": 0.5, "Y": 0.5}, {"X": 1, "Y": 0}]}, "outside the picture"),
    ],
)
def test_bad_regions_are_named_by_their_place(region: Any, reason: str) -> None:
    with pytest.raises(InvalidParameterException, match=f"region of interest 7.*{reason}"):
        region_polygons([{"BoundingBox": {"Left": 0, "Top": 0, "Width": 1, "Height": 1}}] * 6 + [region])


@pytest.mark.parametrize(
    ("filters", "least", "regions"),
    [
        ({}, 0.8, None),
        ({"WordFilter": {"MinBoundingBoxWidth": 0.5}}, 0.8, None),
        ({"WordFilter": {"MinConfidence": 0}, "RegionsOfInterest": []}, 0.0, None),
        (
            {"RegionsOfInterest": [{"BoundingBox": {"Left": 0.5, "Top": 0, "Width": 0.5, "Height": 1}}]},
            0.8,
            [[[500, 0], [1000, 0], [1000, 500], [500, 500]]],
        ),
    ],
)
def test_videos_keep_words_of_80_percent_and_more_by_default(
    monkeypatch: pytest.MonkeyPatch, filters: Any, least: float, regions: Any
) -> None:
    asked: dict[str, Any] = {}

    def read_text(picture: Picture, runtime: Any, **options: Any) -> TextResult:
        asked.update(options)
        return TextResult((line(word("a", 100, 50, 0.9)),))

    monkeypatch.setattr(text_samples, "read_text", read_text)
    services: Any = SimpleNamespace(
        settings=Settings(), look=lambda picture, **_: SimpleNamespace(picture=picture, runtime=None)
    )
    job: Any = SimpleNamespace(parameters={"Filters": filters})
    (analyser,) = Text().analysers(job, services)
    frame: Any = SimpleNamespace(picture=lambda longest: PICTURE)
    for _ in range(2):
        assert [item["Id"] for item in analyser.members(frame)] == [0, 1]
    assert asked["words"].confidence == least
    assert (asked["regions"] is None) == (regions is None)
    if regions is not None:
        np.testing.assert_allclose(asked["regions"], regions)
