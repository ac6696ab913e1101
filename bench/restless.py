"""Films of short shots and fast movement, with much that looks like a cut and is none; made as those of `films` are.

Shots last from one frame to three seconds; cameras whip, crash into a zoom and shake. Inside shots there are flashes,
strobes, lights that are switched, explosions, pictures put in, things that cross or cover the view, dropped frames and
changes of focus.
"""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.films import HEIGHT, KINDS, WIDTH, Film, Pixels, Source, mix

_CHANCES = np.array([0.9, 0.04, 0.02, 0.01, 0.01, 0.01, 0.01, 0.0])
_PAGES, _SAME, _DISTURBED = 0.12, 0.12, 0.4

Shot = list[Pixels]
Disturb = Callable[[Shot, np.random.Generator, Sequence[Source]], Shot]


def compose_restless(sources: Sequence[Source], shots: int, rng: np.random.Generator, film: Film) -> Iterator[Pixels]:
    """The frames of a film of this many shots; `film` is filled with the truth as they come.

    One film in six is a row of still pictures of two to six frames each; one in three moves two or three times as fast,
    as at a low frame rate; in one of six frames are repeated.
    """
    montage = int(rng.integers(2, 7)) if rng.random() < 1 / 6 else 0
    pace = float(rng.choice([0.5, 1.0, 1.0, 1.0, 2.0, 3.0]))
    twice = int(rng.choice([2, 4])) if rng.random() < 1 / 6 else 0

    source = sources[0]
    since_page = 0

    def following(extra: int) -> Shot:
        nonlocal source, since_page
        since_page += 1
        if since_page == 1 and rng.random() < 0.5:
            source = Source("ground", [np.full_like(source.pixels[0], source.pixels[0][0, 0])])  # a title is taken away
        elif since_page > 3 and rng.random() < _PAGES:
            source, since_page = _page(rng), 0
        elif rng.random() >= _SAME or len(source.pixels) > 1 or since_page < 3:  # else a photograph seen in another way
            source = sources[int(rng.integers(len(sources)))]
        if montage:
            return _camera(source, montage, rng, 0.0)
        length = int(rng.choice([rng.integers(1, 6), rng.integers(5, 30), rng.integers(5, 30), rng.integers(25, 75)]))
        shot = _camera(source, length + extra, rng, pace)
        if rng.random() < _DISTURBED and length > 6:
            shot = DISTURBANCES[int(rng.integers(len(DISTURBANCES)))](shot, rng, sources)
        level = float(rng.uniform(0.15, 0.5) if rng.random() < 0.15 else rng.uniform(0.7, 1.1))
        grain = rng.uniform(0, 4)
        shot = [_lit(pixels, level, 0.0, rng.normal(0, grain, (HEIGHT, WIDTH, 1))) for pixels in shot]
        return [pixels for n, pixels in enumerate(shot) for _ in range(2 if twice and n % twice == twice - 1 else 1)]

    current = following(0)
    for _ in range(shots - 1):
        kind = "cut" if montage else str(rng.choice(KINDS, p=_CHANCES / _CHANCES.sum()))
        long = int(rng.integers(8, 25))
        if kind == "cut" or len(current) < long + 6:
            yield from current
            film.frames += len(current)
            film.cuts.append(film.frames)
            current = following(0)
            continue
        after = following(long)
        yield from current[:-long]
        film.frames += len(current) - long
        film.soft.append((kind, film.frames, film.frames + long - 1))
        yield from (mix(kind, (i + 1) / (long + 1), current[i - long], after[i]) for i in range(long))
        film.frames += long
        current = after[long:]
    yield from current
    film.frames += len(current)


