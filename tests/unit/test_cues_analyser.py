"""Cues of whole clips: credits, slates, logos, chunking, and inputs that have next to nothing in them."""

import pickle
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from bench import cue_films as films
from bench.cue_films import Film

from openrek.vision.video import VideoReader
from openrek.vision.video.analysis import Interval, observe
from openrek.vision.video.cues import BlackRule, CueAnalyser
from openrek.vision.video.cues.decide import black_spans
from openrek.vision.video.cues.seen import Glance, Seen
from tests.unit.cues_kit import SOUND_RATE, cues_of, short, write_clip

SIZE = (320, 180)


def programme(film: Film, shots: int = 3) -> Film:
    for seed in range(shots):
        film.add(50, films.scene(film.size, seed, 50))
    return film


def one(cues: Iterable[Interval], kind: str) -> Interval:
    found = [cue for cue in cues if cue.kind == kind]
    assert len(found) == 1, short(cues)
    return found[0]


def near(cue: Interval, truth: tuple[str, int, int], frames: int = 5) -> bool:
    return abs(cue.start - truth[1]) <= frames and abs(cue.end - truth[2]) <= frames


def test_rolling_end_credits(tmp_path: Path) -> None:
    film = programme(Film(SIZE))
    frames, late, paint = films.roll(SIZE, 5, 1.6, 4)
    film.add(frames, paint, "EndCredits", late).add(25, films.plain(SIZE))
    cues = cues_of(film.write(tmp_path / "roll.mp4"))
    credits = one(cues, "EndCredits")
    assert near(credits, film.truth[0])
    assert credits.confidence > 0.8
    assert [cue.kind for cue in cues][-1] == "BlackFrames"


def test_rolling_credits_over_a_picture(tmp_path: Path) -> None:
    """Lines of the picture's own stand still behind them, and join with them."""
    film = programme(Film((640, 360)), 1)
    still = films.scene(film.size, 1, 1)(0) // 2
    frames, late, paint = films.roll(film.size, 8, 4.5, 5, under=lambda n: still)
    film.add(frames, paint, "EndCredits", late)
    cues = cues_of(film.write(tmp_path / "over.mp4"))
    assert near(one(cues, "EndCredits"), film.truth[0], 10), short(cues)


def test_a_tilted_camera_rolls_no_credits(tmp_path: Path) -> None:
    film = programme(Film(SIZE), 1)
    photo = cv2.resize(films.photos()[4], (SIZE[0], 900))
    film.add(200, lambda n: photo[3 * n : 3 * n + SIZE[1]])
    assert short(cues_of(film.write(tmp_path / "tilt.mp4"))) == [("Content", 0, 249)]


@pytest.mark.parametrize(("after", "found"), [(1, 1), (3, 0)])
def test_only_a_short_scene_follows_end_credits(tmp_path: Path, after: int, found: int) -> None:
    film = programme(Film(SIZE), 4)
    frames, _, paint = films.roll(SIZE, 5, 4.0, 2)
    programme(film.add(frames, paint), after)
    cues = cues_of(film.write(tmp_path / "scene.mp4"))
    assert sum(cue.kind == "EndCredits" for cue in cues) == found, short(cues)


@pytest.mark.parametrize("ground", [(0, 0, 0), (40, 50, 90), (230, 230, 225)])
def test_cards_as_end_credits(tmp_path: Path, ground: tuple[int, int, int]) -> None:
    film = programme(Film(SIZE))
    ink = (20, 20, 20) if ground[0] > 200 else (240, 240, 240)
    frames, paint = films.cards(SIZE, 3, 4, 40, fade=6, under=films.plain(SIZE, ground), ink=ink, gap=8)
    film.add(frames, paint, "EndCredits")
    assert near(one(cues_of(film.write(tmp_path / "cards.mp4")), "EndCredits"), film.truth[0])


def test_cards_as_opening_credits(tmp_path: Path) -> None:
    film = Film(SIZE)
    frames, paint = films.cards(SIZE, 4, 3, 40)
    film.add(frames, paint, "OpeningCredits")
    programme(film, 6)
    assert near(one(cues_of(film.write(tmp_path / "opening.mp4")), "OpeningCredits"), film.truth[0])


def test_bars_slate_black_programme(tmp_path: Path) -> None:
    film = Film(SIZE).add(40, films.bars(SIZE, "ebu75", noise=4, counter=True), "ColorBars")
    film.add(15, films.plain(SIZE), "BlackFrames").add(75, films.slate(SIZE, 2), "Slate")
    film.add(15, films.plain(SIZE), "BlackFrames")
    cues = cues_of(programme(film).write(tmp_path / "master.mp4"))
    assert short(cues)[:4] == [(kind, start, end) for kind, start, end in film.truth]
    assert short(cues)[4:] == [("Content", 145, 294)]


