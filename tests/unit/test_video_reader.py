"""Frames come with exact numbers and times, whatever the file does."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import numpy as np
import pytest
from av.stream import Disposition

from openrek.vision.video import (
    DamagedVideoError,
    NoVideoError,
    UnreadableVideoError,
    UnsupportedCodecError,
    UnsupportedFormatError,
    VideoError,
    VideoReader,
    VideoTooLargeError,
    check_profile,
)
from openrek.vision.video.stream import packets
from tests.video_kit import encode, numbered, read_number, with_matrix

NTSC = Fraction(30000, 1001)


def opened(video: bytes) -> VideoReader:
    return VideoReader.open(io.BytesIO(video))


def test_frames_are_numbered_in_order_of_presentation() -> None:
    with opened(encode((numbered(n) for n in range(60)), options={"bf": "3"})) as reader:
        frames = [(frame.index, read_number(frame.rgb())) for frame in reader.frames()]
    assert frames == [(n, n) for n in range(60)]
    assert reader.info.frames == 60
    assert reader.corrupt == 0


@pytest.mark.parametrize(
    "rate", [Fraction(15), Fraction(24000, 1001), Fraction(24), Fraction(25), NTSC, Fraction(30), Fraction(60000, 1001)]
)
@pytest.mark.parametrize("format", ["mp4", "matroska", "mpegts"])
def test_the_rate_and_every_timestamp_are_exact(rate: Fraction, format: str) -> None:
    with opened(encode((numbered(n) for n in range(90)), rate=rate, format=format)) as reader:
        stamps = [frame.timestamp_ms for frame in reader.frames()]
        start = reader.info.clock.start
    assert reader.info.rate == rate  # Matroska's milliseconds and MPEG's 90 kHz notwithstanding
    assert stamps == [int((start + n / rate) * 1000) for n in range(90)]
    assert start < Fraction(1, 10)


def test_the_spec_s_figures_at_2997() -> None:
    with opened(encode((numbered(n) for n in range(450)), rate=NTSC)) as reader:
        clock = reader.info.clock
    assert [clock.timestamp_ms(n) for n in (299, 300, 449)] == [9976, 10010, 14981]
    assert reader.info.duration_ms == 15015


def test_variable_rate_gives_presentation_times() -> None:
    times = [0, 40, 80, 200, 230, 270, 500, 510, 900, 1000]
    video = encode((numbered(n) for n in range(10)), times=times, time_base=Fraction(1, 1000), options={"bf": "0"})
    with opened(video) as reader:
        frames = list(reader.frames())
    assert [frame.timestamp_ms for frame in frames] == times
    assert [frame.index for frame in frames] == list(range(10))
    assert not reader.info.clock.constant
    assert [reader.info.clock.frame_at(ms) for ms in (0, 79, 80, 499, 500, 5000)] == [0, 1, 2, 5, 6, 9]


def test_a_dropped_frame_keeps_the_rate_and_shifts_the_times() -> None:
    times = [n * 1001 for n in range(100) if n != 50]
    video = encode((numbered(n) for n in range(99)), rate=NTSC, times=times, time_base=Fraction(1, 30000))
    with opened(video) as reader:
        stamps = [frame.timestamp_ms for frame in reader.frames()]
    assert reader.info.rate == NTSC
    assert stamps[49:52] == [49 * 1001 // 30, 51 * 1001 // 30, 52 * 1001 // 30]


@pytest.mark.parametrize("options", [{"bf": "3"}, {"x264-params": "open-gop=1:bframes=3:keyint=24:scenecut=0"}])
@pytest.mark.parametrize("format", ["mp4", "matroska", "mpegts"])
def test_chunks_are_exactly_the_whole(options: dict[str, str], format: str) -> None:
    with opened(encode((numbered(n) for n in range(130)), format=format, options=options)) as reader:
        whole = [(frame.index, frame.timestamp_ms, frame.luma(32, 18).tobytes()) for frame in reader.frames()]
        chunks = reader.chunks(0.5)
        parts = [
            (frame.index, frame.timestamp_ms, frame.luma(32, 18).tobytes())
            for chunk in reversed(chunks)
            for frame in reversed(list(reader.frames(chunk.start, chunk.stop)))
        ]
    assert len(chunks) >= 4
    assert parts[::-1] == whole


@pytest.mark.parametrize(
    ("format", "codec", "pixel_format", "options"),
    [
        # several frames in a packet of the program stream, whose times FFmpeg counts from where it began
        ("mpeg", "mpeg1video", "yuv420p", {"g": "12", "bf": "2"}),
        ("mpeg", "mpeg2video", "yuv420p", {"g": "12", "bf": "2"}),
        # key frames by name: the picture is whole again only one refresh later
        ("mpegts", "libx264", "yuv420p", {"x264-params": "intra-refresh=1:keyint=24"}),
        # the palette comes with the file's first packet
        ("mov", "qtrle", "gray", {"g": "12"}),
    ],
)
def test_chunks_are_the_whole_where_seeking_is_not_enough(
    format: str, codec: str, pixel_format: str, options: dict[str, str]
) -> None:
    video = encode(
        (numbered(n) for n in range(120)), format=format, codec=codec, pixel_format=pixel_format, options=options
    )
    with opened(video) as reader:
        whole = [(frame.index, frame.timestamp_ms, frame.luma(32, 18).tobytes()) for frame in reader.frames()]
        parts = [
            (frame.index, frame.timestamp_ms, frame.luma(32, 18).tobytes())
            for chunk in reader.chunks(0.5)
            for frame in reader.frames(chunk.start, chunk.stop)
        ]
    assert len(whole) == 120
    assert parts == whole


@pytest.mark.parametrize("start", [0, 1, 23, 24, 25, 100, 129])
def test_reading_may_begin_anywhere(start: int) -> None:
    with opened(encode(numbered(n) for n in range(130))) as reader:
        assert [read_number(frame.rgb()) for frame in reader.frames(start, start + 3)] == list(
            range(start, min(start + 3, 130))
        )


TURNS = [
    ((1, 0, 0, 1), lambda p: p),
    ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    ((1, 0, 0, -1), lambda p: p[::-1]),
    ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    ((0, -1, 1, 0), lambda p: np.rot90(p)),
    ((0, -1, -1, 0), lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
]


@pytest.mark.parametrize(("matrix", "turn"), TURNS)
def test_the_display_matrix_turns_the_picture_upright(matrix: tuple[int, int, int, int], turn) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:24, :64] = (250, 40, 40)
    picture[40:, 80:] = (40, 40, 250)
    expected = turn(picture)
    with opened(with_matrix(encode([picture] * 3), *matrix)) as reader:
        frame = next(reader.frames())
    assert (reader.info.height, reader.info.width) == expected.shape[:2]
    assert frame.rgb().shape == expected.shape
    assert np.abs(frame.rgb().astype(int) - expected).mean() < 6
    assert frame.luma(12, 8).shape == (8, 12)
    light = expected @ (0.257, 0.504, 0.098) + 16
    small = frame.luma(expected.shape[1] // 8, expected.shape[0] // 8)
    assert np.abs(small - light.reshape(small.shape[0], 8, small.shape[1], 8).mean(axis=(1, 3))).mean() < 4


def test_anamorphic_pixels_are_stretched_square(media: Path) -> None:
    with VideoReader.open(media / "video" / "anamorphic-late-frame.mp4") as reader:
        frame = next(reader.frames())
    assert (reader.info.width, reader.info.height) == (720, 480)
    assert frame.rgb().shape[:2] == (480, 863)  # sample aspect 320:267


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuvj420p"])
def test_pixel_formats_agree(pixel_format: str) -> None:
    picture = numbered(0b101100111000)
    with opened(encode([picture] * 3, pixel_format=pixel_format)) as reader:
        frame = next(reader.frames())
        assert read_number(frame.rgb()) == 0b101100111000
        assert np.abs(frame.rgb().astype(int) - picture).mean() < 3
    full = pixel_format == "yuvj420p"
    assert reader.info.color_range == ("FULL" if full else "LIMITED")
    expected = 90 if full else 16 + 90 * 219 / 255
    assert abs(float(frame.luma(12, 8)[-1].mean()) - expected) < 2.5
    assert abs(float(frame.plane()[-8:].mean()) - expected) < 2.5
    assert np.abs(frame.yuv(12, 8)[1:].astype(int) - 128).max() <= 3


def test_black_and_white_film_has_no_tint() -> None:
    with opened(encode([numbered(0b11)] * 3, pixel_format="gray")) as reader:
        frame = next(reader.frames())
    assert read_number(frame.rgb()) == 0b11
    assert np.ptp(frame.rgb(), axis=2).max() == 0
    assert (frame.yuv(12, 8)[1:] == 128).all()


def test_the_smallest_picture() -> None:
    grey = np.full((1, 1, 3), 200, np.uint8)
    with opened(encode([grey] * 4, pixel_format="yuv444p", options={"bf": "0"})) as reader:
        frames = list(reader.frames())
    assert (reader.info.width, reader.info.height, len(frames)) == (1, 1, 4)
    assert abs(int(frames[0].rgb()[0, 0, 0]) - 200) < 6
    assert frames[0].luma(32, 18).shape == (18, 32)


def test_a_reduced_frame_keeps_its_shape() -> None:
    with opened(encode([numbered(7, 480, 272)] * 2)) as reader:
        frame = next(reader.frames())
    assert frame.rgb(120).shape == (68, 120, 3)
    assert frame.rgb(4000).shape == (272, 480, 3)
    picture = frame.picture(120)
    assert (picture.full_width, picture.full_height) == (480, 272)
    assert read_number(frame.rgb(240)) == 7


def test_sound_is_measured_in_blocks() -> None:
    video = encode((numbered(n) for n in range(75)), tone=[(1.0, 2.0)], seconds_of_sound=3.0)
    with opened(video) as reader:
        loudness = reader.loudness(Fraction(1, 10))
    assert [(audio.codec, audio.sample_rate, audio.channels) for audio in reader.info.audio] == [("aac", 48000, 1)]
    assert abs(reader.info.audio[0].duration_ms - 3000) < 60
    # a sine of amplitude 0.5: 20 log10(0.5 / sqrt 2)
    assert abs(loudness.between(1200, 1800) - -9.03) < 0.3
    assert loudness.between(100, 800) < -60
    assert loudness.between(2200, 2900) < -60


def test_sound_years_after_the_pictures_is_not_measured() -> None:
    video = encode((numbered(n) for n in range(50)), seconds_of_sound=2.0, tone=[(0.0, 2.0)])
    buffer = io.BytesIO()
    with av.open(io.BytesIO(video)) as source, av.open(buffer, "w", format="nut") as copy:
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None or packet.pts is None:
                continue
            if packet.stream.type == "audio" and packet.pts > 48000:
                packet.pts = packet.dts = packet.pts + 48000 * 10**8
            packet.stream = streams[packet.stream_index]
            copy.mux(packet)
    with opened(buffer.getvalue()) as reader:
        loudness = reader.loudness()
    assert loudness.dbfs.size <= 102  # not five thousand million blocks
    assert loudness.between(200, 800) > -20


def test_no_sound_track_is_no_block() -> None:
    with opened(encode([numbered(0)] * 3)) as reader:
        assert reader.info.audio == ()
        assert reader.loudness().dbfs.size == 0


def damaged_film() -> bytes:
    """120 frames, a part of the middle of which cannot be decoded."""
    video = encode(numbered(n, 480, 272) for n in range(120))
    damaged = bytearray(video)
    rng = np.random.default_rng(1)
    for at in rng.integers(len(video) // 3, len(video) * 2 // 3, 12):
        damaged[at : at + 30] = rng.bytes(30)
    return bytes(damaged)


def test_damage_is_skipped_and_counted_and_moves_no_number() -> None:
    with opened(damaged_film()) as reader:
        frames = {frame.index: read_number(frame.rgb()) for frame in reader.frames()}
        assert 0 < reader.corrupt == 120 - len(frames)
    assert len(frames) >= 60
    untouched = [n for n in frames if n < 24 or n >= 100]
    assert len(untouched) > 30
    assert {n: frames[n] for n in untouched} == {n: n for n in untouched}


def test_damage_is_counted_once_however_often_and_in_whatever_parts_it_is_read() -> None:
    with opened(damaged_film()) as whole, opened(damaged_film()) as parts:
        list(whole.frames())
        chunks = parts.chunks(0.5)
        for chunk in chunks:
            list(parts.frames(max(0, chunk.start - 5), chunk.stop))  # as analysers are shown some frames before
        lost = parts.corrupt
        assert lost == whole.corrupt == sum(parts.corrupt_in(chunk.start, chunk.stop) for chunk in chunks)
        list(parts.frames(0, 24))
        assert parts.corrupt == lost


@pytest.mark.parametrize(("format", "codec"), [("avi", "libx264"), ("avi", "mpeg4"), ("asf", "libx264")])
@pytest.mark.parametrize("bframes", ["0", "3"])
def test_frames_of_containers_without_their_times_are_counted(format: str, codec: str, bframes: str) -> None:
    with opened(encode((numbered(n) for n in range(130)), format=format, codec=codec, options={"bf": bframes})) as film:
        frames = [(frame.index, read_number(frame.rgb())) for frame in film.frames()]
        parts = [frame.index for chunk in film.chunks(0.5) for frame in film.frames(chunk.start, chunk.stop)]
        assert frames == [(n, n) for n in range(130)]
        assert parts == list(range(130))
        assert film.info.rate == 25
        if format == "avi":
            assert [film.info.clock.timestamp_ms(n) for n in (0, 1, 129)] == [0, 40, 5160]


def test_frames_left_out_of_an_avi_are_waited_for() -> None:
    times = [n if n < 10 else n + 5 for n in range(30)]
    video = encode((numbered(n) for n in range(30)), format="avi", times=times, time_base=Fraction(1, 25),
                   options={"bf": "0"})  # fmt: skip
    with opened(video) as reader:
        frames = list(reader.frames())
    assert [frame.timestamp_ms for frame in frames] == [40 * time for time in times]
    assert [frame.time for frame in frames] == [Fraction(time, 25) for time in times]


@pytest.mark.parametrize("format", ["mp4", "avi"])
def test_the_first_frames_of_spans(format: str) -> None:
    with opened(encode((numbered(n) for n in range(130)), format=format)) as reader:
        passes = 0
        container = reader._container

        def counted() -> tuple[object, object]:
            nonlocal passes
            passes += 1
            return container()

        reader._container = counted  # type: ignore[method-assign,assignment]  # a count around the method
        found = list(reader.firsts([(3, 9), (60, 61), (100, 130), (130, 140)]))
        assert [frame and read_number(frame.rgb()) for frame in found] == [3, 60, 100, None]
        assert passes == (1 if format == "avi" else 3)


def test_a_film_that_only_its_first_packet_explains_can_be_read_from_anywhere(media: Path) -> None:
    # x264 before version 151 made 4:4:4 films that are decoded wrongly unless its version is known
    with VideoReader.open(media / "video" / "h264-444.mp4") as reader:
        whole = {frame.index: frame.luma(32, 18) for frame in reader.frames(0, 160) if frame.index >= 145}
        assert any(key.frame == 145 for key in reader._index.keys)
        assert all(np.array_equal(frame.luma(32, 18), whole[frame.index]) for frame in reader.frames(145, 160))


def test_a_place_no_file_has_is_not_the_end_of_reading(tmp_path: Path) -> None:
    """Nut keeps the distance to its index at its end."""
    video = encode((numbered(n) for n in range(30)), format="nut")
    (tmp_path / "film.nut").write_bytes(video[:-12] + (2**64 - 2**63 + 2**40).to_bytes(8, "big") + video[-4:])
    with VideoReader.open(tmp_path / "film.nut") as reader:
        assert [read_number(frame.rgb()) for frame in reader.frames()] == list(range(30))


def test_packets_of_a_stream_that_nobody_announced_are_passed_over() -> None:
    """PyAV does not know a stream that a damaged FLV or MPEG file begins half-way."""

    def demux(*_: object) -> Iterator[object]:
        for answer in next(answers):
            if isinstance(answer, Exception):
                raise answer
            yield answer

    answers = iter([*[["one", IndexError("list index out of range")]] * 30, ["two"]])
    container = cast(av.container.InputContainer, SimpleNamespace(demux=demux))
    assert list(packets(container)) == ["one"] * 30 + ["two"]


@pytest.mark.parametrize("wrong", [-17, 40])
def test_frames_ascend_where_a_time_is_broken(wrong: int) -> None:
    """A frame that says it is shown long before or after its neighbours."""
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(encode((numbered(n) for n in range(96)), options={"bf": "0"}))) as film,
        av.open(buffer, "w", format="mpegts") as copy,
    ):
        stream = copy.add_stream_from_template(film.streams.video[0])
        for n, packet in enumerate(film.demux(video=0)):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            packet.pts += int((20 + wrong * (n == 30)) / 25 / packet.time_base) + (n == 30)
            packet.stream = stream
            copy.mux(packet)
    with opened(buffer.getvalue()) as reader:
        whole = [(frame.index, read_number(frame.rgb())) for frame in reader.frames()]
        parts = [
            (frame.index, read_number(frame.rgb()))
            for chunk in reader.chunks(0.5)
            for frame in reader.frames(chunk.start, chunk.stop)
        ]
    assert [index for index, _ in whole] == sorted({index for index, _ in whole})
    assert [number for _, number in whole] == [n for n in range(96) if n != 30]
    assert parts == whole


def test_times_count_from_a_first_frame_before_zero() -> None:
    video = bytearray(encode((numbered(n) for n in range(30)), format="flv", options={"bf": "0"}))
    first = video.index(b"\x17\x01\0\0\0")  # H.264, a key frame; it is shown when it is decoded
    video[first + 2 : first + 5] = (-40).to_bytes(3, "big", signed=True)
    with opened(bytes(video)) as reader:
        frames = list(reader.frames())
    assert [read_number(frame.rgb()) for frame in frames] == list(range(30))
    assert [frame.timestamp_ms for frame in frames[:3]] == [0, 80, 120]
    assert reader.info.clock.start == 0


def test_a_list_of_key_frames_that_leads_nowhere() -> None:
    video = bytearray(encode((numbered(n) for n in range(60)), options={"bf": "0"}))
    first = video.index(b"stss") + 12
    assert video[first : first + 4] == (1).to_bytes(4, "big")
    video[first : first + 4] = (2**32 - 2).to_bytes(4, "big")
    with opened(bytes(video)) as reader:
        whole = [frame.index for frame in reader.frames()]
        chunks = reader.chunks(0.5)
        parts = [frame.index for chunk in chunks for frame in reader.frames(chunk.start, chunk.stop)]
    assert len(chunks) > 1
    assert parts == whole == list(range(60))


@pytest.mark.parametrize("moving", [True, False])
def test_the_cover_picture_of_the_sound_is_no_video(moving: bool) -> None:
    """FLAC and M4A in a folder of films; a cover that comes first."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as copy:
        sound = copy.add_stream("aac", rate=48000, layout="mono")
        cover = copy.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        if moving:
            stream = copy.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for n in range(10):
                frame = av.VideoFrame.from_ndarray(numbered(n), format="rgb24")
                frame.pts, frame.time_base = n, Fraction(1, 25)
                copy.mux(stream.encode(frame))
            copy.mux(stream.encode())
        copy.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(99), format="rgb24").reformat(format="yuvj420p")))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 48000
        copy.mux(sound.encode(silence))
        copy.mux(sound.encode())
    if not moving:
        with pytest.raises(NoVideoError, match="only audio and cover picture"):
            opened(buffer.getvalue())
        return
    with opened(buffer.getvalue()) as reader:
        assert [read_number(frame.rgb()) for frame in reader.frames()] == list(range(10))