def _camera(source: Source, length: int, rng: np.random.Generator, pace: float) -> Shot:
    """A camera over a source. pace: of its movement; 0 stands still."""
    picture = source.pixels[0]
    height, width = picture.shape[:2]
    most = min(width / WIDTH, height / HEIGHT)
    zoom = most * float(rng.uniform(0.5, 0.8))
    kind = str(rng.choice(["still", "pan", "whip", "swing", "zoom", "crash", "hand"])) if pace else "still"
    speed = {"pan": rng.uniform(1, 8), "whip": rng.uniform(10, 30), "swing": rng.uniform(10, 40)}.get(kind, 0.0)
    speed *= pace * float(rng.choice([-1, 1]))
    tilt = float(rng.normal(0, 0.3))
    growth = {"zoom": rng.uniform(-0.02, 0.02), "crash": rng.uniform(-0.08, 0.08)}.get(kind, 0.0) * pace
    begins, lasts = int(rng.integers(0, length)), int(rng.integers(4, 16))
    shake = float(rng.choice([1.0, 3.0, 6.0])) * pace if kind == "hand" else float(rng.choice([0, 0, 0.5])) * pace
    x, y, jitter = width / 2 + rng.normal(0, width / 10), height / 2, np.zeros(2)
    first = int(rng.integers(0, max(1, len(source.pixels) - length)))
    shot: Shot = []
    for n in range(length):
        picture = source.pixels[min(first + n, len(source.pixels) - 1)]
        if kind in ("pan", "whip") or begins <= n < begins + lasts:
            x, y = x + speed, y + speed * tilt
            speed = -speed if not width * 0.2 <= x <= width * 0.8 and (x - width / 2) * speed > 0 else speed
        if kind == "zoom" or (kind == "crash" and begins <= n < begins + lasts):
            zoom = float(np.clip(zoom * (1 + growth), 0.25 * most, most))
        jitter = 0.85 * jitter + rng.normal(0, 1, 2) * shake
        left, top = x + jitter[0] - WIDTH * zoom / 2, y + jitter[1] - HEIGHT * zoom / 2
        move = np.array([[zoom, 0, left], [0, zoom, top]], np.float64)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        view = cv2.warpAffine(picture, move, (WIDTH, HEIGHT), flags=how, borderMode=cv2.BORDER_REFLECT)
        shot.append(np.asarray(view, np.uint8))
    return shot


def _page(rng: np.random.Generator) -> Source:
    """One colour, or lines of writing on it."""
    ground = int(rng.choice([0, 0, 255, rng.integers(0, 256)]))
    page = np.full((2 * HEIGHT, 2 * WIDTH, 3), ground, np.uint8)
    ink = (255 - ground,) * 3
    for row in range(int(rng.integers(0, 5))):
        text = "".join(rng.choice(list("abcdefgh ijklmn opqrs tuvw"), int(rng.integers(4, 22))))
        place = (int(rng.integers(100, 300)), 120 + row * 45)
        cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.8, 1.8)), ink, 3)
    return Source("page", [page])


def _lit(pixels: Pixels, gain: float, lift: float = 0.0, grain: NDArray[np.float64] | float = 0.0) -> Pixels:
    return np.clip(pixels.astype(np.float32) * gain + lift + grain, 0, 255).astype(np.uint8)


# --- what is no cut ---------------------------------------------------------------------------------------------------


def _flashes(shot: Shot, rng: np.random.Generator, sources: Sequence[Source]) -> Shot:
    lift, gain = (float(rng.uniform(60, 200)), 1.0) if rng.random() < 0.6 else (10.0, float(rng.uniform(1.8, 3)))
    for _ in range(int(rng.integers(1, 4))):
        long = int(rng.integers(1, 5))
        at = len(shot) - long if rng.random() < 0.15 else int(rng.integers(1, len(shot)))
        for n in range(max(1, at), min(at + long, len(shot))):
            shot[n] = _lit(shot[n], gain, lift)
    return shot


def _strobe(shot: Shot, rng: np.random.Generator, sources: Sequence[Source]) -> Shot:
    every, gain, lift = int(rng.integers(2, 6)), float(rng.uniform(1.4, 2.5)), float(rng.uniform(0, 60))
    dark = rng.random() < 0.3
    return [
        _lit(p, 1 / gain if dark else gain, 0 if dark else lift) if n // every % 2 else p for n, p in enumerate(shot)
    ]


