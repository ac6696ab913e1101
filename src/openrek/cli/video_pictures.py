"""Pictures of an analysed video: a contact sheet of its shots, and a copy with everything that was found drawn in."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.cli.tiles import EMPTY, MOST_TILES, TILE, Tile, draw_tiles

if TYPE_CHECKING:
    from PIL.Image import Image

    from openrek.vision.video.clock import Clock
    from openrek.vision.video.reader import VideoReader
    from openrek.vision.video.segments import Segment

Box = tuple[float, float, float, float]

_LONGEST = 1280
_COLOURS = ((255, 196, 0), (0, 200, 255), (255, 90, 80), (90, 220, 90), (220, 120, 255), (255, 140, 30), (0, 210, 170))


@dataclass(frozen=True, slots=True)
class VideoMark:
    """Something to draw on a frame. box: (left, top, width, height) as ratios of the frame; key: marks of one key share
    a colour (a track's number, a label's name)."""

    text: str
    key: str
    box: Box | None = None


class Layer:
    """What one analyser found, to be drawn on every frame: marks stay until it looks again."""

    def __init__(
        self, clock: "Clock", step: Fraction, found: Iterable[tuple[int, VideoMark]], *, tracked: bool = False
    ) -> None:
        """step: seconds between the frames it looked at. found: (frame, mark). tracked: whether a key names one thing,
        whose box then moves from where it was seen to where it is seen next."""
        from openrek.vision.video.analysis import sampled

        self._clock = clock
        self._tracked = tracked
        self._samples = [frame for frame in range(clock.count) if sampled(clock, frame, step)]
        self._marks: dict[int, list[VideoMark]] = {}
        for frame, mark in found:
            self._marks.setdefault(frame, []).append(mark)

    def at(self, frame: int) -> Sequence[VideoMark]:
        """What is to be drawn on a frame."""
        place = bisect_right(self._samples, frame)
        seen = self._samples[place - 1]
        marks = self._marks.get(seen, [])
        if not self._tracked or not marks or frame == seen or place == len(self._samples):
            return marks
        following = self._samples[place]
        begin, now, end = (self._clock.timestamp_ms(each) for each in (seen, frame, following))
        share = (now - begin) / max(1, end - begin)
        later = {mark.key: mark.box for mark in self._marks.get(following, ())}
        return [replace(mark, box=_between(mark.box, later.get(mark.key), share)) for mark in marks]


def _between(here: Box | None, there: Box | None, share: float) -> Box | None:
    """The box that has gone this share of the way; it stays where it is without an end of the way."""
    if here is None or there is None:
        return here
    left, top, width, height = (a + share * (b - a) for a, b in zip(here, there, strict=True))
    return left, top, width, height


def shot_sheet(reader: "VideoReader", shots: Sequence["Segment"]) -> "Image":
    """A tile a shot, from its middle frame; of very many shots an even choice."""
    if len(shots) > MOST_TILES:
        shots = [shots[i] for i in np.linspace(0, len(shots) - 1, MOST_TILES).round().astype(int)]
    tiles: list[Tile] = []
    spans = [((shot.start_frame + shot.end_frame) // 2, shot.end_frame + 1) for shot in shots]
    for shot, frame in zip(shots, reader.firsts(spans), strict=True):
        picture = _square(frame.rgb(TILE)) if frame is not None else None
        tiles.append(Tile(picture, f"{shot.title}  {shot.duration_ms / 1000:.1f} s", shot.start_timecode))
    return draw_tiles(tiles)


def annotated_copy(
    reader: "VideoReader",
    target: Path,
    captions: Callable[[int], str],
    layers: Sequence[Layer],
    progress: Callable[[int], None],
) -> None:
    """Write an H.264 copy with captions, boxes and names, without the sound.

    captions: the line of writing of a frame; layers: what is drawn on it.
    Raises FFmpegError where the container cannot hold it (frames hours apart, say).
    """
    import av

    longest = max(reader.info.display_width, reader.info.display_height)
    scale = min(1.0, _LONGEST / longest)
    width = max(2, round(reader.info.display_width * scale) // 2 * 2)
    height = max(2, round(reader.info.display_height * scale) // 2 * 2)
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as copy:
        stream = copy.add_stream("libx264", rate=reader.info.rate.limit_denominator(65535), options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        last = -1
        for frame in reader.frames():
            marks = [mark for layer in layers for mark in layer.at(frame.index)]
            pixels = cv2.resize(frame.rgb(max(width, height)), (width, height), interpolation=cv2.INTER_AREA)
            drawn = _draw(np.ascontiguousarray(pixels, np.uint8), captions(frame.index), marks)
            shown = av.VideoFrame.from_ndarray(drawn, format="rgb24")
            last = max(last + 1, int(frame.time * 90000))
            shown.pts, shown.time_base = last, Fraction(1, 90000)
            copy.mux(stream.encode(shown))
            progress(frame.index)
        copy.mux(stream.encode())


def _draw(pixels: NDArray[np.uint8], caption: str, marks: Sequence[VideoMark]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    letters = max(11, height // 36)
    line = max(1, height // 300)
    for mark in marks:
        colour = _COLOURS[sum(mark.key.encode()) % len(_COLOURS)]
        if mark.box is None:
            continue
        left, top = round(mark.box[0] * width), round(mark.box[1] * height)
        right, bottom = round((mark.box[0] + mark.box[2]) * width), round((mark.box[1] + mark.box[3]) * height)
        cv2.rectangle(pixels, (left, top), (right, bottom), colour, 2 * line)
        _write(pixels, mark.text, left + 2, max(letters + 2, top - 4), letters, colour)
    unplaced = [mark.text for mark in marks if mark.box is None]
    for row, text in enumerate([caption, *unplaced]):
        if text:
            _write(pixels, text, letters // 2, (row + 1) * (letters + 6), letters, (245, 245, 242))
    return pixels


def _write(pixels: Any, text: str, left: int, base: int, letters: int, colour: tuple[int, int, int]) -> None:
    face = cv2.FontFace("sans")
    shown = text.encode(errors="replace").decode()
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        cv2.putText(pixels, shown, (left + dx, base + dy), (0, 0, 0), face, letters, 600)
    cv2.putText(pixels, shown, (left, base), colour, face, letters, 600)


def _square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture in the middle of a tile."""
    height, width = picture.shape[:2]
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    sized = np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
    tile = np.full((TILE, TILE, 3), EMPTY, np.uint8)
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = sized
    return tile
