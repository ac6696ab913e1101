"""Shots: hard cuts to the frame, soft transitions left out, nothing cut that is one shot."""

import io
import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.video import VideoReader, analyse, cuts
from openrek.vision.video.analysis import Interval, observe
from openrek.vision.video.packing import pack, unpack
from openrek.vision.video.shots import ShotDetector, Transition, shots_between
from openrek.vision.video.sketch import Sketches
from tests.video_kit import encode

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 192, 108


def scene(seed: int, light: float = 1.0) -> Pixels:
    """A large random picture of soft blobs, for a camera to look at."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 16, 3)).astype(np.uint8)
    fine = rng.integers(0, 256, (60, 100, 3)).astype(np.uint8)
    size = (2 * WIDTH, 2 * HEIGHT)
    mixed = cv2.addWeighted(cv2.resize(coarse, size), 0.75, cv2.resize(fine, size), 0.25, 0)
    return np.clip(mixed * light, 0, 255).astype(np.uint8)


def view(picture: Pixels, x: float = 0, y: float = 0, zoom: float = 1.0) -> Pixels:
    move = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(picture, move, (WIDTH, HEIGHT), flags=how, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def static(seed: int, length: int, light: float = 1.0) -> list[Pixels]:
    return [view(scene(seed, light))] * length


def pan(seed: int, length: int, speed: float = 4.0) -> list[Pixels]:
    picture = scene(seed)
    return [view(picture, x=speed * n) for n in range(length)]


def mixed(before: Pixels, after: Pixels, length: int) -> list[Pixels]:
    shares = [(n + 1) / (length + 1) for n in range(length)]
    return [cv2.addWeighted(before, 1 - share, after, share, 0).astype(np.uint8) for share in shares]


def shots_of(pictures: list[Pixels]) -> list[tuple[int, int]]:
    with VideoReader.open(io.BytesIO(encode(pictures, options={"crf": "18"}))) as reader:
        return [(shot.start, shot.end) for shot in analyse(reader, [ShotDetector()])["shots"]]


def test_hard_cuts_are_exact() -> None:
    film = [*static(1, 40), *pan(2, 50), *static(3, 13), *pan(4, 60, speed=-2), *static(5, 30, light=0.35)]
    assert shots_of(film) == [(0, 39), (40, 89), (90, 102), (103, 162), (163, 192)]


def test_cuts_beside_fast_movement() -> None:
    """A whip pan after a cut, or before it, hides nothing."""
    film = [*pan(2, 30, 1), *pan(3, 14, 22), *pan(4, 30, 1), *pan(5, 12, -18), *pan(6, 12, 25), *pan(7, 30, 0.5)]
    assert [start for start, _ in shots_of(film)] == [0, 30, 44, 74, 86, 98]


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_row_of_photographs_is_cut_at_each(length: int) -> None:
    film = [picture for seed in range(30) for picture in static(seed, length)]
    assert len({start for start, _ in shots_of(film)} & set(range(0, 30 * length, length))) >= 28


def test_black_and_white_film_is_cut_too() -> None:
    grey = [np.repeat(p[..., 1:2], 3, axis=2) for p in [*static(1, 40), *pan(2, 50), *static(6, 40)]]
    assert shots_of(grey) == [(0, 39), (40, 89), (90, 129)]


def test_a_black_start_is_a_shot() -> None:
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert shots_of([black] * 30 + static(7, 40)) == [(0, 29), (30, 69)]
    assert shots_of([black] * 40) == [(0, 39)]


@pytest.mark.parametrize("lasting", [1, 20, 90])
def test_black_that_grows_lighter_is_one_shot(lasting: int) -> None:
    """Spec 09: a video of only black frames is one shot."""
    levels = np.clip((np.arange(110) - 10) / lasting, 0, 1) * 40
    assert shots_of([np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in levels]) == [(0, 109)]


def single_shots() -> Iterator[tuple[str, list[Pixels]]]:
    picture = scene(11)
    yield "still", static(11, 90)
    yield "pan", pan(11, 90, speed=3)
    yield "zoom", [view(picture, 30, 20, 1 + n / 80) for n in range(90)]
    rng = np.random.default_rng(2)
    yield "shake", [view(picture, 40 + rng.normal(0, 3), 30 + rng.normal(0, 3)) for _ in range(90)]
    for length in (1, 2, 3):
        lit = [np.clip(p.astype(np.float32) * 2.4 + 30, 0, 255).astype(np.uint8) for p in static(11, length)]
        yield f"flash {length}", [*static(11, 45), *lit, *static(11, 45)]
    bright = np.clip(view(picture).astype(np.float32) + 100, 0, 255).astype(np.uint8)
    yield "light out", [*static(11, 45), *static(11, 45, light=0.5)]
    yield "light on", [*static(11, 45, light=0.5), *static(11, 45)]
    white = np.full_like(bright, 255)
    yield (
        "explosion",
        [*static(11, 40), *mixed(view(picture), white, 4), *mixed(white, view(picture), 9), *static(11, 40)],
    )
    inset = [view(picture).copy() for _ in range(90)]
    for shown in inset[30:60]:
        shown[8:62, 10:106] = view(scene(12))[::2, ::2]
    yield "picture put in", inset
    crossing = [view(picture).copy() for _ in range(90)]
    for n, shown in enumerate(crossing[40:52]):
        shown[:, max(0, (n - 5) * WIDTH // 6) : max(0, (n + 1) * WIDTH // 6)] = (40, 60, 35)
    yield "crossing", crossing
    yield "flash at the end", [*static(11, 45), *[bright] * 2]
    passing = static(11, 90)
    for n in range(30, 60):
        passing[n] = passing[n].copy()
        passing[n][20:90, max(0, (n - 36) * 12) : max(0, (n - 36) * 12 + 80)] = (30, 60, 90)
    yield "passer-by", passing
    dims = [1 - 0.4 * min(1, max(0, n - 20) / 50) for n in range(90)]
    yield "light", [np.clip(p * dim, 0, 255).astype(np.uint8) for p, dim in zip(static(11, 90), dims, strict=True)]


@pytest.mark.parametrize(
    ("name", "film"), list(single_shots()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_moves_inside_one_shot_is_no_cut(name: str, film: list[Pixels]) -> None:
    assert shots_of(film) == [(0, len(film) - 1)]


@pytest.mark.parametrize("length", [12, 24, 36])
def test_a_dissolve_is_left_out(length: int) -> None:
    """Acceptance: a cross-fade of 24 frames leaves a gap of about 24 frames between two shots."""
    film = [*static(1, 50), *mixed(static(1, 1)[0], static(2, 1)[0], length), *static(2, 50)]
    (first, before), (after, last) = shots_of(film)
    assert (first, last) == (0, len(film) - 1)
    assert abs(before - 49) <= 2
    assert abs(after - (50 + length)) <= 2


def test_fades_through_black() -> None:
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    first, second = static(3, 1)[0], static(4, 1)[0]
    for hold, expected in ((3, 2), (40, 3)):  # a short hold belongs to the transition, a long one is a shot
        film = [first] * 50 + mixed(first, black, 14) + [black] * hold + mixed(black, second, 14) + [second] * 50
        shots = shots_of(film)
        assert len(shots) == expected
        assert abs(shots[0][1] - 49) <= 2
        assert abs(shots[-1][0] - (50 + 28 + hold)) <= 2


def test_a_wipe_is_left_out() -> None:
    before, after = static(5, 1)[0], static(6, 1)[0]
    wipe = [np.concatenate([after[:, : n * WIDTH // 25], before[:, n * WIDTH // 25 :]], axis=1) for n in range(1, 25)]
    shots = shots_of([*[before] * 50, *wipe, *[after] * 50])
    assert len(shots) == 2
    assert abs(shots[0][1] - 49) <= 4
    assert abs(shots[1][0] - 74) <= 4


def titled(text: str) -> Pixels:
    card = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return np.asarray(cv2.putText(card, text, (20, 64), 0, 0.8, (255, 255, 255), 2), np.uint8)


def test_a_title_that_is_cut_to_black_ends_a_shot() -> None:
    black, title = np.zeros((HEIGHT, WIDTH, 3), np.uint8), titled("A RIVER")
    film = [*[black] * 25, *mixed(black, title, 4), *[title] * 50, *[black] * 20, *pan(1, 40)]
    assert [start for start, _ in shots_of(film)][1:] == [79, 99]


@pytest.mark.parametrize(("before", "slow", "heals"), [(1, 0, False), (3, 0, False), (30, 0, True), (30, 12, False)])
def test_only_a_picture_that_was_there_for_a_while_comes_back(before: int, slow: int, heals: bool) -> None:
    """A decoding error comes at once and stands until the shot goes on; a flash like the next shot is no part of it."""
    whole = view(scene(1))
    garbled = np.roll(whole, WIDTH // 2, axis=1)
    film = [*static(2, 20), *[whole] * before, *mixed(whole, garbled, slow), *[garbled] * 20, *[whole] * 20]
    with VideoReader.open(io.BytesIO(encode(film))) as reader:
        seen = observe(reader, [ShotDetector()])["shots"]
    sketches = Sketches(np.array([frame for frame, _ in seen]), [row for _, row in seen])
    assert cuts.returns(sketches, 0, 40 + before + slow) is heals


def test_chunks_and_packing_change_nothing() -> None:
    film = encode([*static(1, 40), *pan(2, 50), *static(3, 40), *pan(4, 60)])
    detector = ShotDetector()
    with VideoReader.open(io.BytesIO(film)) as reader:
        whole = observe(reader, [detector])["shots"]
        parts = [observe(reader, [detector], c.start, c.stop)["shots"] for c in reader.chunks(0.5)]
        assert len(parts) > 5
        assert b"".join(o for part in parts for _, o in part) == b"".join(o for _, o in whole)
        once = detector.decide(reader.info, whole)
        again = detector.decide(reader.info, (row for part in parts for row in unpack(pack(part))))
    assert once == again
    assert [shot.start for shot in once] == [0, 40, 90, 130]


def test_a_long_film_is_decided_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [p for n in range(12) for p in (static(n, 37) if n % 2 else pan(n, 41))]
    film = encode(pictures)
    detector = ShotDetector()
    with VideoReader.open(io.BytesIO(film)) as reader:
        observations = observe(reader, [detector])["shots"]
        whole = detector.decide(reader.info, observations)
        monkeypatch.setattr("openrek.vision.video.shots._BLOCK", 100)
        assert detector.decide(reader.info, observations) == whole
    assert len(whole) == 12


def test_shots_between_transitions() -> None:
    changes = [Transition(10, 9, 0.9), Transition(30, 39, 0.8), Transition(60, 59, 0.99)]
    assert shots_between(changes, 100) == [
        Interval("shot", 0, 9, 0.9),
        Interval("shot", 10, 29, 0.8),
        Interval("shot", 40, 59, 0.8),
        Interval("shot", 60, 99, 0.99),
    ]
    assert shots_between([], 5) == [Interval("shot", 0, 4, 1.0)]
    assert shots_between([Transition(0, 12, 0.9)], 20) == [Interval("shot", 13, 19, 0.9)]


def test_the_cuts_of_real_films(media: Path) -> None:
    truth = json.loads((media / "truth.json").read_text())["video"]
    for name, known in truth.items():
        if "hard_cuts" not in known:
            continue
        with VideoReader.open(media / name) as reader:
            shots = analyse(reader, [ShotDetector()])["shots"]
            starts = [shot.start for shot in shots[1:]]
            soft = [each["frames"] for each in known.get("soft", [])]
            hard = [b.start for a, b in pairwise(shots) if b.start == a.end + 1]
            assert set(known["hard_cuts"]) <= set(hard), name
            for start in set(hard) - set(known["hard_cuts"]):
                assert any(a - 2 <= start <= b + 2 for a, b in soft), (name, start)
            for first, last in soft:  # each is a gap that it overlaps
                gaps = [(a.end + 1, b.start - 1) for a, b in pairwise(shots)]
                assert any(low <= last and high >= first for low, high in gaps), (name, first, last)
            if "hard_cut_ms" in known:
                stamps = [reader.info.clock.timestamp_ms(start) for start in starts]
                assert set(known["hard_cut_ms"]) <= set(stamps)


SINGLE = (
    "arm-wrestling",
    "six-people-one-by-one",
    "bars-hd",
    "bars-sd-burnt-timecode",
    "scrolling-bars-clock",
    "rolling-credits",
)
CCTV = ("fi005", "fi028", "fi032", "fi085", "fi113", "nofi003", "nofi084")


@pytest.mark.parametrize("name", [*SINGLE, *(f"cctv-{name}" for name in CCTV)])
def test_single_shots_of_real_films_stay_whole(media: Path, name: str) -> None:
    with VideoReader.open(media / "video" / f"{name}.mp4") as reader:
        shots = analyse(reader, [ShotDetector()])["shots"]
    assert [(shot.start, shot.end) for shot in shots] == [(0, reader.info.frames - 1)]
    assert reader.info.rate >= Fraction(10)
