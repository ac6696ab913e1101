"""Start and Get of stored video without workers: checks, replays, shapes, pages, orders, stretches."""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from openrek.contract.call import Call, Caller
from openrek.contract.errors import (
    IdempotentParameterMismatchException,
    InvalidPaginationTokenException,
    InvalidParameterException,
    InvalidS3ObjectException,
    LimitExceededException,
    NotImplementedException,
    ResourceNotFoundException,
    VideoTooLargeException,
)
from openrek.contract.model import service_model
from openrek.jobs import Job, JobStore, Row, TaskQueue
from openrek.service.operation import load_operations
from openrek.service.pagination import PageTokens
from openrek.service.services import Services
from openrek.service.stored_video import StoredVideo, get_page, start_job
from openrek.service.stored_video_faces import Celebrities, Faces, FaceSearch, Persons
from openrek.service.stored_video_labels import Labels
from openrek.service.stored_video_moderation import Moderation
from openrek.service.stored_video_rows import aggregated, by_name
from openrek.service.stored_video_segments import Segments
from openrek.service.stored_video_text import Text
from openrek.store.objects import FolderStore, ObjectInfo, ObjectStoreError
from openrek.wire.serializer import Serializer
from tests.jobs_kit import ACCOUNT, REGION, House

PAIRS: tuple[type[StoredVideo], ...] = (
    Labels,
    Moderation,
    Faces,
    FaceSearch,
    Persons,
    Celebrities,
    Text,
    Segments,
)
SERIALIZER = Serializer(service_model())
CALLER = Caller("OREKAAAAAAAAAAAAAAAA", ACCOUNT, REGION)
VIDEO = {"S3Object": {"Bucket": "videos", "Name": "clip.mp4"}}
PLAN = {
    "etag": "e",
    "analysers": {},
    "video": {
        "codec": "h264",
        "format": "QuickTime / MOV",
        "duration_ms": 10_000,
        "rate": 25.0,
        "width": 1920,
        "height": 1080,
        "color_range": "LIMITED",
        "audio": [{"codec": "aac", "duration_ms": 9_990, "sample_rate": 48_000, "channels": 2}],
    },
}


