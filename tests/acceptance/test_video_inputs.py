"""What is no video, or a strange one: the job ends, with a reason where it fails, and never hangs."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from openrek.cli.demo import boto3_client, running_server
from tests.acceptance.video_kit import BUCKET, finished, scenery, video, write_clip

pytest.importorskip("av", reason="reading video needs PyAV")


def clip(
    codec: str = "libx264", container: str = "mp4", pixels: str = "yuv420p", size: int = 64, **options: str
) -> bytes:
    """Forty frames in a container, whatever its name will be."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = size, size, pixels
        stream.options = {"g": "10"}
        for n in range(40):
            pixels_of = scenery(n, 64, 64)[:size, :size]
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels_of), "rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


def sound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=44_100, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.sample_rate = 44_100
        file.mux(stream.encode(block))
        file.mux(stream.encode())
    return buffer.getvalue()


def half(made: bytes) -> bytes:
    return made[: len(made) // 2]


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.mp4": (lambda: b"", "the file is empty"),
    "44-bytes.mp4": (lambda: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(20), "no video"),
    "text.mp4": (lambda: b"an essay about films, which is no film " * 50, "no video"),
    "sound.mp4": (sound, "no video stream, only audio"),
    "matroska.mp4": (lambda: clip(container="matroska"), "MP4 and MOV are supported"),
    "webm.mp4": (lambda: clip("libvpx-vp9", "webm"), "MP4 and MOV are supported"),
    "hevc.mp4": (lambda: clip("libx265"), "the video codec is hevc; h264 is supported"),
    "mpeg4.mp4": (lambda: clip("mpeg4"), "h264 is supported"),
    "index-cut-off.mp4": (lambda: half(clip()), "no video that can be opened"),
}
"""Objects whose jobs fail, and what of the reason."""

STRANGE: dict[str, tuple[Callable[[], bytes], range]] = {
    "one-pixel.mp4": (lambda: clip(pixels="yuv444p", size=1), range(40, 41)),
    "no-duration.mp4": (lambda: clip(movflags="frag_keyframe+empty_moov+default_base_moof"), range(40, 41)),
    "cut-in-the-middle.mp4": (lambda: half(clip(movflags="frag_keyframe+empty_moov")), range(1, 40)),
    "movie.txt": (lambda: clip(), range(40, 41)),
}
"""Objects whose jobs succeed, and how many frames they have."""


@pytest.fixture(scope="module")
def rekognition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_server("--job-workers", "1") as (url, credentials):
        bucket = credentials.parent / "buckets" / BUCKET
        bucket.mkdir(parents=True)
        for name, (make, _) in (BROKEN | STRANGE).items():
            (bucket / name).write_bytes(make())
        write_clip(Path(bucket / "plain.mp4"), [scenery(n, 160, 96) for n in range(30)])
        yield boto3_client(url, credentials)


def ended(rekognition: Any, name: str) -> Any:
    job_id = rekognition.start_segment_detection(Video=video(name), SegmentTypes=["SHOT", "TECHNICAL_CUE"])["JobId"]
    return finished(rekognition.get_segment_detection, job_id)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_video_fails_with_a_reason(rekognition: Any, name: str) -> None:
    answer = ended(rekognition, name)
    assert answer["JobStatus"] == "FAILED"
    assert BROKEN[name][1] in answer["StatusMessage"]
    assert not answer.get("Segments")


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_video_is_analysed(rekognition: Any, name: str) -> None:
    answer = ended(rekognition, name)
    assert answer["JobStatus"] == "SUCCEEDED", answer.get("StatusMessage")
    assert answer["Segments"][-1]["EndFrameNumber"] + 1 in STRANGE[name][1]
    assert answer["VideoMetadata"][0]["DurationMillis"] > 0


def test_the_worker_goes_on_after_all_that(rekognition: Any) -> None:
    for name in ("empty.mp4", "index-cut-off.mp4", "plain.mp4"):
        answer = ended(rekognition, name)
    assert answer["JobStatus"] == "SUCCEEDED"
