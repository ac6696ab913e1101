"""Publishing notices: to SNS or anything that speaks its API, or to a web address that the settings give a topic."""

import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import orjson

from openrek.jobs.notices import Outbox
from openrek.jobs.records import Notice
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.errors import StoreError

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 15.0


class DeliveryError(Exception):
    """A notice could not be published; the message says why."""


class Courier:
    """Sends what is due in the outbox. `run` is for a thread of its own: a slow topic holds up no video."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._outbox = Outbox(database)
        self._settings = settings
        self._clients: dict[str, Any] = {}
        self._wake = threading.Event()

    def run(self, stopping: threading.Event, *, every: float = 1.0) -> None:
        """Send until `stopping` is set, looking every so many seconds and whenever `wake` is called."""
        while not stopping.is_set():
            try:
                while self.send_one() and not stopping.is_set():
                    pass
            except StoreError as error:
                log.error("notices: %s", error)
            self._wake.wait(every)
            self._wake.clear()

    def wake(self) -> None:
        """A job has ended: look now."""
        self._wake.set()

    def send_one(self) -> bool:
        """Try the next notice that is due; whether there was one."""
        notice = self._outbox.claim()
        if notice is None:
            return False
        try:
            self._publish(notice)
        except DeliveryError as error:
            again = self._outbox.failed(notice, str(error), attempts=self._settings.notice_attempts)
            log.warning("%s: %s (%s)", notice.topic, error, "tried again later" if again else "given up")
        else:
            self._outbox.sent(notice)
        return True

    def _publish(self, notice: Notice) -> None:
        address = self._settings.topics.get(notice.topic)
        if address is not None:
            _post(address, notice)
        elif self._settings.sns_endpoint is not None:
            self._to_sns(notice, self._settings.sns_endpoint)
        else:
            raise DeliveryError(
                "nothing says where this topic is: set OPENREK_SNS_ENDPOINT to an SNS endpoint (or 'aws'), or give the "
                "topic a web address in OPENREK_TOPICS"
            )

    def _to_sns(self, notice: Notice, endpoint: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        arguments: dict[str, Any] = {"TopicArn": notice.topic, "Message": notice.message}
        if notice.topic.endswith(".fifo"):
            arguments |= {"MessageGroupId": "openrek", "MessageDeduplicationId": _message_id(notice)}
        try:
            self._client(notice.topic, endpoint).publish(**arguments)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise DeliveryError(f"SNS did not take it: {error}") from error

    def _client(self, topic: str, endpoint: str) -> Any:
        parts = topic.split(":")  # arn:aws:sns:region:account:name
        region = parts[3] if len(parts) > 3 and parts[3] else self._settings.region
        if region not in self._clients:
            import boto3
            from botocore.config import Config

            self._clients[region] = boto3.Session().client(
                "sns",
                region_name=region,
                endpoint_url=None if endpoint == "aws" else endpoint,
                # our own outbox tries again, so that each attempt is seen
                config=Config(
                    connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 1}
                ),
            )
        return self._clients[region]


def _post(address: str, notice: Notice) -> None:
    """Post the body that SNS posts to HTTP subscribers, without a signature."""
    import requests

    body: Mapping[str, str] = {
        "Type": "Notification",
        "MessageId": _message_id(notice),
        "TopicArn": notice.topic,
        "Message": notice.message,
        "Timestamp": datetime.fromtimestamp(notice.changed_ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6]
        + "Z",
    }
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",  # SNS's own
        "x-amz-sns-message-type": "Notification",
        "x-amz-sns-message-id": body["MessageId"],
        "x-amz-sns-topic-arn": notice.topic,
    }
    try:
        with requests.post(
            address,
            orjson.dumps(body),
            headers=headers,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        raise DeliveryError(f"{address} does not answer: {error}") from error
    if not 200 <= status < 300:
        raise DeliveryError(f"{address} answered with status {status}")


def _message_id(notice: Notice) -> str:
    """The same for every copy of a notice, and only for those."""
    return str(uuid5(NAMESPACE_URL, f"openrek:{notice.number}:{notice.message}"))
