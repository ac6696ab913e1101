"""Stored-video jobs through boto3, with moto's server beside ours for S3, SNS and SQS."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from openrek.cli.demo import boto3_client, running_server
from tests.acceptance.video_kit import (
    BUCKET,
    MOTO_KEYS,
    Channel,
    client,
    finished,
    moto_server,
    scenery,
    still,
    video,
    write_clip,
    written,
)

pytest.importorskip("av", reason="reading video needs PyAV")
pytest.importorskip("moto.server", reason="moto[server] is not installed")

NTSC = Fraction(30_000, 1001)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Path]) -> dict[str, Path]:
    """Tiny clips by name: scenery only, a face and an animal, a page of text, and one in a codec that is not taken."""
    folder = tmp_path_factory.mktemp("clips")
    plain = [scenery(n, 160, 96) for n in range(30)]
    face, cat = (still(photos[name]) for name in ("astronaut", "chelsea"))
    height = min(face.shape[0], cat.shape[0]) // 2 * 2
    return {
        "plain.mp4": write_clip(folder / "plain.mp4", plain),
        "photos.mp4": write_clip(folder / "photos.mp4", [face[:height]] * 30 + [cat[:height]] * 30, rate=NTSC, gop=12),
        "text.mp4": write_clip(folder / "text.mp4", [written("OPEN HOUSE", "today")] * 30),
        "clip.webm": write_clip(folder / "clip.webm", plain[:10], codec="libvpx-vp9"),
    }


@dataclass(frozen=True)
class Side:
    """Our server with two workers, moto's beside it, and clients for both."""

    rekognition: Any
    moto: str
    home: Path


@pytest.fixture(scope="module")
def side(clips: dict[str, Path]) -> Iterator[Side]:
    with moto_server() as moto:
        s3 = client("s3", moto)
        s3.create_bucket(Bucket=BUCKET)
        for key, path in clips.items():
            s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        environment = {
            **MOTO_KEYS,
            "OPENREK_S3_ENDPOINT": moto,
            "OPENREK_SNS_ENDPOINT": moto,
            "OPENREK_CHUNK_SECONDS": "1",
        }
        with running_server("--job-workers", "2", env=environment) as (url, credentials):
            yield Side(boto3_client(url, credentials), moto, credentials.parent)


CUES = {"SegmentTypes": ["TECHNICAL_CUE"]}


def code_of(caught: "pytest.ExceptionInfo[ClientError]") -> str:
    return str(caught.value.response["Error"]["Code"])


# --- the way of a job -------------------------------------------------------------------------------------------------


def test_topic_queue_get(side: Side) -> None:
    channel = Channel(side.moto, "Flow")
    before = int(time.time() * 1000)
    started = side.rekognition.start_segment_detection(
        Video=video("plain.mp4"), NotificationChannel=channel.member, JobTag="tag-1", **CUES
    )
    message = channel.wait_for(started["JobId"])
    after = int(time.time() * 1000)
    timestamp = message.pop("Timestamp")
    assert isinstance(timestamp, int)
    assert len(str(timestamp)) == 13
    assert before <= timestamp <= after
    assert message == {
        "JobId": started["JobId"],
        "Status": "SUCCEEDED",
        "API": "StartSegmentDetection",
        "JobTag": "tag-1",
        "Video": {"S3ObjectName": "plain.mp4", "S3Bucket": BUCKET},
    }
    answer = side.rekognition.get_segment_detection(JobId=started["JobId"])
    assert answer["JobStatus"] == "SUCCEEDED"
    assert (answer["JobId"], answer["Video"], answer["JobTag"]) == (started["JobId"], video("plain.mp4"), "tag-1")
    time.sleep(1.0)
    assert channel.take() == []  # exactly one


def test_a_replayed_token_publishes_nothing(side: Side) -> None:
    channel = Channel(side.moto, "Replay")
    request = {
        "Video": video("plain.mp4"),
        "NotificationChannel": channel.member,
        "ClientRequestToken": "replay-1",
        **CUES,
    }
    job_id = side.rekognition.start_segment_detection(**request)["JobId"]
    channel.wait_for(job_id)
    assert side.rekognition.start_segment_detection(**request)["JobId"] == job_id
    with pytest.raises(ClientError) as caught:
        side.rekognition.start_segment_detection(**request, JobTag="another")
    assert code_of(caught) == "IdempotentParameterMismatchException"
    time.sleep(1.0)
    assert channel.take() == []


def test_a_codec_outside_the_profile_fails_in_the_job(side: Side) -> None:
    channel = Channel(side.moto, "Webm")
    job_id = side.rekognition.start_face_detection(Video=video("clip.webm"), NotificationChannel=channel.member)[
        "JobId"
    ]
    assert channel.wait_for(job_id)["Status"] == "FAILED"
    answer = side.rekognition.get_face_detection(JobId=job_id)
    assert answer["JobStatus"] == "FAILED"
    assert "WebM" in answer["StatusMessage"]
    assert not answer.get("Faces")


