"""Edited films with known transitions, made from single shots and photographs.

A film is a row of shots joined by hard cuts, dissolves, fades through black or white, and wipes. Shots come from clips
(pieces of single-shot videos, also cropped and darkened) and from photographs under a moving camera: pans, zooms,
shake, flashes of light, something large passing by. The random numbers come from a seed, so a film can be made again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 320, 180


@dataclass
class Film:
    """frames: number; cuts: first frame after each hard cut; soft: (kind, first, last) of each other transition."""

    frames: int = 0
    cuts: list[int] = field(default_factory=list)
    soft: list[tuple[str, int, int]] = field(default_factory=list)


@dataclass
class Source:
    """A single shot: the frames of a clip, or one photograph."""

    name: str
    pixels: list[Pixels]


def clip_source(path: Path, most: int = 240) -> Source:
    """The first frames of a video, at film size."""
    frames: list[Pixels] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.append(_cover(frame.to_ndarray(format="rgb24"), WIDTH * 3 // 2, HEIGHT * 3 // 2))
            if len(frames) == most:
                break
    return Source(path.stem, frames)


def photo_source(name: str, pixels: Pixels) -> Source:
    """A photograph, larger than the film so that a camera can move over it."""
    return Source(name, [_cover(pixels, WIDTH * 2, HEIGHT * 2)])


def _cover(pixels: Pixels, width: int, height: int) -> Pixels:
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    size = (max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale)))
    sized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(sized[y : y + height, x : x + width])


def _shot(source: Source, length: int, rng: np.random.Generator) -> Iterator[Pixels]:
    """One shot of this many frames."""
    still = len(source.pixels) == 1
    base = source.pixels[0]
    height, width = base.shape[:2]
    # a window that moves over the picture
    zoom = rng.uniform(0.55, 1.0) * width / WIDTH
    speed = rng.choice([0.0, 0.5, 2.0, 6.0]) if still else rng.choice([0.0, 0.0, 0.0, 2.0])
    angle = rng.uniform(0, 2 * np.pi)
    dx, dy = speed * np.cos(angle), speed * 0.5 * np.sin(angle)
    zooming = 1 + (rng.uniform(-0.012, 0.012) if rng.random() < 0.4 else 0.0)
    shake = rng.choice([0.0, 0.0, 0.7, 2.5])
    gain = rng.uniform(0.15, 0.5) if rng.random() < 0.15 else rng.uniform(0.7, 1.1)
    flashes = (
        {int(at) for at in rng.integers(6, max(7, length - 6), 2)} if rng.random() < 0.12 and length > 20 else set()
    )
    flash_length = int(rng.integers(1, 4))
    passer = rng.random() < 0.15 and length > 30
    passing, pass_from, pass_speed = rng.integers(0, 255, 3), int(rng.integers(5, 25)), rng.uniform(6, 30)
    # light that changes slowly, as a camera adapts; a camera that swings round between two views
    drift_at, drift_for = int(rng.integers(0, length)), int(rng.integers(15, 60))
    drift = float(rng.choice([0.6, 1.5])) if rng.random() < 0.15 else 1.0
    swing_at, swing_for = int(rng.integers(0, length)), int(rng.integers(5, 20))
    swing = float(rng.uniform(6, 20)) * float(rng.choice([-1, 1])) if rng.random() < 0.15 else 0.0
    first = int(rng.integers(0, max(1, len(source.pixels) - length))) if not still else 0
    centre = np.array([width / 2, height / 2]) - np.array([dx, dy]) * length / 2
    noise = rng.uniform(0, 4)
    for i in range(length):
        place = first + i
        if not still and place >= len(source.pixels):  # forth and back
            place %= 2 * len(source.pixels) - 2
            place = min(place, 2 * len(source.pixels) - 2 - place)
        picture = base if still else source.pixels[place]
        zoom = float(np.clip(zoom * zooming, 0.4 * width / WIDTH, width / WIDTH))
        w, h = WIDTH * zoom, HEIGHT * zoom
        swinging = swing if swing_at <= i < swing_at + swing_for else 0.0
        centre = np.clip(centre + np.array([dx + swinging, dy]), 0, [width, height])
        if not (w / 2 <= centre[0] <= width - w / 2):
            dx = -dx
        x = float(np.clip(centre[0] + rng.normal(0, 1) * shake - w / 2, 0, max(0.0, width - w)))
        y = float(np.clip(centre[1] + rng.normal(0, 1) * shake - h / 2, 0, max(0.0, height - h)))
        move = np.array([[zoom, 0, x], [0, zoom, y]], np.float64)
        view = cv2.warpAffine(
            picture,
            move,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ).astype(np.float32)
        if passer and i >= pass_from:
            at = (i - pass_from) * pass_speed - WIDTH * 0.6
            left, right = int(max(0, at)), int(max(0, min(WIDTH, at + WIDTH * 0.6)))
            view[:, left:right] = passing * 0.5 + view[:, left:right] * 0.05
        light = gain * drift ** float(np.clip((i - drift_at) / drift_for, 0, 1))
        light *= 2.2 if any(f <= i < f + flash_length for f in flashes) else 1.0
        view = view * light + rng.normal(0, noise, (HEIGHT, WIDTH, 1))
        yield np.clip(view, 0, 255).astype(np.uint8)


def mix(kind: str, share: float, before: Pixels, after: Pixels) -> Pixels:
    """A frame inside a transition; share of the new shot 0..1."""
    height, width = before.shape[:2]
    if kind == "dissolve":
        return cv2.addWeighted(before, 1 - share, after, share, 0).astype(np.uint8)
    if kind in ("fade", "white"):
        level = 0 if kind == "fade" else 255
        picture, left = (before, 1 - 2 * share) if share < 0.5 else (after, 2 * share - 1)
        return np.clip(level + (picture.astype(np.float32) - level) * left, 0, 255).astype(np.uint8)
    out = before.copy()
    edge = round(share * width)
    if kind == "wipe":
        out[:, :edge] = after[:, :edge]
    elif kind == "wipe down":
        row = round(share * height)
        out[:row] = after[:row]
    elif kind == "push":
        out = np.concatenate([before[:, edge:], after[:, :edge]], axis=1)
    elif kind == "iris":
        y, x = np.ogrid[:height, :width]
        inside = np.hypot(x - width / 2, y - height / 2) < share * np.hypot(width, height) / 2
        out[inside] = after[inside]
    return out


KINDS = ("cut", "dissolve", "fade", "white", "wipe", "wipe down", "push", "iris")
_CHANCES = np.array([0.62, 0.14, 0.08, 0.02, 0.05, 0.03, 0.03, 0.03])


def compose(
    sources: Sequence[Source], shots: int, rng: np.random.Generator, film: Film, chances: NDArray[np.float64] = _CHANCES
) -> Iterator[Pixels]:
    """The frames of a film of this many shots; `film` is filled with the truth as they come."""
    picked = [sources[i] for i in rng.permutation(len(sources))]
    current: Iterator[Pixels] | None = None
    left = 0
    for n in range(shots):
        if current is None:
            left = int(rng.integers(15, 110))
            current = _shot(picked[n % len(picked)], left + 80, rng)
        kind = str(rng.choice(KINDS, p=chances)) if n + 1 < shots else "end"
        for _ in range(left):
            yield next(current)
            film.frames += 1
        if kind == "end":
            return
        same = rng.random() < 0.12  # another piece of the same source
        following_length = int(rng.integers(12, 110))
        following = _shot(picked[(n + (0 if same else 1)) % len(picked)], following_length + 120, rng)
        if kind == "cut":
            film.cuts.append(film.frames)
        else:
            long = int(rng.integers(8, 40))
            film.soft.append((kind, film.frames, film.frames + long - 1))
            for i in range(long):
                yield mix(kind, (i + 1) / (long + 1), next(current), next(following))
                film.frames += 1
        current, left = following, following_length


def look(frames: Iterator[Pixels], rng: np.random.Generator, film: Film) -> Iterator[Pixels]:
    """A film as a whole may be black and white, letterboxed, or repeat every fourth frame; the truth follows."""
    grey, letterbox, repeats = rng.random(3) < (0.15, 0.2, 0.15)
    last: Pixels | None = None
    for n, pixels in enumerate(frames):
        if repeats and n % 4 == 3 and last is not None:
            pixels = last
            film.cuts[-1:] = [n + 1 if cut == n else cut for cut in film.cuts[-1:]]  # the new shot shows a frame later
        else:
            if grey:
                pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)
            if letterbox:
                pixels = pixels.copy()
                pixels[: HEIGHT // 8] = pixels[-HEIGHT // 8 :] = 0
            last = pixels
        yield pixels


def write_film(
    path: Path, frames: Iterator[Pixels], rate: Fraction = Fraction(25), quality: int = 23, preset: str = "veryfast"
) -> None:
    """Encode frames as H.264 in MP4."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": preset})
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = WIDTH, HEIGHT
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