def test_logo_from_and_to_black(tmp_path: Path) -> None:
    film = Film(SIZE).add(20, films.plain(SIZE)).add(75, films.logo(SIZE, 1, 75), "StudioLogo")
    film.add(15, films.plain(SIZE))
    assert near(one(cues_of(programme(film).write(tmp_path / "logo.mp4")), "StudioLogo"), film.truth[0], 8)


def test_programme_with_captions_has_no_cue(tmp_path: Path) -> None:
    letters = films.font("DejaVuSans-Bold.ttf", 14)
    film = Film(SIZE)
    for seed in range(3):
        paint = films.scene(SIZE, seed, 50)
        rows = [(0.5, 0.9, "mm", films.NAMES[seed] + " said so"), (0.06, 0.1, "lm", "LIVE")]
        film.add(50, lambda n, paint=paint, rows=rows: films.written(paint(n), rows, letters, (255, 255, 255)))
    assert short(cues_of(film.write(tmp_path / "captions.mp4"))) == [("Content", 0, 149)]


def test_a_single_title_card_is_no_credits(tmp_path: Path) -> None:
    letters = films.font("DejaVuSerif.ttf", 24)
    ground = films.plain(SIZE, (30, 60, 30))(0)
    card = films.written(ground, [(0.5, 0.5, "mm", "Chapter Two")], letters, (230, 230, 230))
    film = programme(Film(SIZE)).add(60, lambda n: card)
    assert short(cues_of(programme(film).write(tmp_path / "chapter.mp4"))) == [("Content", 0, 359)]


def test_any_chunking_gives_the_same_bytes(tmp_path: Path) -> None:
    film = Film(SIZE).add(30, films.bars(SIZE, "smpte")).add(20, films.plain(SIZE))
    frames, _, paint = films.roll(SIZE, 5, 3.0, 2)
    path = programme(film, 1).add(frames, paint).write(tmp_path / "film.mp4")
    whole = cues_of(path)
    assert len(whole) > 3
    assert all(pickle.dumps(cues_of(path, seconds=seconds)) == pickle.dumps(whole) for seconds in (0.1, 2.5))
    with VideoReader.open(path) as reader:
        all_at_once = observe(reader, [CueAnalyser()])["cues"]
        pieces = [row for c in reader.chunks(1) for row in observe(reader, [CueAnalyser()], c.start, c.stop)["cues"]]
        assert len(reader.chunks(1)) > 2
    assert pieces == all_at_once


def test_least_confidence_turns_findings_into_content(tmp_path: Path) -> None:
    film = programme(Film(SIZE))
    frames, paint = films.cards(SIZE, 3, 3, 40)
    path = film.add(frames, paint).write(tmp_path / "cards.mp4")
    sure = one(cues_of(path), "EndCredits").confidence
    assert "EndCredits" in [kind for kind, *_ in short(cues_of(path, least=sure))]
    assert "EndCredits" not in [kind for kind, *_ in short(cues_of(path, least=sure + 0.01))]


@pytest.mark.parametrize("level", [0, 200])
def test_one_frame(tmp_path: Path, level: int) -> None:
    path = write_clip(tmp_path / "one.mp4", [np.full((48, 64, 3), level, np.uint8)])
    assert short(cues_of(path)) == [("Content" if level else "BlackFrames", 0, 0)]


def test_all_black_with_tone_is_content(tmp_path: Path) -> None:
    tone = (0.2 * np.sin(np.arange(SOUND_RATE) / 20)).astype(np.float32)
    path = write_clip(tmp_path / "tone.mp4", [np.zeros((48, 64, 3), np.uint8)] * 25, sound=tone)
    assert short(cues_of(path)) == [("Content", 0, 24)]
    path = write_clip(tmp_path / "mute.mp4", [np.zeros((48, 64, 3), np.uint8)] * 25)
    assert short(cues_of(path)) == [("BlackFrames", 0, 24)]


def test_variable_frame_rate_hears_at_presentation_times(tmp_path: Path) -> None:
    # 20 frames in the first second, then black from 1 s to 3 s in 10 frames; sound until 2 s
    times = [50 * n for n in range(20)] + [1000 + 200 * n for n in range(10)]
    frames = [np.full((48, 64, 3), 120 if n < 20 else 0, np.uint8) for n in range(30)]
    tone = (0.2 * np.sin(np.arange(2 * SOUND_RATE) / 20)).astype(np.float32)
    path = write_clip(tmp_path / "vfr.mp4", frames, sound=tone, times=times)
    cues = short(cues_of(path))
    assert [kind for kind, *_ in cues] == ["Content", "BlackFrames"]
    assert cues[0][2] in (25, 26)


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p10le", "yuv422p"])
def test_other_pixel_formats(tmp_path: Path, pixels: str) -> None:
    frames = [films.bars((192, 108), "ebu75")(0)] * 15 + [np.zeros((108, 192, 3), np.uint8)] * 10
    path = write_clip(tmp_path / "deep.mp4", frames, pixels=pixels)
    assert short(cues_of(path)) == [("ColorBars", 0, 15), ("BlackFrames", 15, 24)]


