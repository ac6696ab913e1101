"""One decoded frame of a video."""

from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from openrek.vision.image import Picture
from openrek.vision.image.orientation import swaps_sides, upright
from openrek.vision.video.clock import Clock

_UNSPECIFIED_COLORSPACE = 2
_HD_HEIGHT = 720
_PLANAR_8_BIT = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"})
_FULL_RANGE = 2
_MOST_ROWS = 288
"""Small planes are averaged from about this many rows at most: more change nothing and cost memory bandwidth."""

LUMA_ROWS, CHROMA_ROWS = 72, 36
"""See `row_step`."""


class Frame:
    """A frame; its pixels are converted only when asked for. Valid for as long as it is kept.

    index: 0-based number in presentation order; time: presentation time in seconds; timestamp_ms: rounded down.
    """

    __slots__ = ("_clock", "_display", "_native", "_orientation", "_planes", "_time", "_timestamp_ms", "index")

    def __init__(
        self,
        native: av.VideoFrame,
        index: int,
        time: Fraction | None = None,
        timestamp_ms: int | None = None,
        orientation: int = 1,
        display: tuple[int, int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """time, timestamp_ms: None where `clock` knows them; orientation: 1..8 as in EXIF; display: width and height
        before turning upright, with square pixels."""
        self._native = native
        self.index = index
        self._time = time
        self._timestamp_ms = timestamp_ms
        self._clock = clock
        self._orientation = orientation
        self._display = display or (native.width, native.height)
        self._planes: list[NDArray[np.uint8]] | None = None

    @property
    def time(self) -> Fraction:
        """Presentation time in seconds."""
        if self._time is None:
            self._time = self._clock.start + self.index / self._clock.rate if self._clock else Fraction(0)
        return self._time

    @property
    def timestamp_ms(self) -> int:
        """Presentation time in milliseconds, rounded down."""
        if self._timestamp_ms is None:
            self._timestamp_ms = self._clock.timestamp_ms(self.index) if self._clock else 0
        return self._timestamp_ms

    @property
    def native(self) -> av.VideoFrame:
        """PyAV's frame: stored pixels, neither turned nor stretched."""
        return self._native

    @property
    def orientation(self) -> int:
        """How to turn the stored picture upright, 1..8 as in EXIF."""
        return self._orientation

    @property
    def turned(self) -> bool:
        """Whether turning upright exchanges width and height."""
        return swaps_sides(self._orientation)

    @property
    def full_range(self) -> bool:
        """Whether luma runs over 0..255 rather than 16..235."""
        name = self._native.format.name
        return self._native.color_range == _FULL_RANGE or name.startswith("yuvj") or not _is_yuv(name)

    def rgb(self, longest: int | None = None) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright, with square pixels; C-contiguous.

        longest: reduce so that the longest side is this many pixels; a smaller frame is not enlarged.
        """
        width, height = self._display
        if longest is not None and max(width, height) > longest:
            scale = longest / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
        shrinks = width * 2 <= self._native.width
        converted = self._native.reformat(
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=self._colorspace(),
            src_color_range=ColorRange.JPEG if self.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
        )
        return np.ascontiguousarray(upright(np.asarray(converted.to_ndarray(), np.uint8), self._orientation))

    def picture(self, longest: int | None = None) -> Picture:
        """The frame as every vision function takes it; `longest` as for `rgb`."""
        width, height = self._display
        if self.turned:
            width, height = height, width
        return Picture(self.rgb(longest), width, height)

    def luma(self, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width) uint8 mean luma Y' as stored (LIMITED: black is 16), upright; cheap."""
        return np.asarray(self._small(width, height, 1)[0], np.uint8)

    def yuv(self, width: int, height: int) -> NDArray[np.uint8]:
        """(3, height, width) uint8 mean Y', Cb and Cr as stored, upright."""
        return self._small(width, height, 3)

    def plane(self, index: int = 0) -> NDArray[np.uint8]:
        """A stored plane (0 is luma Y') as uint8, not turned; no copy where samples have 8 bits. Do not write to it."""
        frame = self._native
        name = frame.format.name
        if name in _PLANAR_8_BIT and name != "nv12":
            return self.planes()[index]
        if name != "nv12":
            frame = frame.reformat(format="yuv444p")
        return _plane(frame, index)

    def planes(self) -> list[NDArray[np.uint8]]:
        """Y', Cb and Cr as `plane` gives them, or only Y' of a film without colour. Made once for all who ask."""
        if self._planes is None:
            frame = self._native
            name = frame.format.name
            if name not in _PLANAR_8_BIT or name == "nv12":
                frame = frame.reformat(format="yuv420p")
            self._planes = [_rows(plane) for plane in frame.planes]
        return self._planes

    def _small(self, width: int, height: int, planes: int) -> NDArray[np.uint8]:
        if self.turned:
            width, height = height, width
        frame = self._native
        name = frame.format.name
        if name not in _PLANAR_8_BIT:
            frame = frame.reformat(width, height, "yuv444p", interpolation=Interpolation.AREA)
            name = "yuv444p"
        if name == "gray":
            grey = np.full((height, width), 128, np.uint8)
            rows = [_mean(_plane(frame, 0), width, height), grey, grey][:planes]
        elif name == "nv12" and planes > 1:
            chroma = _plane(frame, 1).reshape(frame.height // 2, -1, 2)
            rows = [_mean(_plane(frame, 0), width, height)]
            rows += [_mean(np.ascontiguousarray(chroma[..., i]), width, height) for i in (0, 1)]
        else:
            rows = [_mean(_plane(frame, i), width, height) for i in range(planes)]
        return np.stack([upright(row, self._orientation) for row in rows])

    def _colorspace(self) -> Colorspace | None:
        """The YUV matrix, by the usual convention where the file does not say: BT.709 for HD, else BT.601."""
        if self._native.colorspace != _UNSPECIFIED_COLORSPACE:
            return None
        return Colorspace.ITU709 if self._native.height >= _HD_HEIGHT else Colorspace.ITU601


def row_step(height: int, rows: int) -> int:
    """Every how many rows of a plane give at least `rows` of them (or all), and fewer than twice as many.

    Whoever looks at a frame for a first impression looks at the same LUMA_ROWS and CHROMA_ROWS, or some of them:
    fetching other rows from memory costs more than looking at them.
    """
    return max(1, height // rows)


def _plane(frame: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    return _rows(frame.planes[index], 2 if index and frame.format.name == "nv12" else 1)


def _rows(plane: VideoPlane, interleaved: int = 1) -> NDArray[np.uint8]:
    shape, strides = (plane.height, plane.width * interleaved), (plane.line_size, 1)
    return np.ndarray(shape, np.uint8, memoryview(plane), 0, strides)


def _mean(plane: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    rows = plane[:: max(1, plane.shape[0] // _MOST_ROWS)]
    return np.asarray(cv2.resize(rows, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _is_yuv(name: str) -> bool:
    return name.startswith(("yuv", "nv", "p0", "y2", "gray", "uyvy", "yvyu"))
