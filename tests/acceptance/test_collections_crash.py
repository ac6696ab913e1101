"""A server that is killed while it indexes: every acknowledged face is found after the restart, none is half there."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from openrek.cli.demo import boto3_client
from tests.acceptance.pictures import People

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

KILLS = 3
FACES = 3  # of each picture


@contextmanager
def killed_server(home: Path) -> Iterator[tuple["RekognitionClient", subprocess.Popen[bytes]]]:
    """`openrek serve` on a home of ours; at the end it gets a SIGKILL."""
    ready = home.parent / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "openrek", "serve", "--port", "0", "--home", str(home), "--ready-file", str(ready)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not ready.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield boto3_client(json.loads(ready.read_text())["url"], home / "credentials"), process
        finally:
            process.send_signal(signal.SIGKILL)


def impatient(client: "RekognitionClient") -> Any:
    """The same client without retries."""
    credentials = client._request_signer._credentials
    return boto3.client(
        "rekognition",
        endpoint_url=client.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
    )


def test_kill_9_while_indexing(photos: dict[str, Path], tmp_path: Path, record_property: Any) -> None:
    home, people = tmp_path / "home", People(photos)
    picture = people.group()
    numbers, moments = count(), random.Random(20240305)
    acknowledged: dict[str, str] = {}  # face id -> external id
    lock = threading.Lock()
    with killed_server(home) as (client, _):
        client.create_collection(CollectionId="c")
        client.index_faces(CollectionId="c", Image={"Bytes": picture}, ExternalImageId="warm")
    for _ in range(KILLS):
        with killed_server(home) as (client, process):
            eager = impatient(client)

            def work(_: int, eager: Any = eager) -> None:
                while True:
                    external = f"photo-{next(numbers)}"
                    try:
                        answer = eager.index_faces(CollectionId="c", Image={"Bytes": picture}, ExternalImageId=external)
                    except BotoCoreError:  # the connection broke
                        return
                    with lock:
                        for record in answer["FaceRecords"]:
                            acknowledged[record["Face"]["FaceId"]] = external

            with ThreadPoolExecutor(4) as pool:
                workers = [pool.submit(work, n) for n in range(4)]
                enough, deadline = len(acknowledged) + FACES * moments.randint(4, 12), time.monotonic() + 60
                while len(acknowledged) < enough and time.monotonic() < deadline:
                    time.sleep(0.005)
                time.sleep(moments.uniform(0, 0.3))
                process.send_signal(signal.SIGKILL)
                for worker in workers:
                    worker.result(timeout=60)
    with killed_server(home) as (client, _):
        pages = client.get_paginator("list_faces").paginate(CollectionId="c", PaginationConfig={"PageSize": 100})
        stored = {face["FaceId"]: face["ExternalImageId"] for page in pages for face in page["Faces"]}
        assert acknowledged.items() <= stored.items()
        assert set(Counter(stored.values()).values()) == {FACES}
        assert client.describe_collection(CollectionId="c")["FaceCount"] == len(stored)
        some = next(iter(acknowledged))
        found = client.search_faces(CollectionId="c", FaceId=some, FaceMatchThreshold=0)["FaceMatches"]
        assert {match["Face"]["FaceId"] for match in found} == stored.keys() - {some}
    record_property(
        "kill -9 of a server", f"{KILLS} times; {len(acknowledged)} faces acknowledged, {len(stored)} stored"
    )
    assert len(acknowledged) >= KILLS * 4 * FACES
