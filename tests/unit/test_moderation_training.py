"""The recipe of moderation: how a head and the detector's box are put together."""

import numpy as np
import pytest
from training.moderation.fusion import LEAST, MOST, logistic, raised, weight_of


def test_a_box_only_adds_and_not_without_end() -> None:
    boxes = raised(np.array([0.0, LEAST, 0.5, MOST, 1.0], np.float32))
    assert boxes[:2] == pytest.approx([0, 0], abs=1e-6)
    assert boxes[2] == pytest.approx(np.log(19), abs=1e-5)
    assert boxes[3] == boxes[4] > boxes[2]


def test_the_regression_finds_the_odds_that_made_the_pictures() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=(40_000, 2))
    truth = random.random(len(values)) < 1 / (1 + np.exp(-(values @ [1.5, 0.5] - 2)))
    negative = values[~truth]
    found = logistic(values[truth], negative, np.full(len(negative), 1 / len(negative)))
    assert found == pytest.approx([1.5, 0.5], abs=0.08)


def test_pictures_that_are_told_apart_without_a_mistake_have_a_regression_too() -> None:
    (found,) = logistic(np.array([[2.0], [3.0]]), np.array([[-2.0], [-3.0]]), np.array([0.5, 0.5]))
    assert 0 < found < 100


def test_a_box_weighs_as_much_as_it_tells_and_never_against() -> None:
    random = np.random.default_rng(2)
    truths = (np.arange(2000) % 2).astype(np.int8)
    truths[:20] = -1  # nobody knows: not asked
    scores = (truths + random.normal(size=2000)).astype(np.float32)
    telling = np.where(random.random(2000) < 0.1 + 0.5 * truths, 3.0, 0.0).astype(np.float32)
    assert weight_of(scores, telling, truths) > 0.3
    assert weight_of(scores, (3 - telling).astype(np.float32), truths) == 0
