"""The number of every frame, from the packets alone: nothing is decoded."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from openrek.vision.video.clock import Clock, clock_of


@dataclass(frozen=True, slots=True)
class Key:
    """A key frame: its number, and where to seek for it (decoding time in the stream's units)."""

    frame: int
    dts: int


@dataclass(frozen=True, slots=True, eq=False)
class PacketIndex:
    """pts: (count,) ascending presentation times of all frames, or None where the file does not give them.

    Then frames are counted as they come, reading always begins at the start, and `count` is that of the packets.
    stored_in_order: whether the presentation times ascend as the packets are stored.
    damaged: packets that could not be read; they have no number.
    """

    count: int
    pts: NDArray[np.int64] | None
    keys: tuple[Key, ...]
    clock: Clock | None
    stored_in_order: bool = True
    damaged: int = 0

    def number(self, pts: int | None, previous: int) -> int:
        """The number of a decoded frame. previous: that of the frame before it, -1 at first.

        A frame shown at a time the packets do not know takes the place of the next one known.
        """
        if self.pts is None or pts is None:
            return previous + 1
        if previous + 1 < self.count and self.pts[previous + 1] == pts:
            return previous + 1
        return int(np.searchsorted(self.pts, pts))

    def keys_before(self, frame: int, most: int) -> list[Key]:
        """The last key frames that are not after a frame, at most so many, the nearest first."""
        place = bisect_right(self.keys, frame, key=lambda key: key.frame)
        return list(reversed(self.keys[max(0, place - most) : place]))


def read_index(
    packets: Iterable["av.Packet[av.stream.Stream] | None"],
    time_base: Fraction,
    zero: Fraction,
    hints: tuple[Fraction, ...],
    *,
    timed: bool = True,
) -> PacketIndex:
    """Read all packets of a video stream.

    zero: the time in seconds from which times count. timed: whether the container says when frames are shown; else
    they are shown at the times at which packets are decoded, in the order in which they come out of the decoder.
    """
    times: list[int] = []
    decoded: list[int] = []
    keys: list[tuple[int, int]] = []
    count = damaged = 0
    reliable = timed
    first_key: int | None = None
    for packet in packets:
        if packet is None or packet.is_corrupt:
            damaged += 1
            continue
        if packet.size == 0:
            continue
        if first_key is None:
            if not packet.is_keyframe:
                continue  # nothing can be decoded before the first key frame
            first_key = packet.pts if packet.pts is not None else 0
        if packet.is_discard:
            continue
        if timed and packet.pts is not None and packet.pts < first_key:
            continue  # leans on frames before the first key frame
        count += 1
        if not timed and packet.dts is not None:
            decoded.append(packet.dts)
        if packet.pts is None:
            reliable = False
            continue
        times.append(packet.pts)
        if packet.is_keyframe and packet.dts is not None:
            keys.append((packet.pts, packet.dts))
    shift = int(zero / time_base)
    pts = _ascending(times) if reliable else None
    if pts is None:
        shown = _ascending(decoded) if not timed and len(decoded) == count else None
        clock = None if shown is None else clock_of(shown - shift, time_base, hints)
        return PacketIndex(max(count, 1), None, (), clock, damaged=damaged)
    keys.sort()
    places = np.searchsorted(pts, [time for time, _ in keys]).tolist()
    numbered = tuple(Key(place, dts) for place, (_, dts) in zip(places, keys, strict=True))
    in_order = bool(np.all(np.diff(times) > 0))
    return PacketIndex(len(pts), pts, numbered, clock_of(pts - shift, time_base, hints), in_order, damaged)


def _ascending(times: list[int]) -> NDArray[np.int64] | None:
    """The times in order; None where there are none, or two are the same."""
    ordered = np.array(sorted(times), np.int64)
    return ordered if len(ordered) and np.all(np.diff(ordered) > 0) else None
