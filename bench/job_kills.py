"""Kill the server and its workers at random during stored-video jobs, and hold every result against an undisturbed one.

    python -m bench.job_kills [--kills 50] [--seed 7] [--clip FILE]

Jobs look for shots and technical cues in a clip that is made on the spot (or in FILE), cut into chunks of two seconds.
Each kill is a SIGKILL to a worker (four in five) or to the server, which is then started again. At the end every job
must have succeeded, with the same bytes as the undisturbed one, and have been published once.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from openrek.cli.demo import boto3_client

TOPIC = "arn:aws:sns:us-east-1:000000000000:AmazonRekognitionKills"
CHANNEL = {"SNSTopicArn": TOPIC, "RoleArn": "arn:aws:iam::000000000000:role/AmazonRekognitionRole"}
OPEN_JOBS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clip", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="openrek-kills-") as folder:
        run(Path(folder), options.kills, random.Random(options.seed), options.clip)


def run(folder: Path, kills: int, moments: random.Random, clip: Path | None) -> None:
    messages: Counter[str] = Counter()
    hook = receiver(messages)
    home = folder / "home"
    bucket = home / "buckets" / "videos"
    bucket.mkdir(parents=True)
    (bucket / "clip.mp4").write_bytes((clip or make_clip(folder / "clip.mp4")).read_bytes())
    server = Server(home, topics={TOPIC: f"http://127.0.0.1:{hook.server_port}/"})
    server.start()
    undisturbed = server.submit()
    expected = server.wait(undisturbed)
    print(f"an undisturbed job finds {len(expected['Segments'])} segments; now {kills} kills", flush=True)

    ids = [undisturbed]
    done = {"worker": 0, "server": 0}
    began = time.monotonic()
    while sum(done.values()) < kills:
        open_jobs = sum(server.status(job_id) == "IN_PROGRESS" for job_id in ids[-OPEN_JOBS:])
        ids += [server.submit() for _ in range(OPEN_JOBS - open_jobs)]
        time.sleep(moments.uniform(0.0, 4.0))
        if moments.random() < 0.2:
            server.kill()
            server.start()
            done["server"] += 1
        else:
            pids = server.workers()
            if pids:
                os.kill(moments.choice(pids), signal.SIGKILL)
                done["worker"] += 1
    different = [job_id for job_id in ids if comparable(server.wait(job_id)) != comparable(expected)]
    time.sleep(2)
    server.stop()
    hook.shutdown()
    missing = [job_id for job_id in ids if messages[job_id] == 0]
    twice = [job_id for job_id in ids if messages[job_id] > 1]
    seconds = time.monotonic() - began
    print(
        f"{done['worker']} workers and {done['server']} servers killed during {len(ids) - 1} jobs in {seconds:.0f} s: "
        f"{len(ids) - len(different)} of {len(ids)} results the same to the byte, "
        f"{len(missing)} jobs unpublished, {len(twice)} published twice"
    )
    if different or missing:
        raise SystemExit(1)


class Server:
    """`openrek serve` with two workers on a port of its own, started again after each kill."""

    def __init__(self, home: Path, topics: dict[str, str]) -> None:
        self._home = home
        self._environment = {
            **os.environ,
            "OPENREK_CHUNK_SECONDS": "2",
            "OPENREK_JOB_LEASE": "4",
            "OPENREK_TOPICS": json.dumps(topics),
        }
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None

    def start(self) -> None:
        ready = self._home.parent / f"ready-{time.monotonic_ns()}.json"
        command = [sys.executable, "-m", "openrek", "serve", "--port", str(self._port), "--home", str(self._home)]
        self._process = subprocess.Popen(
            [*command, "--job-workers", "2", "--ready-file", str(ready)],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not ready.exists():
            if self._process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.02)
        self._client = boto3_client(json.loads(ready.read_text())["url"], self._home / "credentials")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=60)

    def workers(self) -> list[int]:
        """The process ids of the server's children."""
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        threads = listed.parent.parent.glob("*/children")
        return sorted({int(pid) for path in threads for pid in path.read_text().split()})

    def submit(self) -> str:
        started = self._client.start_segment_detection(
            Video={"S3Object": {"Bucket": "videos", "Name": "clip.mp4"}},
            SegmentTypes=["SHOT", "TECHNICAL_CUE"],
            NotificationChannel=CHANNEL,
        )
        return str(started["JobId"])

    def status(self, job_id: str) -> str:
        return str(self._client.get_segment_detection(JobId=job_id)["JobStatus"])

    def wait(self, job_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            answer: dict[str, Any] = self._client.get_segment_detection(JobId=job_id)
            if answer["JobStatus"] != "IN_PROGRESS":
                return answer
            time.sleep(0.2)
        raise SystemExit(f"job {job_id} hangs")


def comparable(answer: dict[str, Any]) -> str:
    return json.dumps({name: answer.get(name) for name in ("JobStatus", "Segments", "VideoMetadata")}, sort_keys=True)


def receiver(messages: "Counter[str]") -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages[json.loads(body["Message"])["JobId"]] += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def make_clip(path: Path, seconds: int = 8) -> Path:
    """Scenes of two seconds each, at 25 frames a second, with some black between them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "23", "g": "25"}
        for number in range(seconds * 25):
            scene, inside = divmod(number, 50)
            random_colours = np.random.default_rng(scene).integers(40, 230, (9, 16, 3), np.uint8)
            large = np.asarray(Image.fromarray(random_colours).resize((704, 360), Image.Resampling.BICUBIC))
            pixels = np.zeros((360, 640, 3), np.uint8) if inside >= 45 else large[:, inside : inside + 640]
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


if __name__ == "__main__":
    main()
