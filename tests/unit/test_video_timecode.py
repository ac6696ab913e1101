"""Time codes and the arithmetic of segments, with the published figures."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrek.vision.video.analysis import Interval
from openrek.vision.video.clock import regular_clock
from openrek.vision.video.segments import segments
from openrek.vision.video.timecode import Timecode, timecode

NTSC, FILM, DOUBLE = Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60000, 1001)
RATES = [*(Fraction(n) for n in range(15, 61)), *(Fraction(n * 1000, 1001) for n in range(15, 61))]


@pytest.mark.parametrize(
    ("frames", "rate", "code"),
    [
        (0, NTSC, "00:00:00;00"),
        (1799, NTSC, "00:00:59;29"),
        (1800, NTSC, "00:01:00;02"),
        (17982, NTSC, "00:10:00;00"),
        (149, NTSC, "00:00:04;29"),
        (150, NTSC, "00:00:05;00"),
        (3600, DOUBLE, "00:01:00;04"),
        (1800, Fraction(30), "00:01:00:00"),
        (100, FILM, "00:00:04:04"),
        (89999, Fraction(25), "00:59:59:24"),
        (1800, Fraction(2997, 100), "00:01:00;02"),  # as some containers write 29.97
        (275, Fraction(2160, 77), "00:00:09:23"),  # a variable rate counts at its nearest whole rate
    ],
)
def test_published_values(frames: int, rate: Fraction, code: str) -> None:
    assert timecode(frames, rate) == code
    assert Timecode.of(rate).parse(code) == frames


@given(st.integers(0, 30 * 3600 * 24), st.sampled_from(RATES))
def test_codes_can_be_read_back_and_only_ntsc_drops(frames: int, rate: Fraction) -> None:
    code = Timecode.of(rate)
    written = code.format(frames)
    assert code.parse(written) == frames
    assert (";" in written) == (rate in (NTSC, DOUBLE))


@pytest.mark.parametrize("rate", [NTSC, DOUBLE])
def test_drop_frame_follows_each_frame_and_keeps_pace_with_the_clock(rate: Fraction) -> None:
    code = Timecode.of(rate)
    previous = -1
    for frame in range(round(rate * 660)):
        hours, minutes, seconds, number = map(int, code.format(frame).replace(";", ":").split(":"))
        counted = ((hours * 60 + minutes) * 60 + seconds) * code.nominal + number
        assert counted > previous
        previous = counted
        assert abs(Fraction(counted, code.nominal) - frame / rate) < Fraction(1, 12)


@pytest.mark.parametrize("code", ["00:01:00;00", "00:00:00;30", "00:60:00;00", "1:2:3", "aa:00:00:00"])
def test_what_is_no_time_code(code: str) -> None:
    with pytest.raises(ValueError, match=r"time code|drop-frame"):
        Timecode(30, 2).parse(code)


def test_the_published_segments() -> None:
    """450 frames at 29.97: black and silent up to 299, then content; cues share the frame, shots do not."""
    clock = regular_clock(NTSC, 450)
    rows = segments(
        clock,
        cues=[Interval("BlackFrames", 0, 299, 1.0), Interval("Content", 299, 449, 1.0)],
        shots=[Interval("shot", 0, 299, 1.0), Interval("shot", 300, 449, 0.9)],
    )
    black, content, first, second = rows
    assert [(row.group, row.kind, row.index) for row in rows] == [
        ("cue", "BlackFrames", None),
        ("cue", "Content", None),
        ("shot", "", 0),
        ("shot", "", 1),
    ]
    assert (black.end_ms, black.frames, black.duration_timecode, black.end_timecode) == (
        9976,
        299,
        "00:00:09;29",
        "00:00:09;29",
    )
    assert (content.start_ms, content.end_ms, content.frames, content.duration_timecode) == (
        9976,
        14981,
        150,
        "00:00:05;00",
    )
    assert (first.frames, second.frames) == (299, 149)
    assert (second.start_ms, second.duration_ms, second.duration_timecode) == (10010, 4971, "00:00:04;29")
    assert second.start_timecode == "00:00:10;00"


def test_rows_follow_the_order_asked_for_and_filters_keep_the_index() -> None:
    clock = regular_clock(Fraction(25), 100)
    shots = [Interval("shot", 50, 99, 0.6), Interval("shot", 0, 49, 0.9)]
    cues = [Interval("Content", 0, 99, 0.7)]
    both = segments(clock, shots=shots, cues=cues, order=["shot", "cue", "shot"])
    assert [(row.group, row.start_frame) for row in both] == [("shot", 0), ("shot", 50), ("cue", 0)]
    sure = segments(clock, shots=shots, cues=cues, order=["shot"], least_shot=0.5)
    assert [row.index for row in sure] == [0, 1]
    first, second = Interval("shot", 0, 49, 0.4), Interval("shot", 50, 99, 0.6)
    assert [row.index for row in segments(clock, shots=[first, second], least_shot=0.5)] == [1]
