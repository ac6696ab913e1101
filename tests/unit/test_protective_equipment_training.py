"""The recipe of the head network: hard hats put on bare heads, and heads told by eye."""

from pathlib import Path

import numpy as np
import pytest
from training.objects.samples import Boxes, Sample
from training.protective_equipment import prepare
from training.protective_equipment.hats import KINDS, covered, donors, recoloured
from training.protective_equipment.samples import UNKNOWN, Head

SKIN, HAT = (200, 150, 120), (250, 200, 0)


def bare(top: float = 40) -> Head:
    patch = np.full((160, 120, 3), 90, np.uint8)
    patch[int(top) : int(top) + 80, 30:90] = SKIN
    return Head("crowd", "a", 0, patch, (30, top, 90, top + 80), None, (35, top + 50, 85, top + 75), mask=1, hat=0)


def worker(high: float = 40) -> Head:
    patch = np.full((160, 120, 3), 90, np.uint8)
    patch[20:60, 30:90] = HAT
    return Head("site", "b", 0, patch, (30, 20, 90, 100), (30, 20, 90, 20 + high), hat=1)


def test_only_hats_that_are_seen_whole_are_moved() -> None:
    kept = [worker(), worker(high=80), worker(high=10), bare()]
    assert donors(kept) == kept[:1]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("top", [40, 4])
def test_a_covered_head_wears_a_hat_and_keeps_its_mask(seed: int, top: float) -> None:
    head = bare(top)
    before = head.patch.copy()
    worn = covered(head, [worker()], np.random.default_rng(seed))
    assert np.array_equal(head.patch, before), "the bare head stays as it is"
    down = worn.patch.shape[0] - before.shape[0]
    assert worn.patch.shape[1] == before.shape[1]
    assert (worn.hat, worn.mask) == (1, 1)
    assert worn.head[3] == top + 80 + down
    assert 0 <= worn.head[1] <= top + down, "the head's top is the hat's"
    assert worn.mask_box == (35, top + 50 + down, 85, top + 75 + down)
    assert worn.hat_box is None or worn.hat_box[1] == worn.head[1]
    changed = (worn.patch[down:] != before).any(axis=2)
    assert changed[int(top) : int(top) + 20, 45:75].mean() > 0.5, "the forehead is covered"
    assert not changed[int(top) + 90 :].any()


def test_every_kind_of_hat_comes_up() -> None:
    assert sum(KINDS.values()) == pytest.approx(1)
    seen = [covered(bare(), [worker()], np.random.default_rng(seed)).hat_box for seed in range(30)]
    assert None in seen
    assert any(seen)


def test_another_colour_stays_inside_the_hat() -> None:
    head = worker()
    other = recoloured(head, np.random.default_rng(5))
    changed = (other.patch != head.patch).any(axis=2)
    assert changed[25:50, 45:75].mean() > 0.9
    assert not changed[60:].any()
    assert not changed[:, (*range(30), *range(90, 120))].any()
    assert (other.head, other.hat_box) == (head.head, head.hat_box)
    nothing = bare()
    assert recoloured(nothing, np.random.default_rng(5)) is nothing


def test_what_was_told_by_eye_says_nothing_of_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "seen.csv"
    table.write_text(
        "source,image,left,top,right,bottom,seen\n"
        "street-boxes,a,40,20,80,70,helmet\nstreet-boxes,a,40,20,80,70,other hat\nstreet-boxes,a,40,20,80,70,no head\n"
    )
    monkeypatch.setattr(prepare, "SEEN", table)
    street = Sample("street-boxes", "a", np.zeros((100, 120, 3), np.uint8), Boxes.of([], []), "g", 2)
    heads = list(prepare.seen([street]))
    assert [(head.present, head.hat, head.mask) for head in heads] == [(1, 1, UNKNOWN), (1, 0, UNKNOWN), (0, 0, 0)]
    assert {(head.source, head.group, head.side) for head in heads} == {("seen", "g", 2)}
