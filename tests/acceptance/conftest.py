"""A real server process for this layer: `openrek serve` on a free port, and an unmodified boto3 client for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openrek.cli.demo import boto3_client, running_server

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient


@dataclass(frozen=True)
class Server:
    """A running server: its address, its credentials file and its home folder."""

    url: str
    credentials: Path

    @property
    def home(self) -> Path:
        return self.credentials.parent

    def environment(self) -> dict[str, str]:
        """What a person exports to point any SDK or the AWS CLI at this server."""
        return {
            "AWS_ENDPOINT_URL_REKOGNITION": self.url,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials),
            "AWS_CONFIG_FILE": str(self.home / "no-such-config"),
            "AWS_PROFILE": "openrek",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server with its default profile, `aws`."""
    with running_server() as (url, credentials):
        yield Server(url, credentials)


@pytest.fixture(scope="session")
def rekognition(server: Server) -> "RekognitionClient":
    """An unmodified boto3 client: only the endpoint and the key file are set."""
    return boto3_client(server.url, server.credentials)
