"""StartSegmentDetection and GetSegmentDetection through boto3, on clips made frame by frame."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from openrek.cli.demo import boto3_client, running_server
from tests.acceptance.video_kit import BUCKET, finished, over, scenery, video, write_clip

pytest.importorskip("av", reason="reading video needs PyAV")

NTSC = Fraction(30_000, 1001)
BLACK = np.zeros((180, 320, 3), np.uint8)
SHOT, CUE = "SHOT", "TECHNICAL_CUE"


def noise(number: int, level: int) -> Any:
    """Nearly black: grain of up to `level`."""
    return np.random.default_rng(number).integers(0, level + 1, (180, 320, 1), np.uint8).repeat(3, 2)


def cross_fade(length: int, first: Path, second: Path) -> list[Any]:
    """The camera passes over two photos, 60 frames each, with a dissolve of `length` between them."""
    frames = [over(first, n) for n in range(60)]
    for n in range(length):
        share = (n + 1) / (length + 1)
        mixed = over(first, 60 + n) * (1 - share) + over(second, n) * share
        frames.append(mixed.astype(np.uint8))
    return frames + [over(second, length + n) for n in range(60)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Path]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("segments")
    leader = [BLACK] * 300 + [scenery(n) for n in range(150)]
    two = [scenery(n, seed=1) for n in range(40)] + [scenery(n, seed=2) for n in range(40)]
    made = {
        "leader.mp4": {"frames": leader, "rate": NTSC},
        # black with a tone from frame 40 to 79, then silent black, then a scene
        "tone.mp4": {"frames": [BLACK] * 120 + two[:40], "tone": [0.0] * 40 + [0.5] * 40 + [0.0] * 80},
        "grain.mp4": {"frames": [noise(n, 3) for n in range(60)] + two[:40]},
        "fade.mp4": {"frames": cross_fade(24, photos["astronaut"], photos["rocket"])},
        "pal.mp4": {"frames": two},
        "film.mp4": {"frames": two, "rate": Fraction(24_000, 1001)},
        "double.mp4": {"frames": two, "rate": Fraction(60_000, 1001)},
    }
    return {key: write_clip(folder / key, **arguments) for key, arguments in made.items()}


@pytest.fixture(scope="module")
def rekognition(clips: dict[str, Path]) -> Iterator[Any]:
    with running_server("--job-workers", "1", env={"OPENREK_CHUNK_SECONDS": "3"}) as (url, credentials):
        bucket = credentials.parent / "buckets" / BUCKET
        bucket.mkdir(parents=True)
        for key, path in clips.items():
            (bucket / key).write_bytes(path.read_bytes())
        yield boto3_client(url, credentials)


def segments(rekognition: Any, key: str, *types: str, **filters: Any) -> dict[str, Any]:
    more = {"Filters": filters} if filters else {}
    job_id = rekognition.start_segment_detection(Video=video(key), SegmentTypes=list(types), **more)["JobId"]
    answer = finished(rekognition.get_segment_detection, job_id)
    assert answer["JobStatus"] == "SUCCEEDED", answer.get("StatusMessage")
    return answer


def cues_of(answer: dict[str, Any]) -> list[tuple[str, int, int]]:
    return [
        (item["TechnicalCueSegment"]["Type"], item["StartFrameNumber"], item["EndFrameNumber"])
        for item in answer["Segments"]
        if item["Type"] == CUE
    ]


def shots_of(answer: dict[str, Any]) -> list[tuple[int, int]]:
    return [(item["StartFrameNumber"], item["EndFrameNumber"]) for item in answer["Segments"] if item["Type"] == SHOT]


@pytest.fixture(scope="module")
def leader(rekognition: Any) -> dict[str, Any]:
    return segments(rekognition, "leader.mp4", CUE, SHOT)


def test_black_frames_then_content(leader: dict[str, Any]) -> None:
    assert cues_of(leader) == [("BlackFrames", 0, 300), ("Content", 300, 449)]
    black, content = leader["Segments"][:2]
    assert (black["StartTimestampMillis"], black["EndTimestampMillis"]) == (0, 10_010)
    assert (content["StartTimestampMillis"], content["EndTimestampMillis"]) == (10_010, 14_981)
    assert (content["DurationMillis"], content["DurationFrames"]) == (4_971, 149)
    assert black["StartTimecodeSMPTE"] == "00:00:00;00"
    assert (black["EndTimecodeSMPTE"], black["DurationSMPTE"]) == ("00:00:10;00", "00:00:10;00")
    assert content["DurationSMPTE"] == "00:00:04;29"
    assert 50 <= black["TechnicalCueSegment"]["Confidence"] <= 100


def test_the_shots_of_the_same_clip(leader: dict[str, Any]) -> None:
    assert shots_of(leader) == [(0, 299), (300, 449)]
    first, second = leader["Segments"][2:]
    assert [item["ShotSegment"]["Index"] for item in (first, second)] == [0, 1]
    assert [item["DurationFrames"] for item in (first, second)] == [299, 149]
    assert second["DurationMillis"] == 4_971
    assert (first["EndTimestampMillis"], second["StartTimestampMillis"]) == (9_976, 10_010)


def test_milliseconds_follow_from_frames(leader: dict[str, Any]) -> None:
    for item in leader["Segments"]:
        for end in ("Start", "End"):
            assert item[f"{end}TimestampMillis"] == item[f"{end}FrameNumber"] * 1000 * 1001 // 30_000


def test_groups_come_in_the_order_of_the_request(rekognition: Any) -> None:
    answer = segments(rekognition, "pal.mp4", SHOT, CUE, SHOT)
    assert [item["Type"] for item in answer["Segments"]] == [SHOT, SHOT, CUE]
    assert answer["SelectedSegmentTypes"] == [
        {"Type": SHOT, "ModelVersion": "2.0"},
        {"Type": CUE, "ModelVersion": "2.0"},
    ]


@pytest.mark.parametrize(
    ("key", "code"),
    [("pal.mp4", "00:00:01:15"), ("film.mp4", "00:00:01:16"), ("double.mp4", "00:00:00;40")],
)
def test_the_rate_decides_the_time_code(rekognition: Any, key: str, code: str) -> None:
    answer = segments(rekognition, key, SHOT)
    assert shots_of(answer) == [(0, 39), (40, 79)]
    assert answer["Segments"][1]["StartTimecodeSMPTE"] == code
    assert all("TechnicalCueSegment" not in item for item in answer["Segments"])
    assert [one["Type"] for one in answer["SelectedSegmentTypes"]] == [SHOT]


def test_metadata_are_lists_on_each_page(rekognition: Any) -> None:
    job_id = segments(rekognition, "tone.mp4", SHOT, CUE)["JobId"]
    request: dict[str, Any] = {"JobId": job_id, "MaxResults": 1}
    pages = 0
    while True:
        answer = rekognition.get_segment_detection(**request)
        pages += 1
        (metadata,) = answer["VideoMetadata"]
        assert (metadata["Codec"], metadata["FrameWidth"], metadata["FrameHeight"]) == ("h264", 320, 180)
        (audio,) = answer["AudioMetadata"]
        assert (audio["Codec"], audio["SampleRate"], audio["NumberOfChannels"]) == ("aac", 44_100, 1)
        assert audio["DurationMillis"] == pytest.approx(6_400, abs=60)
        if "NextToken" not in answer:
            break
        request["NextToken"] = answer["NextToken"]
    assert pages > 2


def test_no_sound_is_an_empty_list(leader: dict[str, Any]) -> None:
    assert leader["AudioMetadata"] == []


def test_black_with_sound_is_content(rekognition: Any) -> None:
    cues = cues_of(segments(rekognition, "tone.mp4", CUE))
    assert [kind for kind, _, _ in cues] == ["BlackFrames", "Content", "BlackFrames", "Content"]
    expected = (0, 40, 80, 120, 159)
    found = [cues[0][1], *(end for _, _, end in cues)]
    for frame, right in zip(found, expected, strict=True):
        assert abs(frame - right) <= 3, cues  # the tone's edges are smeared by AAC's windows
    assert (found[3], found[4]) == (120, 159)


def test_the_pixel_threshold(rekognition: Any) -> None:
    assert cues_of(segments(rekognition, "grain.mp4", CUE))[0] == ("BlackFrames", 0, 60)
    strict = segments(rekognition, "grain.mp4", CUE, TechnicalCueFilter={"BlackFrame": {"MaxPixelThreshold": 0.0}})
    assert cues_of(strict) == [("Content", 0, 99)]


@pytest.mark.parametrize("key", ["leader.mp4", "tone.mp4", "grain.mp4", "fade.mp4"])
def test_cues_tile_the_video(rekognition: Any, key: str) -> None:
    cues = cues_of(segments(rekognition, key, CUE))
    last = {"leader.mp4": 449, "tone.mp4": 159, "grain.mp4": 99, "fade.mp4": 143}[key]
    assert cues[0][1] == 0
    assert cues[-1][2] == last
    assert all(before[2] == after[1] for before, after in pairwise(cues))


def test_a_cross_fade_leaves_a_gap(rekognition: Any) -> None:
    first, second = shots_of(segments(rekognition, "fade.mp4", SHOT))
    assert (first[0], second[1]) == (0, 143)
    assert abs(first[1] - 59) <= 4
    assert abs(second[0] - 84) <= 4
    assert 18 <= second[0] - first[1] - 1 <= 30


@pytest.mark.parametrize(
    "request_",
    [
        {"SegmentTypes": [SHOT], "Filters": {"ShotFilter": {"MinSegmentConfidence": 101}}},
        {"SegmentTypes": ["TECHNICAL_CUES"]},
        {"SegmentTypes": [CUE], "Filters": {"TechnicalCueFilter": {"BlackFrame": {"MaxPixelThreshold": 1.5}}}},
    ],
)
def test_values_outside_the_model(rekognition: Any, request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        rekognition.start_segment_detection(Video=video("pal.mp4"), **request_)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_least_values_are_checked_by_the_server_too(rekognition: Any) -> None:
    """botocore refuses them before anything is sent, so its own check is taken off."""
    credentials = rekognition._request_signer._credentials
    client = boto3.client(
        "rekognition",
        endpoint_url=rekognition.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=Config(parameter_validation=False),
    )
    for request in (
        {"SegmentTypes": [SHOT], "Filters": {"ShotFilter": {"MinSegmentConfidence": 40}}},
        {"SegmentTypes": []},
    ):
        with pytest.raises(ClientError) as caught:
            client.start_segment_detection(Video=video("pal.mp4"), **request)
        assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_filter_needs_its_type(rekognition: Any) -> None:
    with pytest.raises(ClientError) as caught:
        rekognition.start_segment_detection(
            Video=video("pal.mp4"), SegmentTypes=[SHOT], Filters={"TechnicalCueFilter": {"MinSegmentConfidence": 60}}
        )
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
