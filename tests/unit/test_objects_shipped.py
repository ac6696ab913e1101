"""The detector this project trained, on real photos."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from openrek.vision import geometry
from openrek.vision.image import Picture, load_image
from openrek.vision.objects import detect_objects
from openrek.vision.runtime import Runtime


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with Runtime(cache=tmp_path_factory.mktemp("cache"), offline=True, threads=1) as runtime:
        yield runtime


@pytest.mark.parametrize(
    ("photo", "name", "box"),
    [("astronaut", "person", (0.05, 0.0, 0.9, 1.0)), ("chelsea", "cat", (0.1, 0.0, 1.0, 1.0))],
)
def test_a_large_thing_is_found_where_it_is(
    runtime: Runtime, photos: dict[str, Path], photo: str, name: str, box: tuple[float, ...]
) -> None:
    picture = load_image(photos[photo])
    found = detect_objects(picture, runtime)
    assert found.named()[0] == name
    assert found.scores[0] > 0.4
    sides = np.array([picture.width, picture.height, picture.width, picture.height])
    assert geometry.iou(found.boxes[:1], np.array([box]) * sides)[0, 0] > 0.5


def test_one_pass_serves_labels_equipment_and_moderation(runtime: Runtime) -> None:
    found = detect_objects(Picture(np.full((90, 160, 3), 128, np.uint8), 160, 90), runtime, least=0.3)
    assert len(found) == 0
    assert {"person", "car", "bus", "train", "cat"} <= set(found.names)
    assert {"hard_hat", "head_bare", "face_mask", "face_bare", "safety_vest", "traffic_cone"} <= set(found.names)
    assert {"pistol", "knife", "long_gun", "cigarette", "playing_card", "fire", "smoke"} <= set(found.names)


def test_probabilities_fall_and_boxes_lie_within_the_picture(runtime: Runtime, photos: dict[str, Path]) -> None:
    picture = load_image(photos["rocket"])
    found = detect_objects(picture, runtime, least=0.01)
    assert (np.diff(found.scores) <= 0).all()
    assert (found.scores >= 0.01).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, [0, 2]] <= picture.width).all()
    assert (found.boxes[:, [1, 3]] <= picture.height).all()