@pytest.mark.parametrize("side", [(2, 2), (16, 640), (640, 16)])
def test_strange_sizes(tmp_path: Path, side: tuple[int, int]) -> None:
    path = write_clip(tmp_path / "strange.mp4", [np.full((*side, 3), 100, np.uint8)] * 5)
    assert short(cues_of(path)) == [("Content", 0, 4)]


def test_frames_that_cannot_be_decoded_repeat_the_one_before(tmp_path: Path) -> None:
    with VideoReader.open(write_clip(tmp_path / "c.mp4", [np.zeros((48, 64, 3), np.uint8)] * 10)) as reader:
        rows = observe(reader, [CueAnalyser()])["cues"]
        seen = Seen.gather(reader.info, [row for row in rows if row[0] not in (0, 4, 5, 9)])
    assert seen.black.tolist() == [True] * 10
    assert Seen.gather(reader.info, []).black.tolist() == [False] * 10


def test_a_glance_survives_packing() -> None:
    glance = Glance(True, 1100, 18, 200, 10_000, 1, 2, 3, 4, 5, 6, ((1, 2, 3, 4), (500, 990, 40, 20)))
    info = SimpleNamespace(frames=2, rate=Fraction(25))
    seen = Seen.gather(info, [(0, glance.packed()), (1, Glance(False, *[0] * 10, None).packed())])
    assert (seen.lit[0], seen.vivid[0], seen.black.tolist()) == (10_000, 6, [True, False])
    assert seen.lines == [(0, glance.lines)]


@pytest.mark.media
class TestMedia:
    """The project's real clips."""

    @pytest.mark.parametrize(
        ("name", "kind", "start", "last", "within"),
        [
            ("bars-hd", "ColorBars", 0, 899, 0),
            ("bars-sd-burnt-timecode", "ColorBars", 0, 250, 0),
            ("scrolling-bars-clock", "ColorBars", 0, 399, 0),
            ("rolling-credits", "EndCredits", 16, 381, 5),
            ("slate-wipe-host", "Slate", 0, 20, 5),
        ],
    )
    def test_cue(self, media: Path, name: str, kind: str, start: int, last: int, within: int) -> None:
        cue = one(cues_of(media / "video" / f"{name}.mp4"), kind)
        assert abs(cue.start - start) <= within
        assert abs(cue.end - last) <= max(within, 1)

    @pytest.mark.parametrize(
        ("name", "rule", "runs"),
        [
            ("fades-through-black", BlackRule(0.004, 96), [(0, 29), (180, 211), (360, 393), (693, 719)]),
            ("rolling-credits", BlackRule(0.13, 99.4), [(0, 15), (263, 294), (382, 383)]),
            ("fades-through-black", BlackRule(), [(0, 29), (180, 211), (360, 393), (693, 719)]),
        ],
    )
    def test_black_runs(self, media: Path, name: str, rule: BlackRule, runs: list[tuple[int, int]]) -> None:
        """Before credits take theirs. The defaults find what is marked in fades; on white rolling letters, which cover
        less than the 1 % that the defaults allow, only another threshold does."""
        with VideoReader.open(media / "video" / f"{name}.mp4") as reader:
            seen = Seen.gather(reader.info, observe(reader, [CueAnalyser(rule)])["cues"])
        found = [(span.start, span.end - 1) for span in black_spans(seen, rule)]
        assert len(found) == len(runs), found
        assert np.abs(np.array(found) - np.array(runs)).max() <= 1, found

    @pytest.mark.parametrize(
        "name",
        ["arm-wrestling.mp4", "basketball.mp4", "counter.mp4", "cctv-fi005.mp4", "cctv-fi028.mp4", "cctv-fi085.mp4",
         "cctv-nofi084.mp4", "fire-rotated-vfr.mp4", "h264-444.mp4", "hevc.mp4", "two-men-late-start.mp4",
         "two-people-vfr.mp4"],
    )  # fmt: skip
    def test_nothing_is_invented(self, media: Path, name: str) -> None:
        assert [kind for kind, *_ in short(cues_of(media / "video" / name))] == ["Content"]
