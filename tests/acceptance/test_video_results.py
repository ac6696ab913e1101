"""Items of the stored-video operations through boto3 that need models: what each of them holds."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from openrek.cli.demo import boto3_client, running_server
from tests.acceptance.video_kit import BUCKET, finished, still, video, write_clip, written

pytest.importorskip("av", reason="reading video needs PyAV")

FACE = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}


@dataclass(frozen=True)
class Side:
    rekognition: Any
    home: Path


@pytest.fixture(scope="module")
def side(photos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """A server with one worker. One clip is a second of a portrait, of grey, and of the portrait again; one is text."""
    folder = tmp_path_factory.mktemp("clips")
    face = still(photos["astronaut"], 320)
    grey = np.full_like(face, 120)
    write_clip(folder / "face.mp4", [face] * 10 + [grey] * 10 + [face] * 10, rate=Fraction(10), gop=10)
    write_clip(folder / "text.mp4", [written("OPEN HOUSE", "today")] * 10, rate=Fraction(10))
    with running_server("--job-workers", "1", env={"OPENREK_CHUNK_SECONDS": "1"}) as (url, credentials):
        home = credentials.parent
        bucket = home / "buckets" / BUCKET
        bucket.mkdir(parents=True)
        for path in folder.iterdir():
            (bucket / path.name).write_bytes(path.read_bytes())
        yield Side(boto3_client(url, credentials), home)


def done(start: Any, get: Any, key: str, **request: Any) -> tuple[str, Any]:
    job_id = start(Video=video(key), **request)["JobId"]
    answer = finished(get, job_id)
    assert answer["JobStatus"] == "SUCCEEDED", answer.get("StatusMessage")
    return job_id, answer


def test_a_person_is_tracked_with_the_face(side: Side) -> None:
    get = side.rekognition.get_person_tracking
    job_id, answer = done(side.rekognition.start_person_tracking, get, "face.mp4")
    persons = answer["Persons"]
    times = [item["Timestamp"] for item in persons]
    assert times == sorted(times)
    assert set(times) == {n * 200 for n in range(15)} - {n * 200 for n in range(5, 10)}
    assert persons[0]["Person"]["Index"] == 0
    assert {item["Person"]["Index"] for item in persons} == {0, 1}  # the paths end at the cuts
    assert all(item["Person"].get("Face", {}).keys() in ({}.keys(), FACE) for item in persons)
    assert any("Face" in item["Person"] for item in persons)
    assert all("BoundingBox" in item["Person"] for item in persons)
    indices = [item["Person"]["Index"] for item in get(JobId=job_id, SortBy="INDEX")["Persons"]]
    assert indices == sorted(indices)


def test_labels_hold_what_the_filters_leave_with_ancestors_and_boxes(side: Side) -> None:
    start, get = side.rekognition.start_label_detection, side.rekognition.get_label_detection
    job_id, answer = done(start, get, "face.mp4")
    for time in {item["Timestamp"] for item in answer["Labels"]}:
        named = {item["Label"]["Name"]: item["Label"] for item in answer["Labels"] if item["Timestamp"] == time}
        for label in named.values():
            assert label["Confidence"] >= 50
            assert {parent["Name"] for parent in label["Parents"]} <= named.keys()
            assert all(instance.keys() == {"BoundingBox", "Confidence"} for instance in label["Instances"])
    assert "Person" in {item["Label"]["Name"] for item in answer["Labels"]}
    # the same job, read both ways
    stretches = get(JobId=job_id, AggregateBy="SEGMENTS")["Labels"]
    assert not any(item["Label"]["Instances"] for item in stretches)
    assert any(item["Label"]["Instances"] for item in get(JobId=job_id)["Labels"])

    chosen = {"GeneralLabels": {"LabelInclusionFilters": ["Person"]}}
    _, answer = done(start, get, "face.mp4", Features=["GENERAL_LABELS"], Settings=chosen, MinConfidence=60)
    assert {item["Label"]["Name"] for item in answer["Labels"]} == {"Person"}


def test_moderation_labels_by_time_name_and_stretch(side: Side) -> None:
    start, get = side.rekognition.start_content_moderation, side.rekognition.get_content_moderation
    job_id, answer = done(start, get, "face.mp4", MinConfidence=0)  # keeps everything that is thought of at all
    assert answer["ModerationModelVersion"] == "7.0"
    assert answer["GetRequestMetadata"] == {"SortBy": "TIMESTAMP", "AggregateBy": "TIMESTAMPS"}
    items = answer["ModerationLabels"]
    assert items
    for time in {item["Timestamp"] for item in items}:
        named = {
            item["ModerationLabel"]["Name"]: item["ModerationLabel"] for item in items if item["Timestamp"] == time
        }
        for label in named.values():
            parent = label["ParentName"]
            assert label["TaxonomyLevel"] == (named[parent]["TaxonomyLevel"] + 1 if parent else 1)
    assert all(isinstance(item["ContentTypes"], list) for item in items)
    by_name = get(JobId=job_id, SortBy="NAME")["ModerationLabels"]
    keys = [(item["ModerationLabel"]["Name"], -item["ModerationLabel"]["Confidence"]) for item in by_name]
    assert keys == sorted(keys)
    for item in get(JobId=job_id, AggregateBy="SEGMENTS")["ModerationLabels"]:
        assert item["Timestamp"] == item["StartTimestampMillis"]
        assert item["DurationMillis"] == item["EndTimestampMillis"] - item["StartTimestampMillis"]
    _, answer = done(start, get, "face.mp4", MinConfidence=100)
    assert answer["ModerationLabels"] == []


def test_people_of_the_gallery_are_named(side: Side, photos: dict[str, Path], tmp_path: Path) -> None:
    person = tmp_path / "people" / "collins"
    person.mkdir(parents=True)
    facts = 'name = "Eileen Collins"\nurls = ["https://www.example.org/collins"]\nsource = "NASA"\nlicence = "free"\n'
    (person / "person.toml").write_text(facts)
    Image.open(photos["astronaut"]).convert("RGB").crop((80, 0, 380, 300)).save(person / "portrait.png")
    start, get = side.rekognition.start_celebrity_recognition, side.rekognition.get_celebrity_recognition
    _, answer = done(start, get, "face.mp4")
    assert answer["Celebrities"] == []  # the gallery is empty
    command = [sys.executable, "-m", "openrek", "celebrities", "import", str(person.parent), "--home", str(side.home)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    job_id, answer = done(start, get, "face.mp4")
    times = [item["Timestamp"] for item in answer["Celebrities"]]
    assert times == sorted(times)
    assert len(times) >= 8
    for item in answer["Celebrities"]:
        celebrity = item["Celebrity"]
        assert (celebrity["Name"], celebrity["Urls"]) == ("Eileen Collins", ["www.example.org/collins"])
        assert 0 <= celebrity["Confidence"] <= 100
        assert celebrity["Face"].keys() == FACE
        body, face = celebrity["BoundingBox"], celebrity["Face"]["BoundingBox"]
        assert body["Width"] * body["Height"] > 2 * face["Width"] * face["Height"]
    keys = [(item["Celebrity"]["Id"], item["Timestamp"]) for item in get(JobId=job_id, SortBy="ID")["Celebrities"]]
    assert keys == sorted(keys)
    with pytest.raises(ClientError) as caught:
        get(JobId=job_id, SortBy="NAME")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_text_is_filtered_at_start(side: Side) -> None:
    start, get = side.rekognition.start_text_detection, side.rekognition.get_text_detection
    _, answer = done(start, get, "text.mp4")
    words = {item["TextDetection"]["DetectedText"] for item in answer["TextDetections"]}
    assert {"OPEN HOUSE", "today"} <= words
    assert all(item["TextDetection"]["Confidence"] >= 80 for item in answer["TextDetections"])
    above = {"RegionsOfInterest": [{"BoundingBox": {"Left": 0, "Top": 0, "Width": 1, "Height": 0.5}}]}
    _, answer = done(start, get, "text.mp4", Filters=above)
    assert "today" not in {item["TextDetection"]["DetectedText"] for item in answer["TextDetections"]}
    assert answer["TextDetections"]
