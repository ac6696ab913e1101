"""The black test of one frame to the pixel, and the rule that black with sound is content."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.video import VideoReader
from openrek.vision.video.cues import BlackRule
from openrek.vision.video.cues.black import brightest_black, is_black
from tests.unit.cues_kit import SOUND_RATE, cues_of, frame_of, short, write_clip


@pytest.mark.parametrize(
    ("pixel", "full", "bits", "brightest"),
    [
        (0.2, True, 8, 50),  # below 51
        (0.1, True, 8, 25),  # below 25.5
        (0.2, False, 8, 59),  # below 59.8
        (0.0, True, 8, 0),
        (0.0, False, 8, 16),
        (1.0, True, 8, 254),
        (1.0, False, 8, 234),
        (0.2, False, 10, 239),  # below 239.2
    ],
)
def test_threshold_is_a_share_of_the_luma_range(pixel: float, full: bool, bits: int, brightest: int) -> None:
    assert brightest_black(pixel, full, bits) == brightest


@pytest.mark.parametrize("full", [False, True])
def test_coverage_counts_every_pixel(full: bool) -> None:
    bright = brightest_black(0.2, full) + 1
    luma = np.full((100, 100), 16)
    luma.ravel()[:100] = bright  # exactly 99 percent are black, among the rows not looked at first too
    assert is_black(frame_of(luma, full=full), BlackRule())
    luma.ravel()[5050] = bright
    assert not is_black(frame_of(luma, full=full), BlackRule())
    assert is_black(frame_of(luma, full=full), BlackRule(coverage=98.9))
    assert is_black(frame_of(np.full((100, 100), bright - 1), full=full), BlackRule(coverage=100))
    assert not is_black(frame_of(np.full((100, 100), bright), full=full), BlackRule(coverage=1))
    assert is_black(frame_of(np.full((100, 100), bright), full=full), BlackRule(coverage=0))


def test_at_threshold_zero_only_pure_black_passes() -> None:
    noise = np.random.default_rng(3).integers(13, 20, (64, 64))
    assert is_black(frame_of(np.full((64, 64), 16)), BlackRule(pixel=0))
    assert not is_black(frame_of(noise), BlackRule(pixel=0))
    assert is_black(frame_of(noise), BlackRule())


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv422p10le", "yuv420p10le", "gray"])
def test_other_sampling_and_depth(pixels: str) -> None:
    scale = 4 if "10" in pixels else 1
    assert is_black(frame_of(np.full((64, 64), 59 * scale), pixels=pixels), BlackRule())
    assert not is_black(frame_of(np.full((64, 64), 60 * scale), pixels=pixels), BlackRule())


def test_luma_is_bt709_whatever_the_stream_uses() -> None:
    # dark blue and dark green, Y'CbCr by BT.601; BT.709 weighs blue less and green more
    blue, green = frame_of(np.full((32, 32), 62), matrix=6, chroma=(190, 120)), (100, 100)
    assert is_black(blue, BlackRule())
    assert not is_black(frame_of(np.full((32, 32), 62), matrix=1, chroma=(190, 120)), BlackRule())
    assert not is_black(frame_of(np.full((32, 32), 57), matrix=6, chroma=green), BlackRule())
    assert is_black(frame_of(np.full((32, 32), 57), matrix=1, chroma=green), BlackRule())


def faded_film(shade: Callable[[int], float], picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """75 frames of a picture, of whose light `shade` gives the share 0..1."""
    return [np.rint(picture * shade(n)).astype(np.uint8) for n in range(75)]


def picture_of(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 255, (6, 8, 3), np.uint8).repeat(height // 6, 0).repeat(width // 8, 1)


def fade(n: int) -> float:
    """Black for 25 frames, lighter and darker, black again from frame 68 on."""
    return max(0.0, min(1.0, (n - 25) / 25, (68 - n) / 25))


def test_a_dim_picture_of_a_fade_is_content(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "fade.mp4", faded_film(fade, picture_of()))
    (black, start, end), *_, (last, begin, _) = short(cues_of(path))
    assert (black, start, last) == ("BlackFrames", 0, "BlackFrames")
    assert abs(end - 26) <= 1
    assert abs(begin - 68) <= 1


@pytest.mark.parametrize("rate", ["1/10", "1", "5/4", "5"])
def test_black_at_few_frames_a_second(tmp_path: Path, rate: str) -> None:
    frames = [np.zeros((96, 128, 3), np.uint8)] * 3 + [picture_of()] * 4 + [np.zeros((96, 128, 3), np.uint8)] * 3
    path = write_clip(tmp_path / "slow.mp4", frames, rate=Fraction(rate))
    assert short(cues_of(path)) == [("BlackFrames", 0, 3), ("Content", 3, 7), ("BlackFrames", 7, 9)]


def test_named_thresholds_decide_alone(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "fade.mp4", faded_film(fade, picture_of()))
    (_, _, end), *_ = short(cues_of(path, BlackRule(exact=True)))
    with VideoReader.open(path) as reader:
        black = [is_black(frame, BlackRule()) for frame in reader.frames()]
    assert end == black.index(False)
    assert end > 28


def test_one_colour_that_grows_lighter_is_black_as_the_test_says(tmp_path: Path) -> None:
    grey = np.full((96, 128, 3), 255, np.uint8)
    path = write_clip(tmp_path / "grey.mp4", faded_film(fade, grey))
    assert short(cues_of(path)) == short(cues_of(path, BlackRule(exact=True)))


@pytest.mark.parametrize("dim", [0.04, 0.08])
def test_dim_frames_that_do_not_fade_are_black(tmp_path: Path, dim: float) -> None:
    cut = faded_film(lambda n: 0.0 if n < 15 else dim if n < 30 else 1.0, picture_of())
    assert short(cues_of(write_clip(tmp_path / "cut.mp4", cut)))[0] == ("BlackFrames", 0, 30)


def test_black_needs_silence_in_every_stream(tmp_path: Path) -> None:
    time = np.arange(3 * SOUND_RATE) / SOUND_RATE
    tone = (0.1 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    frames = [np.full((48, 64, 3), 0 if 25 <= n < 50 else 120, np.uint8) for n in range(75)]
    for sounds, kinds in (
        ((0 * tone, tone), ["Content"]),
        ((0 * tone, 0 * tone), ["Content", "BlackFrames", "Content"]),
    ):
        path = write_clip(tmp_path / "two.mp4", frames, sound=sounds[0], second=sounds[1])
        assert [kind for kind, *_ in short(cues_of(path))] == kinds
    with VideoReader.open(path) as reader:
        assert [stream.sample_rate for stream in reader.info.audio] == [SOUND_RATE, SOUND_RATE]


def test_rule_refuses_thresholds_out_of_range() -> None:
    for wrong in ({"pixel": 1.1}, {"pixel": -0.1}, {"coverage": 101}, {"coverage": -1}):
        with pytest.raises(ValueError, match="must be from 0"):
            BlackRule(**wrong)


def clip(folder: Path, sound: list[tuple[float, float]], seconds: float = 3.0) -> Path:
    """1 s of grey, 1 s of black, 1 s of grey; a tone in these spans of time."""
    frames = [np.full((48, 64, 3), 0 if 25 <= n < 50 else 120, np.uint8) for n in range(75)]
    time = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
    loud = np.zeros(time.size, bool)
    for start, end in sound:
        loud |= (time >= start) & (time < end)
    wave = (0.1 * np.sin(2 * np.pi * 440 * time) * loud).astype(np.float32)
    return write_clip(folder / "clip.mp4", frames, sound=wave)


def test_black_without_sound(tmp_path: Path) -> None:
    expected = [("Content", 0, 25), ("BlackFrames", 25, 50), ("Content", 50, 74)]
    assert short(cues_of(clip(tmp_path, []))) == expected


def test_black_with_tone_is_content(tmp_path: Path) -> None:
    assert short(cues_of(clip(tmp_path, [(0, 3)]))) == [("Content", 0, 74)]


def test_sound_that_stops_with_the_picture_leaves_the_black(tmp_path: Path) -> None:
    kinds = short(cues_of(clip(tmp_path, [(0, 1), (2, 3)])))
    assert [kind for kind, *_ in kinds] == ["Content", "BlackFrames", "Content"]
    assert abs(kinds[1][1] - 25) <= 1
    assert abs(kinds[1][2] - 50) <= 1


def test_only_the_silent_part_of_black_counts(tmp_path: Path) -> None:
    kinds = short(cues_of(clip(tmp_path, [(0, 1.5)])))
    assert [kind for kind, *_ in kinds] == ["Content", "BlackFrames", "Content"]
    assert abs(kinds[1][1] - 38) <= 2  # 1.5 s is frame 37.5; AAC rings on a little
    assert kinds[1][2] == 50


def test_quiet_noise_is_silence_to_a_lenient_rule(tmp_path: Path) -> None:
    path = clip(tmp_path, [(0, 3)])
    assert ("BlackFrames", 25, 50) in short(cues_of(path, BlackRule(silence=-10)))
