"""Publishing: webhooks and SNS, what goes out, and what happens when nothing takes it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from openrek.jobs import JobStore, Status
from openrek.jobs.courier import Courier
from openrek.jobs.notices import Outbox
from openrek.jobs.tasks import TaskQueue
from tests.jobs_kit import House

TOPIC = "arn:aws:sns:eu-west-1:000000000000:AmazonRekognitionDone"
SNS_ANSWER = (
    '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m</MessageId>'
    "</PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>"
)


class Receiver:
    """A web server that keeps what it is sent, and answers with `status`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, dict(self.headers), body))
                self.send_response(receiver.status)
                if receiver.status in (301, 302):
                    self.send_header("Location", receiver.url + "/elsewhere")
                answer = SNS_ANSWER.encode()
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House.build(tmp_path)
    yield made
    made.database.close()


def end(house: House, *, failed: bool = False, topic: str = TOPIC, **more: Any) -> str:
    """A job that has ended, with its notice in the outbox."""
    channel = {"SNSTopicArn": topic, "RoleArn": "arn:aws:iam::000000000000:role/r"}
    job_id = house.submit(NotificationChannel=channel, **more)
    queue = TaskQueue(house.database, 30.0)
    task = queue.claim("w")
    assert task is not None
    if failed:
        queue.failed(task, "broken")
        return job_id
    queue.planned(task, {}, 1, [{}])
    task = queue.claim("w")
    assert task is not None
    queue.observed(task, b"", 1)
    task = queue.claim("w")
    assert task is not None
    queue.decided(task, [])
    return job_id


def courier(house: House, **settings: Any) -> Courier:
    return Courier(house.database, house.settings.model_copy(update=settings))


def notices(house: House, job_id: str) -> list[Any]:
    job = JobStore(house.database).find(job_id)
    assert job is not None
    return Outbox(house.database).of(job)


def test_a_topic_with_an_address_is_posted_as_sns_posts(house: House, receiver: Receiver) -> None:
    job_id = end(house, JobTag="tag")
    post = courier(house, topics={TOPIC: receiver.url + "/hook"})
    assert post.send_one()
    assert not post.send_one()
    ((path, headers, body),) = receiver.requests
    envelope = json.loads(body)
    assert path == "/hook"
    assert headers["x-amz-sns-message-type"] == envelope["Type"] == "Notification"
    assert headers["x-amz-sns-topic-arn"] == envelope["TopicArn"] == TOPIC
    assert envelope["Timestamp"].endswith("Z")
    message = json.loads(envelope["Message"])
    job = JobStore(house.database).find(job_id)
    assert job is not None
    assert message == {
        "JobId": job_id,
        "Status": "SUCCEEDED",
        "API": "StartSegmentDetection",
        "JobTag": "tag",
        "Timestamp": job.finished_ms,
        "Video": {"S3ObjectName": "clip.mp4", "S3Bucket": "videos"},
    }
    assert len(str(message["Timestamp"])) == 13
    assert [notice.state for notice in notices(house, job_id)] == ["sent"]


def test_a_failed_job_says_so_and_has_no_tag_of_its_own(house: House, receiver: Receiver) -> None:
    end(house, failed=True)
    courier(house, topics={TOPIC: receiver.url}).send_one()
    message = json.loads(json.loads(receiver.requests[0][2])["Message"])
    assert message["Status"] == "FAILED"
    assert "JobTag" not in message


def test_any_sns_endpoint_is_published_to(house: House, receiver: Receiver) -> None:
    end(house)
    fifo = TOPIC + ".fifo"
    end(house, topic=fifo)
    post = courier(house, sns_endpoint=receiver.url)
    assert post.send_one()
    assert post.send_one()
    plain, ordered = (parse_qs(body.decode()) for _, _, body in receiver.requests)
    assert plain["Action"] == ["Publish"]
    assert plain["TopicArn"] == [TOPIC]
    assert json.loads(plain["Message"][0])["Status"] == "SUCCEEDED"
    assert "MessageGroupId" not in plain
    assert ordered["TopicArn"] == [fifo]
    assert ordered["MessageDeduplicationId"]
    assert "eu-west-1" in receiver.requests[0][1]["Authorization"]  # the topic's region


def test_a_copy_of_a_notice_has_the_same_message_id(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after publishing and before marking: the lease ends, and the notice goes out again."""
    job_id = end(house)
    post = courier(house, topics={TOPIC: receiver.url})
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "sent", lambda self, notice: None)
        post.send_one()
    assert not post.send_one()  # leased
    from openrek.jobs import notices as module

    late = module.now_ms() + module.LEASE_MS
    monkeypatch.setattr("openrek.jobs.notices.now_ms", lambda: late)
    assert post.send_one()
    first, second = (json.loads(body) for _, _, body in receiver.requests)
    assert first["MessageId"] == second["MessageId"]
    assert first["Message"] == second["Message"]
    assert [(notice.state, notice.attempts) for notice in notices(house, job_id)] == [("sent", 2)]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refused_notice_is_kept_with_its_reason(house: House, receiver: Receiver, status: int) -> None:
    receiver.status = status
    job_id = end(house)
    courier(house, topics={TOPIC: receiver.url}).send_one()
    (notice,) = notices(house, job_id)
    assert (notice.state, notice.attempts) == ("open", 1)
    assert notice.error == f"{receiver.url} answered with status {status}"
    assert len(receiver.requests) == 1  # a redirection is not followed


def test_an_unreachable_topic_does_not_change_the_job(house: House) -> None:
    job_id = end(house)
    post = courier(house, sns_endpoint="http://127.0.0.1:1", notice_attempts=1)
    assert post.send_one()
    (notice,) = notices(house, job_id)
    assert notice.state == "failed"
    assert "SNS did not take it" in notice.error
    job = JobStore(house.database).find(job_id)
    assert job is not None
    assert job.status is Status.SUCCEEDED


def test_without_an_endpoint_the_settings_are_named(house: House) -> None:
    job_id = end(house)
    courier(house).send_one()
    (notice,) = notices(house, job_id)
    assert "OPENREK_SNS_ENDPOINT" in notice.error
    assert "OPENREK_TOPICS" in notice.error


def test_jobs_without_a_channel_publish_nothing(house: House) -> None:
    job_id = house.submit()
    JobStore(house.database).cancel(job_id)
    assert notices(house, job_id) == []
    assert not courier(house).send_one()


def test_the_thread_sends_at_once_when_woken(house: House, receiver: Receiver) -> None:
    post, stopping = courier(house, topics={TOPIC: receiver.url}), threading.Event()
    thread = threading.Thread(target=post.run, args=(stopping,), kwargs={"every": 3600.0})
    thread.start()
    try:
        end(house)
        post.wake()
        for _ in range(500):
            if receiver.requests:
                break
            threading.Event().wait(0.02)
        assert len(receiver.requests) == 1
    finally:
        stopping.set()
        post.wake()
        thread.join()