def _switched(shot: Shot, rng: np.random.Generator, sources: Sequence[Source]) -> Shot:
    """A light goes out or on, at once or within a few frames."""
    dim, at, long = float(rng.uniform(0.15, 0.65)), int(rng.integers(2, len(shot))), int(rng.integers(1, 5))
    on = rng.random() < 0.5
    shares = [float(np.clip((n - at + 1) / long, 0, 1)) for n in range(len(shot))]
    return [_lit(p, dim ** (1 - s if on else s)) for p, s in zip(shot, shares, strict=True)]


def _put_in(shot: Shot, rng: np.random.Generator, sources: Sequence[Source]) -> Shot:
    """A picture, a sign or a band appears over part of the view, and goes."""
    wide, high = (int(rng.uniform(0.25, 0.55) * side) for side in (WIDTH, HEIGHT))
    if rng.random() < 0.3:
        wide, high = WIDTH, int(HEIGHT * rng.uniform(0.1, 0.25))
    x, y = int(rng.integers(0, WIDTH - wide + 1)), int(rng.integers(0, HEIGHT - high + 1))
    photo = sources[int(rng.integers(len(sources)))].pixels[0]
    inset = cv2.resize(photo, (wide, high), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.4:
        inset[:] = rng.integers(0, 256, 3)
    at = int(rng.integers(1, len(shot)))
    for n in range(at, min(len(shot), at + int(rng.integers(4, 50)))):
        shot[n] = shot[n].copy()
        shot[n][y : y + high, x : x + wide] = inset
    return shot


def _explosion(shot: Shot, rng: np.random.Generator, sources: Sequence[Source]) -> Shot:
    rises, falls = int(rng.integers(1, 8)), int(rng.integers(3, 14))
    at, level, most = int(rng.integers(1, len(shot))), float(rng.choice([255, 255, 0])), float(rng.uniform(0.6, 1))
    for n in range(max(1, at - rises), min(len(shot), at + falls)):
        share = most * (1 - (at - n) / rises if n < at else 1 - (n - at) / falls)
        shot[n] = _lit(shot[n], 1 - share, level * share)
    return shot


def _crossing(shot: Shot, rng: np.random.Generator, sources: Sequence[Source]) -> Shot:
    """Something large crosses, or comes and covers the whole view for a moment."""
    wide, speed = WIDTH * float(rng.uniform(0.2, 1.3)), WIDTH * float(rng.uniform(0.05, 0.5))
    colour, at, mirrored = rng.integers(0, 200, 3), int(rng.integers(1, len(shot))), rng.random() < 0.5
    for n in range(at, len(shot)):
        right = (n - at + 1) * speed
        a, b = (int(np.clip(v, 0, WIDTH)) for v in (right - wide, right))
        if a < b:
            shot[n] = shot[n].copy()
            shot[n][:, slice(WIDTH - b, WIDTH - a) if mirrored else slice(a, b)] = colour
    return shot


def _dropped(shot: Shot, rng: np.random.Generator, sources: Sequence[Source]) -> Shot:
    """Some frames are missing; or one stands for a while."""
    at, long = int(rng.integers(1, len(shot))), int(rng.integers(2, 5))
    if rng.random() < 0.5:
        return shot[:at] + shot[at + long :]
    return shot[:at] + [shot[at]] * 2 * long + shot[at:]


def _refocused(shot: Shot, rng: np.random.Generator, sources: Sequence[Source]) -> Shot:
    period, most = float(rng.uniform(5, 15)), float(rng.uniform(3, 10))
    blurs = [0.1 + most * abs(np.sin(n / period)) for n in range(len(shot))]
    return [np.asarray(cv2.GaussianBlur(p, (0, 0), b), np.uint8) for p, b in zip(shot, blurs, strict=True)]


DISTURBANCES: tuple[Disturb, ...] = (
    *(_flashes, _flashes, _flashes, _strobe, _switched, _switched, _put_in, _put_in),
    *(_explosion, _crossing, _crossing, _dropped, _refocused),
)
