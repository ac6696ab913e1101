"""People of real clips: paths, and faces found from one photo each. Skips where the test media are not."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openrek.cli.demo import boto3_client, running_server

pytest.importorskip("av", reason="reading video needs PyAV")
pytestmark = pytest.mark.media


PATIENCE = 400.0


@pytest.fixture(scope="module")
def rekognition(media: Path) -> Iterator[Any]:
    with running_server("--job-workers", "1") as (url, credentials):
        bucket = credentials.parent / "buckets" / "clips"
        bucket.mkdir(parents=True)
        for name in ("six-people-one-by-one.mp4", "two-men-late-start.mp4"):
            shutil.copy(media / "video" / name, bucket / name)
        yield boto3_client(url, credentials)


def clip(name: str) -> dict[str, Any]:
    return {"S3Object": {"Bucket": "clips", "Name": name}}


def everything(get: Any, member: str, job_id: str, **more: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE
    while (answer := get(JobId=job_id))["JobStatus"] == "IN_PROGRESS":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert answer["JobStatus"] == "SUCCEEDED", answer.get("StatusMessage")
    items: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        page = get(JobId=job_id, **more, **token)
        items += page[member]
        if "NextToken" not in page:
            return items
        token = {"NextToken": page["NextToken"]}


def test_six_people_one_after_another_are_six_paths(rekognition: Any) -> None:
    job_id = rekognition.start_person_tracking(Video=clip("six-people-one-by-one.mp4"))["JobId"]
    seen: dict[int, list[int]] = {}
    for item in everything(rekognition.get_person_tracking, "Persons", job_id, SortBy="INDEX"):
        seen.setdefault(item["Person"]["Index"], []).append(item["Timestamp"] // 100)
    true = [(60, 197), (228, 449), (501, 701), (746, 870), (921, 1203), (1234, 1359)]
    assert sorted(seen) == list(range(len(true)))
    for frames, (first, last) in zip(seen.values(), true, strict=True):
        assert abs(min(frames) - first) <= 15
        assert abs(max(frames) - last) <= 15


def test_two_men_are_found_from_one_photo_each(rekognition: Any, media: Path) -> None:
    rekognition.create_collection(CollectionId="men")
    for number, name in ((1, "lin-manuel"), (2, "alex")):
        photo = (media / "video" / f"two-men-reference-{number}.png").read_bytes()
        answer = rekognition.index_faces(CollectionId="men", Image={"Bytes": photo}, ExternalImageId=name, MaxFaces=1)
        assert len(answer["FaceRecords"]) == 1
    # in the second shot the pianist's dark profile is like the photo by 81 % at best: other processors may see 79
    request = {"Video": clip("two-men-late-start.mp4"), "CollectionId": "men", "FaceMatchThreshold": 75.0}
    job_id = rekognition.start_face_search(**request)["JobId"]
    found: dict[str, set[int]] = {}
    for item in everything(rekognition.get_face_search, "Persons", job_id):
        for match in item.get("FaceMatches", ())[:1]:
            found.setdefault(match["Face"]["ExternalImageId"], set()).add(item["Timestamp"])
    cuts = (1519, 3588, 7892)  # the second, third and fourth shot begin
    assert any(cuts[1] <= time < cuts[2] for time in found["lin-manuel"])
    assert any(time < cuts[0] for time in found["lin-manuel"])  # small
    assert any(time < cuts[0] for time in found["alex"])  # he sits behind
    assert any(cuts[0] <= time < cuts[1] for time in found["alex"])
    assert not any(time >= cuts[2] for times in found.values() for time in times)  # the audience is nobody we know