def test_a_title_in_another_encoding_than_utf_8() -> None:
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(encode(numbered(n) for n in range(10)))) as film,
        av.open(buffer, "w", format="matroska") as copy,
    ):
        copy.metadata["title"] = "Cafe noir"
        stream = copy.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    with opened(buffer.getvalue().replace(b"Cafe noir", "Café noir".encode("latin-1"))) as reader:
        assert reader.info.frames == 10


def test_opening_and_listening_report_progress() -> None:
    calls = 0

    def progress() -> None:
        nonlocal calls
        calls += 1

    video = encode((numbered(n) for n in range(60)), seconds_of_sound=2.0)
    with VideoReader.open(io.BytesIO(video), progress=progress) as reader:
        assert calls >= 60
        calls = 0
        list(reader.frames())
        assert calls == 0
        reader.loudness()
        assert calls >= 90


def test_a_file_cut_short_gives_what_it_has() -> None:
    video = encode(
        (numbered(n) for n in range(100)), options={"movflags": "frag_keyframe+empty_moov"}, format="matroska"
    )
    with opened(video[: len(video) * 2 // 3]) as reader:
        numbers = [read_number(frame.rgb()) for frame in reader.frames()]
    assert 40 < len(numbers) < 90
    assert numbers == list(range(len(numbers)))


def sound_only() -> bytes:
    import av

    from tests.video_kit import _encode_sound

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        _encode_sound(container, container.add_stream("aac", rate=48000, layout="mono"), [(0, 1)], 1.0)
    return buffer.getvalue()


def playlist(media: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{media}\n#EXT-X-ENDLIST\n".encode()


@pytest.mark.parametrize(
    ("video", "error", "words"),
    [
        (b"", UnreadableVideoError, "empty"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x0cmoov\0\0\0\x08"[:44], VideoError, "video"),
        (b"an essay about films, which is no film" * 9, UnreadableVideoError, "no video that can be opened"),
        (encode([numbered(0)] * 30)[:2000], UnreadableVideoError, "truncated"),
        (sound_only(), NoVideoError, "only audio"),
        (playlist("/etc/hostname"), UnreadableVideoError, "no video"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", UnreadableVideoError, "no video"),
    ],
    ids=["empty", "44 bytes", "text", "truncated", "sound", "playlist", "concat"],
)
def test_what_is_no_video_is_refused_in_a_sentence(video: bytes, error: type[VideoError], words: str) -> None:
    with pytest.raises(error, match=words):
        opened(video)


def test_a_playlist_cannot_name_a_real_file(tmp_path: Path) -> None:
    film = tmp_path / "film.ts"
    film.write_bytes(encode([numbered(3)] * 30, format="mpegts"))
    for text in (playlist(str(film)), playlist(f"file:{film}"), f"ffconcat version 1.0\nfile {film.name}\n".encode()):
        index = tmp_path / "index.m3u8"
        index.write_bytes(text)
        with pytest.raises(UnreadableVideoError):
            VideoReader.open(index)


def test_pictures_without_a_key_frame_are_damaged() -> None:
    video = bytearray(encode((numbered(n, 480, 272) for n in range(20)), options={"g": "250", "bf": "0"}))
    start, end = video.index(b"mdat") + 4, video.index(b"moov") - 4
    video[start:end] = bytes(end - start)
    with pytest.raises(DamagedVideoError, match="not one frame"):
        opened(bytes(video))


def test_too_many_pixels_are_refused_before_decoding() -> None:
    with pytest.raises(VideoTooLargeError, match="96 x 64 pixels a frame; at most 6,000"):
        VideoReader.open(io.BytesIO(encode([numbered(0)] * 3)), max_pixels=6000)


def test_the_aws_profile() -> None:
    with opened(encode([numbered(0)] * 3)) as reader:
        check_profile(reader.info)
    with opened(encode([numbered(0)] * 3, format="matroska")) as reader:
        check_profile(reader.info, aws=False)
        with pytest.raises(UnsupportedFormatError, match="Matroska / WebM; MP4 and MOV"):
            check_profile(reader.info)
    mpeg4 = opened(encode([numbered(0)] * 3, codec="mpeg4", options={})).info
    with pytest.raises(UnsupportedCodecError, match="mpeg4; h264"):
        check_profile(mpeg4)


def test_files_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(encode(numbered(n) for n in range(60)))
    with VideoReader.open(path) as reader:
        frames = reader.frames()
        next(frames)
        again = reader.frames(30, 32)  # a path takes several passes at once
        assert [frame.index for frame in again] == [30, 31]
        assert next(frames).index == 1
    assert all(file.closed for file in reader._opened)
    assert not reader._opened


def test_real_media(media: Path) -> None:
    import json

    truth = json.loads((media / "truth.json").read_text())["video"]
    for name, known in truth.items():
        with VideoReader.open(media / name) as reader:
            info = reader.info
            assert info.codec == known["codec"]
            assert info.frames == known["decoded_frames"], name
            assert abs(info.clock.timestamp_ms(0) / 1000 - known["first_frame_s"]) < 0.0011
            assert abs(info.clock.timestamp_ms(info.frames - 1) / 1000 - known["last_frame_s"]) < 0.0011
            if "hard_cut_ms" in known:
                assert [info.clock.timestamp_ms(frame) for frame in known["hard_cuts"]] == known["hard_cut_ms"]
