"""Paths from boxes: crossing, hiding, leaving and coming back, flicker."""

import numpy as np
import pytest

from openrek.vision.video.tracker import Tracker, TrackerSettings

pytest.importorskip("scipy", reason="following people needs SciPy")

STEP = 0.2


def walk(tracker: Tracker, samples: list[list[tuple[float, float, float]]], first: int = 0) -> None:
    """samples: boxes as (centre x, centre y, score), 40 wide and 100 high."""
    for number, seen in enumerate(samples, first):
        boxes = np.array([[x - 20, y - 50, x + 20, y + 50] for x, y, _ in seen], np.float32).reshape(-1, 4)
        tracker.update(number, number * STEP, boxes, np.array([score for *_, score in seen], np.float32))


def test_two_people_who_pass_each_other_keep_their_paths() -> None:
    tracker = Tracker()
    walk(tracker, [[(100 + 12 * n, 200, 0.9), (460 - 12 * n, 230, 0.9)] for n in range(30)])
    tracks = tracker.tracks()
    assert len(tracks) == 2
    assert [set(track.members.tolist()) for track in tracks] == [{0}, {1}]


def test_a_half_hidden_person_keeps_the_path_by_unsure_boxes() -> None:
    tracker = Tracker()
    walk(tracker, [[(100 + 8 * n, 200, 0.2 if 5 <= n < 25 else 0.9)] for n in range(30)])
    (track,) = tracker.tracks()
    assert len(track.samples) == 30


def test_a_person_hidden_for_a_moment_keeps_the_path_and_one_gone_for_long_begins_anew() -> None:
    shown = [[(100 + 10 * n, 200, 0.9)] for n in range(60)]
    for hidden, paths in ((8, 1), (20, 2)):
        tracker = Tracker()
        walk(tracker, [[] if 20 <= n < 20 + hidden else boxes for n, boxes in enumerate(shown)])
        assert len(tracker.tracks()) == paths


def test_a_flicker_and_a_never_sure_box_are_no_paths() -> None:
    tracker = Tracker()
    walk(tracker, [[(300.0, 200.0, 0.9)] if n == 4 else [(100.0, 200.0, 0.5)] for n in range(20)])
    assert tracker.tracks() == []


def test_who_comes_first_has_the_lowest_number_and_ties_go_by_the_order_of_boxes() -> None:
    tracker = Tracker()
    walk(tracker, [[(400.0, 200.0, 0.9), *([(100.0, 200.0, 0.9)] if n > 3 else [])] for n in range(10)])
    tracks = tracker.tracks()
    assert [int(track.samples[0]) for track in tracks] == [0, 4]


def test_the_unit_of_boxes_does_not_matter() -> None:
    paths = []
    for unit in (1.0, 1 / 640):
        tracker = Tracker(TrackerSettings(lost=1.0))
        for number in range(20):
            x = (100 + 15 * number) * unit
            tracker.update(
                number,
                number * STEP,
                np.array([[x, 0, x + 40 * unit, 100 * unit]], np.float32),
                np.array([0.9], np.float32),
            )
        paths.append([track.samples.tolist() for track in tracker.tracks()])
    assert paths[0] == paths[1] == [list(range(20))]


def test_nobody_goes_on_across_a_cut() -> None:
    tracker = Tracker()
    walk(tracker, [[(100, 200, 0.9)]] * 10)
    tracker.cut()
    walk(tracker, [[(100, 200, 0.9)]] * 10, first=10)
    assert [track.samples.tolist() for track in tracker.tracks()] == [list(range(10)), list(range(10, 20))]


def test_who_began_just_before_a_cut_may_go_on_across_it() -> None:
    tracker = Tracker()
    walk(tracker, [[(100, 200, 0.9)]] * 6)
    walk(tracker, [[(100, 200, 0.9), (800, 200, 0.9)]] * 4, first=6)
    tracker.cut(since=6)
    walk(tracker, [[(100, 200, 0.9), (800, 200, 0.9)]] * 10, first=10)
    assert [track.samples.tolist() for track in tracker.tracks()] == [
        list(range(10)),
        list(range(6, 20)),
        list(range(10, 20)),
    ]
