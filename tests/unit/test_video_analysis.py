"""One decode feeds all analysers; no chunking changes what they see."""

import io
import threading
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
import pytest

from openrek.vision.video import Analyser, VideoReader, analyse, observe
from openrek.vision.video.analysis import BundleAnalyser, Cancelled, sampled
from openrek.vision.video.clock import Clock, regular_clock
from openrek.vision.video.frame import Frame
from openrek.vision.video.info import VideoInfo
from openrek.vision.video.packing import pack, unpack
from openrek.vision.video.shelf import Shelf
from tests.video_kit import encode, numbered, read_number


class Differences:
    """Reads each frame's number and subtracts the one two frames before."""

    name, version, hears = "differences", 1, False

    def __init__(self, step: Fraction | None = None, lead: int = 2) -> None:
        self.step, self.lead = step, lead
        self.seen: list[int] = []

    def begin(self, info: VideoInfo) -> None:
        self.seen = []

    def observe(self, frame: Frame) -> tuple[int, int] | None:
        self.seen.append(read_number(frame.rgb()))
        before = self.seen[-3] if self.step is None and len(self.seen) > 2 else -1
        return None if self.seen[-1] % 7 == 3 else (self.seen[-1], before)

    def decide(self, info: VideoInfo, observations: Iterable[tuple[int, tuple[int, int]]]) -> list[object]:
        return list(observations)


@pytest.fixture(scope="module")
def film() -> bytes:
    return encode((numbered(n) for n in range(130)), tone=[(0, 1)], seconds_of_sound=5)


def test_it_is_an_analyser() -> None:
    assert isinstance(Differences(), Analyser)


def test_chunks_in_any_order_make_the_same_observations(film: bytes) -> None:
    with VideoReader.open(io.BytesIO(film)) as reader:
        analysers = [Differences(), Differences(Fraction(1, 5))]
        analysers[1].name = "sampled"
        whole = observe(reader, analysers)
        parts = [observe(reader, analysers, *(c.start, c.stop)) for c in reversed(reader.chunks(0.5))][::-1]
        small = analyse(reader, analysers, chunk_seconds=0.5)
        large = analyse(reader, analysers, chunk_seconds=60)
    assert len(parts) > 3
    for name in whole:
        assert [row for part in parts for row in part[name]] == whole[name] == small[name] == large[name]
    expected = [(n, (n, n - 2 if n > 1 else -1)) for n in range(130) if n % 7 != 3]
    assert whole["differences"] == expected
    assert [n for n, _ in whole["sampled"]] == [n for n in range(0, 130, 5) if n % 7 != 3]