def test_a_topic_that_cannot_be_reached_leaves_the_job_alone_and_is_seen(side: Side) -> None:
    missing = {
        "SNSTopicArn": "arn:aws:sns:us-east-1:123456789012:AmazonRekognitionGone",
        "RoleArn": "arn:aws:iam::123456789012:role/r",
    }
    job_id = side.rekognition.start_segment_detection(Video=video("plain.mp4"), NotificationChannel=missing, **CUES)[
        "JobId"
    ]
    assert finished(side.rekognition.get_segment_detection, job_id)["JobStatus"] == "SUCCEEDED"
    for _ in range(100):
        (notice,) = json.loads(jobs_command(side.home, "show", job_id[:16], "--json"))["notices"]
        if notice["error"]:
            break
        time.sleep(0.1)
    assert "SNS did not take it" in notice["error"]
    assert "AmazonRekognitionGone" in jobs_command(side.home, "show", job_id)


def jobs_command(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "openrek", "jobs", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_command_line_sees_jobs_and_workers(side: Side) -> None:
    job_id = side.rekognition.start_segment_detection(Video=video("plain.mp4"), **CUES)["JobId"]
    lines = [json.loads(line) for line in jobs_command(side.home, "watch", job_id, "--json").splitlines()]
    assert lines[-1]["status"] == "SUCCEEDED"
    listed = json.loads(jobs_command(side.home, "list", "--json"))
    assert listed["jobs"][0]["job_id"] == job_id
    assert len(listed["workers"]) == 2
    assert job_id[:12] in jobs_command(side.home, "list")


# --- start-time checks ------------------------------------------------------------------------------------------------


def test_a_missing_object_is_refused_at_start(side: Side) -> None:
    for wrong in (video("missing.mp4"), {"S3Object": {"Bucket": "no-such-bucket", "Name": "plain.mp4"}}):
        with pytest.raises(ClientError) as caught:
            side.rekognition.start_label_detection(Video=wrong)
        assert code_of(caught) == "InvalidS3ObjectException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_an_unknown_collection_is_refused_at_start(side: Side) -> None:
    with pytest.raises(ClientError) as caught:
        side.rekognition.start_face_search(Video=video("plain.mp4"), CollectionId="nobody")
    assert code_of(caught) == "ResourceNotFoundException"


# --- results of models ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labels(side: Side) -> str:
    """A finished label job over one second of an astronaut's portrait and one of a cat."""
    job_id: str = side.rekognition.start_label_detection(Video=video("photos.mp4"), MinConfidence=10)["JobId"]
    answer = finished(side.rekognition.get_label_detection, job_id)
    assert answer["JobStatus"] == "SUCCEEDED", answer.get("StatusMessage")
    return job_id


def walk(get: Any, member: str, **request: Any) -> list[Any]:
    items: list[Any] = []
    while True:
        answer = get(**request)
        assert answer["VideoMetadata"]["Codec"] == "h264"
        items += answer[member]
        if "NextToken" not in answer:
            return items
        request["NextToken"] = answer["NextToken"]


def test_pages_make_up_the_whole(side: Side, labels: str) -> None:
    get = side.rekognition.get_label_detection
    whole = walk(get, "Labels", JobId=labels, MaxResults=1000)
    assert len(whole) > 10
    assert walk(get, "Labels", JobId=labels, MaxResults=10) == whole
    assert get(JobId=labels, MaxResults=5000)["Labels"] == whole[:1000]
    token = get(JobId=labels, MaxResults=2)["NextToken"]
    with pytest.raises(ClientError) as caught:
        get(JobId=labels, MaxResults=2, NextToken=token, SortBy="NAME")
    assert code_of(caught) == "InvalidPaginationTokenException"


def test_the_metadata_of_the_video(side: Side, labels: str) -> None:
    metadata = side.rekognition.get_label_detection(JobId=labels)["VideoMetadata"]
    assert metadata["FrameRate"] == pytest.approx(29.97002997, abs=1e-6)
    assert (metadata["Format"], metadata["ColorRange"], metadata["FrameWidth"]) == ("QuickTime / MOV", "LIMITED", 480)
    assert metadata["DurationMillis"] == 2002


def test_labels_by_name(side: Side, labels: str) -> None:
    items = walk(side.rekognition.get_label_detection, "Labels", JobId=labels, SortBy="NAME")
    keys = [(item["Label"]["Name"], -item["Label"]["Confidence"]) for item in items]
    assert keys == sorted(keys)


def test_labels_by_time(side: Side, labels: str) -> None:
    items = walk(side.rekognition.get_label_detection, "Labels", JobId=labels)
    keys = [(item["Timestamp"], -item["Label"]["Confidence"], item["Label"]["Name"]) for item in items]
    assert keys == sorted(keys)
    # samples are the frames that are shown at 0, 0.5, 1, 1.5 and 2 s
    assert {item["Timestamp"] for item in items} == {frame * 1001 // 30 for frame in (0, 14, 29, 44, 59)}


def test_labels_as_stretches_and_as_samples(side: Side, labels: str) -> None:
    get = side.rekognition.get_label_detection
    answer = get(JobId=labels, AggregateBy="SEGMENTS")
    assert answer["GetRequestMetadata"] == {"SortBy": "TIMESTAMP", "AggregateBy": "SEGMENTS"}
    assert answer["Labels"]
    for item in answer["Labels"]:
        assert item["Timestamp"] == item["StartTimestampMillis"]
        assert item["DurationMillis"] == item["EndTimestampMillis"] - item["StartTimestampMillis"]
        assert item["Label"]["Instances"] == []
    samples = get(JobId=labels)
    assert samples["GetRequestMetadata"] == {"SortBy": "TIMESTAMP", "AggregateBy": "TIMESTAMPS"}
    assert samples["LabelModelVersion"] == "3.0"
    best: dict[str, float] = {}
    for item in walk(get, "Labels", JobId=labels):
        label = item["Label"]
        best[label["Name"]] = max(label["Confidence"], best.get(label["Name"], 0.0))
    assert {item["Label"]["Name"] for item in answer["Labels"]} == best.keys()
    assert max(item["Label"]["Confidence"] for item in answer["Labels"]) == max(best.values())


def test_a_job_belongs_to_its_own_get(side: Side, labels: str) -> None:
    for wrong in (labels, "0" * 64):
        with pytest.raises(ClientError) as caught:
            side.rekognition.get_face_detection(JobId=wrong)
        assert code_of(caught) == "ResourceNotFoundException"
        assert caught.value.response["Error"]["Message"] == "Could not find JobId"


def test_faces_with_and_without_attributes(side: Side) -> None:
    default = side.rekognition.start_face_detection(Video=video("photos.mp4"))["JobId"]
    every = side.rekognition.start_face_detection(Video=video("photos.mp4"), FaceAttributes="ALL")["JobId"]
    answer = finished(side.rekognition.get_face_detection, default)
    assert answer["JobStatus"] == "SUCCEEDED", answer.get("StatusMessage")
    assert answer["Faces"]
    times = [item["Timestamp"] for item in answer["Faces"]]
    # every 0.2 s of the first second; the second one shows a cat
    assert times[:5] == [frame * 1001 // 30 for frame in (0, 5, 11, 17, 23)]
    five = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
    assert all(item["Face"].keys() == five for item in answer["Faces"])
    answer = finished(side.rekognition.get_face_detection, every)
    assert answer["JobStatus"] == "SUCCEEDED", answer.get("StatusMessage")
    for item in answer["Faces"]:
        assert {"Emotions", "Smile", "AgeRange"} <= item["Face"].keys()
        assert not {"FaceOccluded", "EyeDirection"} & item["Face"].keys()


def test_text_ids_begin_anew_in_each_sample(side: Side) -> None:
    job_id = side.rekognition.start_text_detection(Video=video("text.mp4"))["JobId"]
    answer = finished(side.rekognition.get_text_detection, job_id)
    assert answer["JobStatus"] == "SUCCEEDED", answer.get("StatusMessage")
    by_time: dict[int, list[int]] = {}
    for item in answer["TextDetections"]:
        by_time.setdefault(item["Timestamp"], []).append(item["TextDetection"]["Id"])
    assert set(by_time) == {0, 12 * 40, 25 * 40}  # the frames that are shown at 0, 0.5 and 1 s
    for ids in by_time.values():
        assert ids == list(range(len(ids)))
    assert answer["TextModelVersion"] == "3.0"


def test_a_face_is_found_in_its_interval_by_one_photo(side: Side, photos: dict[str, Path]) -> None:
    rekognition = side.rekognition
    rekognition.create_collection(CollectionId="crew")
    indexed = rekognition.index_faces(
        CollectionId="crew", Image={"Bytes": photos["astronaut"].read_bytes()}, ExternalImageId="eileen", MaxFaces=1
    )
    face_id = indexed["FaceRecords"][0]["Face"]["FaceId"]
    channel = Channel(side.moto, "Search")
    job_id = rekognition.start_face_search(
        Video=video("photos.mp4"), CollectionId="crew", NotificationChannel=channel.member
    )["JobId"]
    assert channel.wait_for(job_id)["API"] == "StartFaceSearch"
    persons = walk(rekognition.get_face_search, "Persons", JobId=job_id, SortBy="INDEX")
    found = [item for item in persons if item.get("FaceMatches")]
    assert {item["Timestamp"] for item in found} >= {frame * 1001 // 30 for frame in (0, 5, 11, 17, 23)}
    assert max(item["Timestamp"] for item in found) < 1001  # then comes the cat
    assert {item["Person"]["Index"] for item in found} == {found[0]["Person"]["Index"]}
    for item in found:
        assert item["FaceMatches"][0]["Face"]["FaceId"] == face_id
        assert item["FaceMatches"][0]["Similarity"] >= 80
    indices = [item["Person"]["Index"] for item in persons]
    assert indices == sorted(indices)

    waiting = rekognition.start_face_search(Video=video("photos.mp4"), CollectionId="crew")["JobId"]
    rekognition.delete_collection(CollectionId="crew")
    answer = finished(rekognition.get_face_search, waiting)
    if answer["JobStatus"] == "FAILED":  # unless it was faster than the deletion
        assert "crew" in answer["StatusMessage"]


# --- a server without workers: what waits -----------------------------------------------------------------------------


def test_open_jobs_wait_are_limited_and_finish_with_a_worker(clips: dict[str, Path], tmp_path: Path) -> None:
    with running_server("--job-workers", "0") as (url, credentials):
        home = credentials.parent
        bucket = home / "buckets" / BUCKET
        bucket.mkdir(parents=True)
        (bucket / "plain.mp4").write_bytes(clips["plain.mp4"].read_bytes())
        with (bucket / "huge.mp4").open("wb") as file:
            file.truncate(1_000_000_000)
        with (bucket / "over.mp4").open("wb") as file:
            file.truncate(10 * 1024**3 + 1)  # sparse: takes no room
        rekognition = boto3_client(url, credentials)
        start = time.monotonic()
        first = rekognition.start_label_detection(Video=video("huge.mp4"))["JobId"]
        assert time.monotonic() - start < 1.0
        assert re.fullmatch("[0-9a-f]{64}", first)
        answer = rekognition.get_label_detection(JobId=first)
        assert answer["JobStatus"] == "IN_PROGRESS"
        assert not answer.get("Labels")
        assert "VideoMetadata" not in answer

        with pytest.raises(ClientError) as caught:
            rekognition.start_label_detection(Video=video("over.mp4"))
        assert code_of(caught) == "VideoTooLargeException"
        assert caught.value.response["Error"]["Message"] == (
            "Video size in bytes: 10737418241 is more than the maximum limit of: 10737418240 bytes."
        )

        segments: Any = {"Video": video("plain.mp4"), **CUES}
        ids = [rekognition.start_segment_detection(**segments)["JobId"] for _ in range(19)]
        with pytest.raises(ClientError) as caught:
            rekognition.start_segment_detection(**segments)
        assert code_of(caught) == "LimitExceededException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        message = caught.value.response["Error"]["Message"]
        assert re.fullmatch(r"20 open Jobs for User arn:aws:iam::000000000000:user/\S+ Maximum limit: 20", message)

        command = [sys.executable, "-m", "openrek", "worker", "--home", str(home)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as worker:
            try:
                assert finished(rekognition.get_segment_detection, ids[0])["JobStatus"] == "SUCCEEDED"
                ids.append(rekognition.start_segment_detection(**segments)["JobId"])
                for job_id in ids:
                    assert finished(rekognition.get_segment_detection, job_id)["JobStatus"] == "SUCCEEDED"
                broken = finished(rekognition.get_label_detection, first)  # a gigabyte of zeros is no video
                assert broken["JobStatus"] == "FAILED"
                assert broken["StatusMessage"]
            finally:
                worker.terminate()
                worker.wait(timeout=60)
            assert worker.returncode == 0


def test_results_are_gone_after_the_retention_time(clips: dict[str, Path]) -> None:
    with running_server("--job-workers", "1", env={"OPENREK_JOB_RETENTION": "4"}) as (url, credentials):
        home = credentials.parent
        bucket = home / "buckets" / BUCKET
        bucket.mkdir(parents=True)
        (bucket / "plain.mp4").write_bytes(clips["plain.mp4"].read_bytes())
        rekognition = boto3_client(url, credentials)
        job_id = rekognition.start_segment_detection(Video=video("plain.mp4"), SegmentTypes=["TECHNICAL_CUE"])["JobId"]
        assert finished(rekognition.get_segment_detection, job_id)["JobStatus"] == "SUCCEEDED"
        time.sleep(4.5)
        with pytest.raises(ClientError) as caught:
            rekognition.get_segment_detection(JobId=job_id)
        assert code_of(caught) == "ResourceNotFoundException"
        for _ in range(100):  # and it is really gone
            if not json.loads(jobs_command(home, "list", "--json"))["jobs"]:
                return
            time.sleep(0.1)
        raise AssertionError("the job was not purged")
