"""The level of the sound: the same, however it is cut into frames."""

from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.video.sound import SILENCE, LoudnessMeter

RATE = 44_100


def frame_of(samples: NDArray[np.float32], kind: str) -> av.AudioFrame:
    """(2, n) in -1..1 as a frame of this sample format."""
    planar = kind.endswith("p")
    if kind.startswith("s16"):
        values: NDArray[np.generic] = np.rint(samples * 32767).astype(np.int16)
    elif kind.startswith("u8"):
        values = np.rint(samples * 127 + 128).astype(np.uint8)
    else:
        values = samples
    shaped = values if planar else values.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(shaped), format=kind, layout="stereo")
    frame.sample_rate = RATE
    return frame


def by_hand(pieces: list[tuple[float, NDArray[np.float32]]], step: Fraction) -> NDArray[np.float64]:
    """The level of each block, sample by sample."""
    energy, counts = np.zeros(4096), np.zeros(4096)
    for start, samples in pieces:
        block = np.floor((start + np.arange(samples.shape[1]) / RATE) / float(step)).clip(0).astype(int)
        np.add.at(energy, block, np.square(samples).mean(axis=0))
        np.add.at(counts, block, 1)
    last = int(np.flatnonzero(counts)[-1]) + 1
    mean = energy[:last] / counts[:last].clip(1)
    return np.asarray(10 * np.log10(mean.clip(10 ** (SILENCE / 10))))


@pytest.mark.parametrize("kind", ["fltp", "flt", "s16", "s16p", "u8"])
def test_the_level_of_frames_with_gaps_and_rounded_times(kind: str) -> None:
    random = np.random.default_rng(1)
    step, now = Fraction(1, 50), -0.03  # what comes before the file's time 0 counts to its first block
    pieces: list[tuple[float, NDArray[np.float32]]] = []
    meter = LoudnessMeter(step)
    for n in range(300):
        size = int(random.integers(100, 1500))
        loud = 0.8 * 10 ** (-0.5 * (n // 40 % 3))
        samples = np.clip(random.uniform(-loud, loud, (2, size)), -1, 1).astype(np.float32)
        told = round(now, 3) if n % 7 == 0 else now  # as Matroska rounds
        meter.add(frame_of(samples, kind), told)
        pieces.append((now, samples))
        now += size / RATE + (0.5 if n % 50 == 49 else 0.0)
    expected = by_hand(pieces, step)
    level = meter.dbfs()
    assert len(level) == len(expected)
    silent = expected == SILENCE
    assert (level[silent] == SILENCE).all()
    assert silent.sum() > 50
    inner = np.abs(level - expected)[~silent]
    assert np.quantile(inner, 0.9) < (0.1 if kind == "u8" else 0.05)
    assert inner.max() < 2.0  # a block of which a gap leaves few samples


def test_a_meter_that_heard_nothing_has_no_blocks() -> None:
    assert LoudnessMeter(Fraction(1, 50)).dbfs().size == 0


@pytest.mark.parametrize("layout", ["7.1", "hexadecagonal"])
def test_eight_channels_and_more(layout: str) -> None:
    channels = av.AudioLayout(layout).nb_channels
    meter = LoudnessMeter(Fraction(1, 50))
    for n in range(10):
        samples = np.full((1, 882 * channels), 0.5, np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
        frame.sample_rate = RATE
        planar = av.AudioResampler(format="fltp", layout=layout, rate=RATE).resample(frame)
        for each in planar:
            meter.add(each, n / 50)
    assert meter.dbfs() == pytest.approx([-6.02] * 10, abs=0.1)


def test_samples_of_64_bits() -> None:
    """Nothing makes an array of them; Nut and WAV may hold them."""
    half = av.AudioFrame.from_ndarray(np.full((1, 882), 1 << 30, np.int32), format="s32", layout="mono")
    half.sample_rate = RATE
    meter = LoudnessMeter(Fraction(1, 50))
    for frame in av.AudioResampler(format="s64", layout="mono", rate=RATE).resample(half):
        meter.add(frame, 0.0)
    assert meter.dbfs() == pytest.approx([-6.02], abs=0.1)


def test_nothing_is_measured_after_the_end() -> None:
    meter = LoudnessMeter(Fraction(1, 50), Fraction(1))
    loud = np.full((2, 882), 0.5, np.float32)
    for start in (0.0, 0.98, 1.0, 1e12):
        meter.add(frame_of(loud, "fltp"), start)
    assert len(meter.dbfs()) == 50