class Desk:
    """The operations as the wire calls them, on a home of their own."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.house = House.build(home, **settings)
        self.house.objects.put("videos", "clip.mp4", b"12345")
        self.services = cast(
            Services,
            SimpleNamespace(
                settings=self.house.settings,
                database=self.house.database,
                objects=self.house.objects,
                page_tokens=PageTokens(b"secret" * 6),
            ),
        )

    def start(self, pair: type[StoredVideo], *, caller: Caller = CALLER, **request: Any) -> str:
        call = Call(pair.start, "id", caller, {"Video": VIDEO} | request)
        return str(start_job(pair(), call.request, call, self.services)["JobId"])

    def get(
        self, pair: type[StoredVideo], job_id: str, *, caller: Caller = CALLER, **request: Any
    ) -> Mapping[str, Any]:
        call = Call(pair.get, "id", caller, {"JobId": job_id} | request)
        answer = get_page(pair(), call.request, call, self.services)
        SERIALIZER.serialize(pair.get, answer)  # refuses what the model does not have
        return answer

    def finish(self, rows: list[Row]) -> None:
        queue = TaskQueue(self.house.database, 30.0)
        for step in range(3):
            task = queue.claim("w")
            assert task is not None
            if step == 0:
                queue.planned(task, PLAN, 250, [{"start": 0, "stop": 250}])
            elif step == 1:
                queue.observed(task, b"", 250)
            else:
                queue.decided(task, rows)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    built = Desk(tmp_path)
    yield built
    built.house.database.close()


def label(name: str, ms: int, confidence: float) -> dict[str, Any]:
    boxes = [{"BoundingBox": {"Left": 0.1, "Top": 0.1, "Width": 0.2, "Height": 0.2}, "Confidence": confidence}]
    return {"Timestamp": ms, "Label": {"Name": name, "Confidence": confidence, "Instances": boxes, "Parents": []}}


def label_rows(items: list[dict[str, Any]]) -> list[Row]:
    pair = Labels()
    found = [(item, *pair.key(item)) for item in items]
    return list(aggregated(found, group=pair.group, step=0.5, duration_ms=10_000))


# --- Start ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", PAIRS)
def test_start_answers_with_an_id_and_get_with_progress(desk: Desk, pair: type[StoredVideo]) -> None:
    more: dict[str, Any] = {"SegmentTypes": ["SHOT"]} if pair is Segments else {}
    if pair is FaceSearch:
        return  # it needs models; see the acceptance tests
    job_id = desk.start(pair, JobTag="tag", **more)
    assert re.fullmatch("[0-9a-f]{64}", job_id)
    answer = desk.get(pair, job_id)
    assert (answer["JobStatus"], answer["JobId"], answer["Video"], answer["JobTag"]) == (
        "IN_PROGRESS",
        job_id,
        VIDEO,
        "tag",
    )
    assert answer[pair.member] == []
    assert not {"VideoMetadata", "NextToken", "StatusMessage"} & answer.keys()


def test_a_missing_object_is_refused(desk: Desk) -> None:
    for s3_object in ({"Bucket": "videos", "Name": "other"}, {"Bucket": "others", "Name": "clip.mp4"}):
        with pytest.raises(InvalidS3ObjectException):
            desk.start(Faces, Video={"S3Object": s3_object})
    for s3_object in ({"Bucket": "videos"}, {"Name": "clip.mp4"}, {}):
        with pytest.raises(InvalidParameterException, match=r"Video\.S3Object needs"):
            desk.start(Faces, Video={"S3Object": s3_object})
    assert JobStore(desk.house.database).newest() == []


def test_a_store_that_fails_is_not_the_callers_fault(desk: Desk) -> None:
    class Down(FolderStore):
        def head(self, bucket: str, key: str, version: str | None = None) -> ObjectInfo:
            raise ObjectStoreError("cannot connect")

    desk.services.objects = Down(desk.house.settings.home)
    with pytest.raises(ObjectStoreError, match="cannot connect"):  # which `failures` makes a 500
        desk.start(Faces)
    assert JobStore(desk.house.database).newest() == []


def test_a_large_video_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, max_video_bytes=4)
    with pytest.raises(VideoTooLargeException) as caught:
        desk.start(Faces)
    assert caught.value.message == "Video size in bytes: 5 is more than the maximum limit of: 4 bytes."
    desk.house.database.close()


def test_the_aws_limits(desk: Desk) -> None:
    settings = desk.house.settings
    assert settings.video_byte_limit == 10 * 1024**3
    assert settings.video_second_limit == 6 * 3600
    assert settings.concurrent_job_limit == 20
    assert settings.job_retention == 7 * 24 * 3600


def test_a_server_without_a_reader_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openrek.service.stored_video.find_spec", lambda name: None)
    with pytest.raises(NotImplementedException, match=r"openrek\[video\]"):
        desk.start(Faces)


def test_one_job_too_many_is_refused_until_another_ends(desk: Desk) -> None:
    first, *_ = [desk.start(Faces) for _ in range(20)]
    with pytest.raises(LimitExceededException) as caught:
        desk.start(Text)
    assert caught.value.message == f"20 open Jobs for User {CALLER.arn} Maximum limit: 20"
    JobStore(desk.house.database).cancel(first)
    desk.start(Text)


def test_a_replayed_token_gives_the_same_job_whatever_has_changed(desk: Desk) -> None:
    first = desk.start(Labels, ClientRequestToken="t", MinConfidence=60.0)
    desk.house.objects.delete("videos", "clip.mp4")
    JobStore(desk.house.database).cancel(first)
    assert desk.start(Labels, ClientRequestToken="t", MinConfidence=60.0) == first
    with pytest.raises(IdempotentParameterMismatchException):
        desk.start(Labels, ClientRequestToken="t", MinConfidence=61.0)
    assert len(JobStore(desk.house.database).newest()) == 1


def test_a_token_counts_for_one_operation_and_none_makes_a_new_job(desk: Desk) -> None:
    ids = [desk.start(pair, ClientRequestToken="t") for pair in (Labels, Faces)]
    ids += [desk.start(Faces) for _ in range(2)]
    assert len(set(ids)) == 4


def test_a_replay_does_not_count_against_the_limit(desk: Desk) -> None:
    ids = [desk.start(Faces, ClientRequestToken=f"t{n}") for n in range(20)]
    assert desk.start(Faces, ClientRequestToken="t7") == ids[7]


@pytest.mark.parametrize(
    ("pair", "request_", "match"),
    [
        (
            Labels,
            {"Settings": {"GeneralLabels": {"LabelInclusionFilters": ["Dog"], "LabelExclusionFilters": ["Dog"]}}},
            "both hold 'Dog'",
        ),
        (Text, {"Filters": {"RegionsOfInterest": [{}]}}, "exactly one of BoundingBox and Polygon"),
        (Segments, {"SegmentTypes": ["SHOT"], "Filters": {"TechnicalCueFilter": {}}}, "contains TECHNICAL_CUE"),
        (Segments, {"SegmentTypes": ["TECHNICAL_CUE"], "Filters": {"ShotFilter": {}}}, "contains SHOT"),
    ],
)
def test_what_the_model_cannot_say_is_checked(
    desk: Desk, pair: type[StoredVideo], request_: dict[str, Any], match: str
) -> None:
    with pytest.raises(InvalidParameterException, match=match):
        desk.start(pair, **request_)


def test_pairs_are_registered_once_they_have_analysers() -> None:
    built = load_operations()
    for pair in PAIRS:
        ready = pair.analysers is not StoredVideo.analysers
        assert (pair.start in built, pair.get in built) == (ready, ready)


# --- Get --------------------------------------------------------------------------------------------------------------


def test_a_job_is_found_by_its_own_pair_account_and_region_only(desk: Desk) -> None:
    job_id = desk.start(Labels)
    with pytest.raises(ResourceNotFoundException, match=r"^Could not find JobId$"):
        desk.get(Faces, job_id)
    for caller in (Caller("K", "111111111111", REGION), Caller("K", ACCOUNT, "eu-west-1")):
        with pytest.raises(ResourceNotFoundException):
            desk.get(Labels, job_id, caller=caller)
    with pytest.raises(ResourceNotFoundException):
        desk.get(Labels, "0" * 64)


def test_a_failed_job_says_why_and_has_no_results(desk: Desk) -> None:
    job_id = desk.start(Faces)
    JobStore(desk.house.database).cancel(job_id)
    answer = desk.get(Faces, job_id)
    assert (answer["JobStatus"], answer["StatusMessage"]) == ("FAILED", "The job was cancelled.")
    assert answer["Faces"] == []
    assert "VideoMetadata" not in answer


def test_an_empty_result_succeeds(desk: Desk) -> None:
    job_id = desk.start(Text)
    desk.finish([])
    answer = desk.get(Text, job_id)
    assert (answer["JobStatus"], answer["TextDetections"]) == ("SUCCEEDED", [])
    assert answer["TextModelVersion"] == "3.0"


def test_video_metadata(desk: Desk) -> None:
    job_id = desk.start(Faces)
    desk.finish([])
    expected = {
        "Codec": "h264",
        "DurationMillis": 10_000,
        "Format": "QuickTime / MOV",
        "FrameRate": 25.0,
        "FrameHeight": 1080,
        "FrameWidth": 1920,
        "ColorRange": "LIMITED",
    }
    assert desk.get(Faces, job_id)["VideoMetadata"] == expected
    job_id = desk.start(Segments, SegmentTypes=["SHOT", "TECHNICAL_CUE", "SHOT"])
    desk.finish([])
    answer = desk.get(Segments, job_id)
    assert answer["VideoMetadata"] == [expected]
    assert answer["AudioMetadata"] == [
        {"Codec": "aac", "DurationMillis": 9_990, "SampleRate": 48_000, "NumberOfChannels": 2}
    ]
    assert answer["SelectedSegmentTypes"] == [
        {"Type": "SHOT", "ModelVersion": "2.0"},
        {"Type": "TECHNICAL_CUE", "ModelVersion": "2.0"},
    ]


def walk(desk: Desk, job_id: str, size: int, **question: Any) -> list[Any]:
    items: list[Any] = []
    token: dict[str, str] = {}
    while True:
        answer = desk.get(Labels, job_id, MaxResults=size, **question, **token)
        assert answer["VideoMetadata"]["Codec"] == "h264"
        assert len(answer["Labels"]) <= size
        items += answer["Labels"]
        if "NextToken" not in answer:
            return items
        assert len(answer["NextToken"]) <= 255
        token = {"NextToken": answer["NextToken"]}


def test_pages_make_up_the_whole(desk: Desk) -> None:
    job_id = desk.start(Labels)
    names = ["Dog", "Cat", "Animal", "Bus", "Zebra"]
    items = [label(name, 500 * n, 90.0 - n % 7) for n in range(20) for name in names]
    desk.finish(label_rows(items))
    assert walk(desk, job_id, 7) == walk(desk, job_id, 1000) == items
    assert desk.get(Labels, job_id, MaxResults=100).get("NextToken") is None
    by_names = walk(desk, job_id, 9, SortBy="NAME")
    keys = [(item["Label"]["Name"], -item["Label"]["Confidence"]) for item in by_names]
    assert keys == sorted(keys)
    assert len(by_names) == 100
    for question in ({"SortBy": "NAME"}, {"AggregateBy": "SEGMENTS"}, {"AggregateBy": "SEGMENTS", "SortBy": "NAME"}):
        assert walk(desk, job_id, 2, **question) == walk(desk, job_id, 1000, **question)


def test_large_pages_are_cut_at_a_thousand(desk: Desk) -> None:
    job_id = desk.start(Labels)
    desk.finish(label_rows([label("Dog", 40 * n, 90.0) for n in range(1001)]))
    answer = desk.get(Labels, job_id, MaxResults=5000)
    assert len(answer["Labels"]) == 1000
    assert len(desk.get(Labels, job_id, MaxResults=5000, NextToken=answer["NextToken"])["Labels"]) == 1
    assert len(desk.get(Labels, job_id)["Labels"]) == 1000


def test_a_token_belongs_to_its_job_and_its_order(desk: Desk) -> None:
    first, second = desk.start(Labels), desk.start(Labels)
    for _ in range(2):
        queue_rows = label_rows([label("Dog", 500 * n, 90.0) for n in range(5)])
        desk_finish_next(desk, queue_rows)
    token = desk.get(Labels, first, MaxResults=2)["NextToken"]
    # the defaults written out are the same question
    assert desk.get(Labels, first, MaxResults=3, NextToken=token, SortBy="TIMESTAMP", AggregateBy="TIMESTAMPS")
    for job_id, question in (
        (first, {"SortBy": "NAME"}),
        (first, {"AggregateBy": "SEGMENTS"}),
        (second, {}),
    ):
        with pytest.raises(InvalidPaginationTokenException):
            desk.get(Labels, job_id, MaxResults=2, NextToken=token, **question)
    with pytest.raises(InvalidPaginationTokenException):
        desk.get(Labels, first, NextToken="x" * 40)


def desk_finish_next(desk: Desk, rows: list[Row]) -> None:
    """Finish one of several open jobs."""
    queue = TaskQueue(desk.house.database, 30.0)
    task = queue.claim("w")
    assert task is not None
    while task.position != -2:
        task = queue.claim("w")
        assert task is not None
    queue.planned(task, PLAN, 1, [{"start": 0, "stop": 1}])
    while True:
        following = queue.claim("w")
        assert following is not None
        if following.job.job_id != task.job.job_id:
            held = following
            following = queue.claim("w")
            queue.give_back(held)
            assert following is not None
        if following.position == 0:
            queue.observed(following, b"", 1)
        else:
            queue.decided(following, rows)
            return


def test_the_effective_order_is_echoed(desk: Desk) -> None:
    job_id = desk.start(Labels)
    desk.finish([])
    assert desk.get(Labels, job_id)["GetRequestMetadata"] == {"SortBy": "TIMESTAMP", "AggregateBy": "TIMESTAMPS"}
    answer = desk.get(Labels, job_id, SortBy="NAME", AggregateBy="SEGMENTS")
    assert answer["GetRequestMetadata"] == {"SortBy": "NAME", "AggregateBy": "SEGMENTS"}
    assert answer["LabelModelVersion"] == "3.0"


@pytest.mark.parametrize(
    ("pair", "order", "items"),
    [
        (
            Persons,
            "INDEX",
            [
                {"Timestamp": 0, "Person": {"Index": 10}},
                {"Timestamp": 0, "Person": {"Index": 2, "Face": {"Confidence": 80.0}}},
                {"Timestamp": 200, "Person": {"Index": 2, "Face": {"Confidence": 99.0}}},
                {"Timestamp": 400, "Person": {"Index": 2}},
            ],
        ),
        (
            Celebrities,
            "ID",
            [
                {"Timestamp": 0, "Celebrity": {"Id": "b"}},
                {"Timestamp": 200, "Celebrity": {"Id": "B"}},
                {"Timestamp": 400, "Celebrity": {"Id": "a"}},
                {"Timestamp": 600, "Celebrity": {"Id": "b"}},
            ],
        ),
    ],
)
def test_the_other_order(desk: Desk, pair: type[StoredVideo], order: str, items: list[dict[str, Any]]) -> None:
    job_id = desk.start(pair)
    desk.finish([Row(item, *pair().key(item)) for item in items])
    assert desk.get(pair, job_id)[pair.member] == items
    found = desk.get(pair, job_id, SortBy=order)[pair.member]
    expected = {"INDEX": [2, 1, 3, 0], "ID": [1, 2, 0, 3]}[order]
    assert found == [items[n] for n in expected]


def test_results_are_gone_after_their_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = desk.start(Faces)
    desk.finish([Row({"Timestamp": 0, "Face": {"Confidence": 99.0}})])
    finished = JobStore(desk.house.database).find(job_id)
    assert finished is not None
    assert finished.finished_ms is not None
    week = 7 * 24 * 3600 * 1000
    monkeypatch.setattr("openrek.service.stored_video.now_ms", lambda: finished.finished_ms + week - 1)
    assert len(desk.get(Faces, job_id)["Faces"]) == 1
    monkeypatch.setattr("openrek.service.stored_video.now_ms", lambda: finished.finished_ms + week)
    with pytest.raises(ResourceNotFoundException, match="Could not find JobId"):
        desk.get(Faces, job_id)


# --- stretches --------------------------------------------------------------------------------------------------------


def stretches(items: list[dict[str, Any]], *, step: float = 0.5, duration_ms: int = 10_000) -> list[tuple[Any, ...]]:
    pair = Labels()
    found = ((item, *pair.key(item)) for item in items)
    rows = list(aggregated(found, group=pair.group, step=step, duration_ms=duration_ms))
    assert [row.item for row in rows if row.view == 0] == items
    out = []
    for row in rows:
        if row.view == 1:
            item = row.item
            assert item["Timestamp"] == item["StartTimestampMillis"]
            assert item["DurationMillis"] == item["EndTimestampMillis"] - item["StartTimestampMillis"]
            assert item["Label"]["Instances"] == []
            out.append(
                (
                    item["Label"]["Name"],
                    item["StartTimestampMillis"],
                    item["EndTimestampMillis"],
                    item["Label"]["Confidence"],
                )
            )
    return out


def test_a_stretch_is_a_run_of_samples_with_its_best_confidence() -> None:
    items = [label("Dog", ms, confidence) for ms, confidence in ((0, 60.0), (500, 90.0), (1000, 70.0))]
    assert stretches(items) == [("Dog", 0, 1500, 90.0)]


def test_one_missing_sample_does_not_end_a_stretch_two_do() -> None:
    items = [label("Dog", ms, 80.0) for ms in (0, 1000, 2500)]
    assert stretches(items) == [("Dog", 0, 1500, 80.0), ("Dog", 2500, 3000, 80.0)]


def test_samples_lie_on_frames_so_their_distance_varies() -> None:
    # 23.976 frames a second: the frames after 0, 500, 1000 ... ms
    times = [0, 500, 1001, 1501, 2002]
    assert stretches([label("Dog", ms, 80.0) for ms in times[::2]]) == [("Dog", 0, 2502, 80.0)]


def test_at_few_frames_a_second_samples_are_frames(desk: Desk) -> None:
    info = cast(Any, SimpleNamespace(rate=Fraction(1, 4), duration_ms=20_000))
    items = [label("Dog", ms, 90) for ms in (0, 4000, 8000, 16_000)]
    job = cast(Job, None)
    rows = [row.item for row in Labels().rows(job, info, {"labels": items}, desk.services) if row.view]
    assert [(row["StartTimestampMillis"], row["EndTimestampMillis"]) for row in rows] == [(0, 20_000)]


def test_a_stretch_ends_with_the_video_and_stretches_are_in_order() -> None:
    items = [label("Cat", 0, 70.0), label("Dog", 0, 80.0), label("Ant", 9500, 60.0), label("Cat", 9500, 50.0)]
    assert stretches(items, duration_ms=9_700) == [
        ("Dog", 0, 500, 80.0),
        ("Cat", 0, 500, 70.0),
        ("Ant", 9500, 9700, 60.0),
        ("Cat", 9500, 9700, 50.0),
    ]


def test_moderation_labels_have_stretches_too() -> None:
    pair = Moderation()
    item = {
        "Timestamp": 500,
        "ModerationLabel": {"Name": "Weapons", "Confidence": 77.0, "ParentName": "Violence", "TaxonomyLevel": 2},
        "ContentTypes": [],
    }
    found = [(item, *pair.key(item))]
    rows = list(aggregated(found, group=pair.group, step=0.5, duration_ms=10_000))
    assert rows[1].item == item | {
        "StartTimestampMillis": 500,
        "EndTimestampMillis": 1000,
        "DurationMillis": 500,
    }
    assert by_name(item["ModerationLabel"]) == ("Weapons", -77.0)


def test_stretches_cost_no_boxes_of_the_samples() -> None:
    items = [label("Dog", 0, 80.0)]
    list(stretches(items))
    assert items[0]["Label"]["Instances"]  # the sample's own are still there
