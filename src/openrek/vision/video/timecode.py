"""SMPTE ST 12-1 time codes: frame numbers as hours, minutes, seconds and frames."""

from dataclasses import dataclass
from fractions import Fraction

_NTSC_TOLERANCE = Fraction(1, 100)
"""A rate this near to 30000/1001 or 60000/1001 is meant to be it (containers also write 29.97 or 2997/100)."""

_DROPPED = {30: 2, 60: 4}


@dataclass(frozen=True, slots=True)
class Timecode:
    """How a rate counts.

    nominal: frame numbers in a second. dropped: numbers left out at the start of each minute except every tenth, so
    that the code keeps pace with the clock; 0 for non-drop counting.
    """

    nominal: int
    dropped: int = 0

    @classmethod
    def of(cls, rate: Fraction) -> "Timecode":
        """Drop-frame for 29.97 and 59.94 frames a second, else non-drop at the nearest whole rate."""
        for nominal, dropped in _DROPPED.items():
            if abs(rate - Fraction(nominal * 1000, 1001)) < _NTSC_TOLERANCE:
                return cls(nominal, dropped)
        return cls(max(1, round(rate)))

    def format(self, frames: int) -> str:
        """`HH:MM:SS:FF` of a frame number or a number of frames, `HH:MM:SS;FF` where frame numbers are dropped."""
        number = frames
        if self.dropped:
            minute = self.nominal * 60 - self.dropped
            tens, rest = divmod(frames, minute * 10 + self.dropped)
            # the first minute of ten keeps all its numbers, so it is longer by what the others drop
            number += self.dropped * (9 * tens + max(0, rest - self.dropped) // minute)
        seconds, frame = divmod(number, self.nominal)
        separator = ";" if self.dropped else ":"
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{separator}{frame:02}"

    def parse(self, code: str) -> int:
        """The frame number of a time code. Raises ValueError where it is malformed or names a dropped number."""
        parts = code.replace(";", ":").split(":")
        if len(parts) != 4 or not all(part.isdecimal() for part in parts):
            raise ValueError(f"{code!r} is no time code; it is written HH:MM:SS:FF")
        hours, minutes, seconds, frame = map(int, parts)
        if minutes > 59 or seconds > 59 or frame >= self.nominal:
            raise ValueError(f"{code!r} is no time code at {self.nominal} frames a second")
        if seconds == 0 and minutes % 10 and frame < self.dropped:
            raise ValueError(f"{code!r} is left out in drop-frame counting")
        minutes += hours * 60
        number = (minutes * 60 + seconds) * self.nominal + frame
        return number - self.dropped * (minutes - minutes // 10)


def timecode(frames: int, rate: Fraction) -> str:
    """The time code of a frame number, or of a number of frames, at a rate in frames a second."""
    return Timecode.of(rate).format(frames)
