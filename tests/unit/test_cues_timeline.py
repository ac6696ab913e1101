"""Cues tile the video whatever was found."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from openrek.vision.video.cues.timeline import PRECEDENCE, CueKind, Span, runs_of, tile, without_gaps


def test_acceptance_example() -> None:
    cues = tile([Span(CueKind.BLACK_FRAMES, 0, 299, 1.0)], 450)
    assert [(cue.kind, cue.start, cue.end) for cue in cues] == [("BlackFrames", 0, 299), ("Content", 299, 449)]


def test_black_inside_credits_belongs_to_the_credits() -> None:
    cues = tile([Span(CueKind.BLACK_FRAMES, 0, 40, 1.0), Span(CueKind.END_CREDITS, 10, 90, 0.8)], 100)
    assert [(cue.kind, cue.start, cue.end) for cue in cues] == [
        ("BlackFrames", 0, 10),
        ("EndCredits", 10, 90),
        ("Content", 90, 99),
    ]
    assert [cue.confidence for cue in cues] == [1.0, 0.8, 1.0]


def test_one_frame() -> None:
    assert [(c.kind, c.start, c.end) for c in tile([], 1)] == [("Content", 0, 0)]
    black = tile([Span(CueKind.BLACK_FRAMES, 0, 1, 1.0)], 1)
    assert [(c.kind, c.start, c.end) for c in black] == [("BlackFrames", 0, 0)]


def test_last_frame_alone_has_no_length() -> None:
    cues = tile([Span(CueKind.BLACK_FRAMES, 99, 100, 1.0)], 100)
    assert [(c.kind, c.start, c.end) for c in cues] == [("Content", 0, 99)]


@given(st.data(), st.integers(1, 60))
def test_tiles_without_gap(data: st.DataObject, count: int) -> None:
    edges = st.tuples(st.integers(0, count - 1), st.integers(1, count)).filter(lambda pair: pair[0] < pair[1])
    found = data.draw(st.lists(st.tuples(st.sampled_from(PRECEDENCE), edges, st.floats(0.5, 1)), max_size=6))
    cues = tile([Span(kind, start, end, sure) for kind, (start, end), sure in found], count)
    assert cues[0].start == 0
    assert cues[-1].end == count - 1
    assert all(a.end == b.start and a.kind != b.kind for a, b in pairwise(cues))
    assert all(cue.start < cue.end for cue in cues) or count == 1
    assert all(0.5 <= cue.confidence <= 1 for cue in cues)


def test_gaps_are_filled_inside_only() -> None:
    mask = np.array([0, 1, 0, 1, 0, 0, 0, 1, 0], bool)
    assert runs_of(without_gaps(mask, 2)) == [(1, 4), (7, 8)]