def test_damage_is_counted_over_all_chunks() -> None:
    class Every(Differences):
        def observe(self, frame: Frame) -> tuple[int, int]:
            return frame.index, 0

    video = bytearray(encode((numbered(n, 480, 272) for n in range(120)), options={"bf": "0"}))
    video[len(video) // 3 : len(video) // 3 + 900] = bytes(900)
    with VideoReader.open(io.BytesIO(video)) as reader:
        seen = analyse(reader, [Every(lead=0)], chunk_seconds=0.5)["differences"]
        lost = reader.corrupt
        assert next(reader.frames(100), None) is not None  # as the contact sheet does
    assert reader.corrupt == lost == 120 - len(seen) > 0


@pytest.mark.parametrize(
    ("rate", "step", "frames"),
    [
        # published time stamps: frame 4 at 23.976, 11 and 29 at 29.97
        (Fraction(24000, 1001), Fraction(1, 5), [0, 4, 9, 14, 19, 23, 28]),
        (Fraction(30000, 1001), Fraction(1, 5), [0, 5, 11, 17, 23, 29]),
        (Fraction(25), Fraction(1), [0, 25]),
        (Fraction(25), Fraction(1, 50), list(range(30))),
    ],
)
def test_the_frames_shown_at_each_step_are_looked_at(rate: Fraction, step: Fraction, frames: list[int]) -> None:
    clock = regular_clock(rate, 30)
    assert [n for n in range(30) if sampled(clock, n, step)] == frames


def test_sampling_by_the_times_of_a_variable_rate() -> None:
    clock = Clock(Fraction(10), Fraction(0), 6, 1100, np.array([0, 90, 210, 230, 500, 990]))
    assert [n for n in range(6) if sampled(clock, n, Fraction(1, 5))] == [0, 1, 3, 4, 5]
    assert all(sampled(clock, n, None) for n in range(6))


class Bundles(Differences):
    """The same, shown several frames at once."""

    name = "bundles"

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[set[tuple[int, int]]] = []
        self.lengths: list[int] = []

    def observe_all(self, frames: Sequence[Frame]) -> list[tuple[int, int] | None]:
        self.sizes.append({(frame.native.width, frame.native.height) for frame in frames})
        self.lengths.append(len(frames))
        return [self.observe(frame) for frame in frames]


def test_bundles_show_the_same_frames(film: bytes) -> None:
    bundles = Bundles()
    assert isinstance(bundles, BundleAnalyser)
    assert not isinstance(Differences(), BundleAnalyser)
    with VideoReader.open(io.BytesIO(film)) as reader:
        both = observe(reader, [bundles, Differences()], 20, 90)
    assert both["bundles"] == both["differences"]
    assert max(bundles.lengths) > 1


def test_a_bundle_has_frames_of_one_size() -> None:
    class Sizes(Bundles):
        def observe(self, frame: Frame) -> tuple[int, int]:
            return frame.native.width, frame.native.height

    small, large = np.full((96, 160, 3), 90, np.uint8), np.full((192, 320, 3), 90, np.uint8)
    parts = [encode([picture] * 20, format="mpegts", codec="mpeg2video") for picture in (small, large)]
    sizes = Sizes()
    with VideoReader.open(io.BytesIO(b"".join(parts))) as reader:
        seen = {size for _, size in observe(reader, [sizes])["bundles"]}
    assert seen == {(160, 96), (320, 192)}
    assert all(len(each) == 1 for each in sizes.sizes)


def test_progress_may_stop_the_work_and_the_decoding_thread_with_it(film: bytes) -> None:
    def stop(frame: int) -> None:
        if frame == 10:
            raise Cancelled

    with VideoReader.open(io.BytesIO(film)) as reader, pytest.raises(Cancelled):
        observe(reader, [Differences()], progress=stop)
    assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_an_analyser_s_error_comes_through(film: bytes) -> None:
    class Broken(Differences):
        def observe(self, frame: Frame) -> tuple[int, int] | None:
            raise ZeroDivisionError("in frame 0")

    with VideoReader.open(io.BytesIO(film)) as reader, pytest.raises(ZeroDivisionError, match="frame 0"):
        observe(reader, [Broken()])
    assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_loudness_is_measured_for_who_needs_it(film: bytes) -> None:
    class Hearing(Differences):
        hears = True

        def decide(self, info: VideoInfo, observations: Iterable[tuple[int, tuple[int, int]]]) -> list[object]:
            assert info.loudness is not None
            return [info.loudness.between(200, 800) > -20, info.loudness.between(2000, 3000) < -60]

    with VideoReader.open(io.BytesIO(film)) as reader:
        assert analyse(reader, [Hearing()])["differences"] == [True, True]


def test_packed_observations_come_back() -> None:
    rows = [(0, b"abc"), (1, (1, 2.5, "x", None)), (7, {"boxes": np.arange(6, dtype=np.float32).reshape(2, 3)})]
    back = list(unpack(pack(rows)))
    assert back[:2] == rows[:2]
    np.testing.assert_array_equal(back[2][1]["boxes"], rows[2][1]["boxes"])
    assert pack(rows) == pack(rows)


def test_many_observations_are_packed_in_sections_that_are_read_one_by_one() -> None:
    rows = [(n, bytes([n % 251]) * (n % 7)) for n in range(3000)]
    packed = pack(rows)
    assert list(unpack(packed)) == rows
    reading = unpack(packed[:-1])
    assert [next(reading) for _ in range(2000)] == rows[:2000]
    with pytest.raises(ValueError, match="they end too early"):
        list(reading)
    assert list(unpack(pack([]))) == []


def test_a_decision_may_go_through_the_observations_twice(film: bytes) -> None:
    class Twice(Differences):
        def decide(self, info: VideoInfo, observations: Iterable[tuple[int, tuple[int, int]]]) -> list[object]:
            first = list(observations)
            assert list(observations) == first
            return [*first]

    with VideoReader.open(io.BytesIO(film)) as reader:
        assert len(analyse(reader, [Twice()], chunk_seconds=0.5)["differences"]) == 111


def test_a_shelf_gives_back_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openrek.vision.video.shelf._IN_MEMORY", 10)  # the rest goes to the disk
    shelf = Shelf()
    items = [bytes([n]) * n for n in range(9)]
    for item in items:
        shelf.add(item)
    assert len(shelf) == 9
    assert list(shelf.items()) == items
    both = zip(shelf.items(), shelf.items(), strict=True)
    assert [first for first, second in both if first == second] == items
    shelf.add(b"more")
    assert list(shelf.items())[-1] == b"more"


def test_packed_bytes_cannot_call_anything() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, ("true",)

    with pytest.raises(ValueError, match="no place in an observation"):
        list(unpack(pack([(0, Evil())])))
    with pytest.raises(ValueError, match="no packed observations"):
        list(unpack(b"something else"))
    with pytest.raises(ValueError, match="damaged"):
        list(unpack(pack([(0, 1)])[:-5]))
