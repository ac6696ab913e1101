"""Clips for the acceptance tests, moto's server beside ours, and the ways of waiting for a job."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import boto3
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

BUCKET = "videos"
ROLE = "arn:aws:iam::000000000000:role/AmazonRekognitionRole"
MOTO_KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
PATIENCE = 180.0

Pixels = NDArray[np.uint8]


def write_clip(
    path: Path,
    frames: Sequence[Pixels],
    *,
    rate: Fraction = Fraction(25),
    codec: str = "libx264",
    tone: Sequence[float] | None = None,
    gop: int = 25,
) -> Path:
    """A clip of (H, W, 3) RGB frames; `tone`: amplitude 0..1 of a 440 Hz tone in each frame, no sound without it."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "18", "g": str(gop)}
        sound = container.add_stream("aac", rate=44_100, layout="mono") if tone is not None else None
        for pixels in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
        if sound is not None and tone is not None:
            samples = int(len(tone) * 44_100 / rate)
            moments = np.arange(samples) / 44_100
            loud = np.asarray(tone, np.float32)[np.minimum((moments * float(rate)).astype(int), len(tone) - 1)]
            wave = (loud * np.sin(2 * np.pi * 440 * moments)).astype(np.float32)
            for begin in range(0, samples - 1023, 1024):
                block = av.AudioFrame.from_ndarray(wave[None, begin : begin + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 44_100, begin, Fraction(1, 44_100)
                for packet in sound.encode(block):
                    container.mux(packet)
            for packet in sound.encode():
                container.mux(packet)
    return path


def scenery(number: int, width: int = 320, height: int = 180, seed: int = 0) -> Pixels:
    """A textured picture of its own for each seed, that moves a little with the frame number."""
    random = np.random.default_rng(seed)
    small = random.integers(60, 230, (9, 16, 3), np.uint8)
    large = np.asarray(Image.fromarray(small).resize((width + 64, height), Image.Resampling.BICUBIC))
    shift = 64 - abs(number % 128 - 64)  # to and fro, without a jump
    return np.ascontiguousarray(large[:, shift : shift + width])


def over(photo: Path, number: int, width: int = 320, height: int = 180) -> Pixels:
    """A part of a photo, a little further along with each frame."""
    with Image.open(photo) as opened:
        left = number % 128
        return np.asarray(opened.convert("RGB").crop((left, 60, left + width, 60 + height)))


def still(photo: Path, width: int = 480) -> Pixels:
    """A photo as a frame with even sides."""
    with Image.open(photo) as opened:
        height = round(opened.height * width / opened.width / 2) * 2
        return np.asarray(opened.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))


def written(*lines: str, width: int = 480, height: int = 240) -> Pixels:
    """Dark letters on a light ground."""
    picture = Image.new("RGB", (width, height), (235, 235, 225))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((40, 40 + 90 * number), line, (20, 20, 60), font=ImageFont.load_default(size=56))
    return np.asarray(picture)


@contextmanager
def moto_server() -> Iterator[str]:
    """moto's server on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, **MOTO_KEYS}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 60
            while True:
                assert server.poll() is None, "moto's server did not start"
                try:
                    urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "moto's server does not answer"
                    time.sleep(0.05)
            yield address
        finally:
            server.terminate()


def client(service: str, endpoint: str) -> Any:
    """A boto3 client of another AWS service that moto stands for."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


class Channel:
    """A topic with a queue that is subscribed to it, as every guide sets it up."""

    def __init__(self, endpoint: str, name: str) -> None:
        self._sqs = client("sqs", endpoint)
        sns = client("sns", endpoint)
        self.topic = sns.create_topic(Name=f"AmazonRekognition{name}")["TopicArn"]
        self._url = self._sqs.create_queue(QueueName=f"queue-{name}")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)

    @property
    def member(self) -> dict[str, str]:
        """The request's NotificationChannel."""
        return {"SNSTopicArn": self.topic, "RoleArn": ROLE}

    def wait_for(self, job_id: str) -> dict[str, Any]:
        """The well-known loop: receive from the queue until the job's message comes; others are dropped."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for message in self.take():
                if message["JobId"] == job_id:
                    return message
            time.sleep(0.1)
        raise AssertionError("no message came")

    def take(self) -> list[dict[str, Any]]:
        """The messages that are there now, removed from the queue."""
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
        taken = []
        for message in answer.get("Messages", []):
            taken.append(json.loads(json.loads(message["Body"])["Message"]))
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return taken


def finished(get: Any, job_id: str, **more: Any) -> dict[str, Any]:
    """Ask a Get operation until the job is no longer in progress."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer: dict[str, Any] = get(JobId=job_id, **more)
        if answer["JobStatus"] != "IN_PROGRESS":
            return answer
        time.sleep(0.1)
    raise AssertionError(f"job {job_id} did not end")


def video(key: str) -> dict[str, Any]:
    """The request's Video."""
    return {"S3Object": {"Bucket": BUCKET, "Name": key}}
