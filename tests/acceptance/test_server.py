"""The server as its users meet it: SDK, AWS CLI, errors, keys, restarts."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from openrek.cli.demo import boto3_client, running_server
from openrek.contract.model import operation_names
from openrek.service.operation import load_operations
from tests.acceptance.conftest import Server

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ONCE = Config(retries={"total_max_attempts": 1})


def client(server: Server, key: str, secret: str) -> "RekognitionClient":
    return boto3.client(
        "rekognition",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=ONCE,
    )


def key_pair(server: Server) -> tuple[str, str]:
    text = server.credentials.read_text()
    key, secret = (re.search(rf"{name}\s*=\s*(\S+)", text) for name in ("aws_access_key_id", "aws_secret_access_key"))
    assert key
    assert secret
    return key.group(1), secret.group(1)


def code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def openrek(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openrek", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def test_list_collections_of_an_empty_server(rekognition: "RekognitionClient") -> None:
    answer = rekognition.list_collections()
    assert answer["CollectionIds"] == []
    assert answer["FaceModelVersions"] == []
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_every_answer_has_its_own_request_id(server: Server, rekognition: "RekognitionClient") -> None:
    ids = [rekognition.list_collections()["ResponseMetadata"]["RequestId"] for _ in range(3)]
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            client(server, "AKIDOESNOTEXIST00000", "x").list_collections()
        ids.append(caught.value.response["ResponseMetadata"]["RequestId"])
    assert len(set(ids)) == 5
    assert all(UUID4.fullmatch(each) for each in ids)


def test_wrong_secret(server: Server) -> None:
    with pytest.raises(ClientError) as caught:
        client(server, key_pair(server)[0], "not-the-secret").list_collections()
    assert code(caught) == ("InvalidSignatureException", 400)


def test_unknown_key(server: Server) -> None:
    with pytest.raises(ClientError) as caught:
        client(server, "AKIDOESNOTEXIST00000", "whatever").list_collections()
    assert code(caught) == ("UnrecognizedClientException", 400)


def signed(server: Server, body: bytes, *, age: timedelta = timedelta(), target: str = "ListCollections") -> Any:
    """Status and answer of a raw request that botocore signed `age` ago."""
    request = AWSRequest(
        "POST",
        server.url + "/",
        data=body,
        headers={"X-Amz-Target": f"RekognitionService.{target}", "Content-Type": "application/x-amz-json-1.1"},
    )
    moment = datetime.now(UTC) - age
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None)):
        SigV4Auth(Credentials(*key_pair(server)), "rekognition", "us-east-1").add_auth(request)
    prepared = request.prepare()
    raw = Request(server.url + "/", data=body, headers=dict(prepared.headers), method="POST")
    try:
        with urlopen(raw, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except OSError as error:  # urllib raises HTTPError, an answer too
        return error.code, json.loads(error.read())


def test_a_signature_of_six_minutes_ago_is_too_old(server: Server) -> None:
    status, answer = signed(server, b"{}", age=timedelta(minutes=6))
    assert (status, answer["__type"]) == (400, "InvalidSignatureException")
    assert re.fullmatch(
        r"Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)",
        answer["message"],
    )


def test_a_signature_of_four_minutes_ago_passes(server: Server) -> None:
    status, answer = signed(server, b"{}", age=timedelta(minutes=4))
    assert (status, answer["CollectionIds"]) == (200, [])


def test_unknown_operation(server: Server) -> None:
    status, answer = signed(server, b"{}", target="Nope")
    assert (status, answer["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize("body", [b"\xff\x00garbage", b"[1]", b'{"MaxResults": "many"}', b'{"a":' * 3000])
def test_a_body_that_is_no_request(server: Server, body: bytes) -> None:
    status, answer = signed(server, body)
    assert (status, answer["__type"]) == (400, "SerializationException")


def test_operations_not_built_say_so(rekognition: "RekognitionClient") -> None:
    missing = sorted(set(operation_names()) - set(load_operations()))
    assert missing
    with pytest.raises(ClientError) as caught:
        rekognition.describe_projects()
    assert code(caught) == ("NotImplementedException", 501)
    assert "DescribeProjects" in caught.value.response["Error"]["Message"]


def test_typed_exceptions_arrive(rekognition: "RekognitionClient", photos: dict[str, Path]) -> None:
    with pytest.raises(rekognition.exceptions.InvalidS3ObjectException, match="Unable to get object metadata"):
        rekognition.detect_faces(Image={"S3Object": {"Bucket": "no-such-bucket", "Name": "a.jpg"}})
    with pytest.raises(rekognition.exceptions.InvalidImageFormatException):
        rekognition.detect_text(Image={"Bytes": b"GIF89a" + bytes(100)})
    with pytest.raises(rekognition.exceptions.InvalidParameterException):
        rekognition.detect_labels(Image={})


def test_inline_picture_of_one_byte_too_many(rekognition: "RekognitionClient") -> None:
    with pytest.raises(ClientError, match=r"'image\.bytes' failed.*less than or equal to 5242880") as caught:
        rekognition.detect_labels(Image={"Bytes": bytes(5242881)})
    assert code(caught) == ("ValidationException", 400)


def test_two_violations_in_one_message(rekognition: "RekognitionClient") -> None:
    with pytest.raises(ClientError) as caught:
        rekognition.detect_labels(Image={"S3Object": {"Bucket": "a&b", "Name": "x"}}, MinConfidence=101)
    message = caught.value.response["Error"]["Message"]
    assert message.startswith("2 validation errors detected: ")
    assert message.count("; ") == 1
    assert "'minConfidence'" in message
    assert "'image.s3Object.bucket'" in message


def test_pictures_from_the_embedded_buckets(
    server: Server, rekognition: "RekognitionClient", photos: dict[str, Path]
) -> None:
    home = {"OPENREK_HOME": str(server.home)}
    assert openrek("buckets", "create", "album", **home).returncode == 0
    assert openrek("buckets", "put", "album", str(photos["astronaut"]), **home).returncode == 0
    answer = rekognition.detect_faces(Image={"S3Object": {"Bucket": "album", "Name": "astronaut.png"}})
    assert len(answer["FaceDetails"]) == 1
    for key in ("../album/astronaut.png", "../../openrek.db", "/etc/passwd", "astronaut.png/../astronaut.png"):
        with pytest.raises(rekognition.exceptions.InvalidS3ObjectException):
            rekognition.detect_faces(Image={"S3Object": {"Bucket": "album", "Name": key}})


def test_the_picture_limits_of_a_bucket(
    server: Server, rekognition: "RekognitionClient", photos: dict[str, Path], tmp_path: Path
) -> None:
    """15 MB pass, one byte more does not; padding after a JPEG's end is no part of the picture."""
    limit = 15 * 1024 * 1024
    data = photos["hopper"].read_bytes()
    for name, size in (("fits.jpg", limit), ("large.jpg", limit + 1)):
        (tmp_path / name).write_bytes(data + bytes(size - len(data)))
    home = {"OPENREK_HOME": str(server.home)}
    openrek("buckets", "create", "sizes", **home)
    files = (str(tmp_path / "fits.jpg"), str(tmp_path / "large.jpg"))
    assert openrek("buckets", "put", "sizes", *files, **home).returncode == 0
    assert rekognition.detect_labels(Image={"S3Object": {"Bucket": "sizes", "Name": "fits.jpg"}})["Labels"]
    with pytest.raises(rekognition.exceptions.ImageTooLargeException):
        rekognition.detect_labels(Image={"S3Object": {"Bucket": "sizes", "Name": "large.jpg"}})


def test_the_aws_command_line(server: Server, photos: dict[str, Path]) -> None:
    aws = Path(sys.executable).with_name("aws")
    environment = {**os.environ, **server.environment()}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(aws), "rekognition", *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    photo = f"fileb://{photos['astronaut']}"
    listed = run("list-collections")
    assert json.loads(listed.stdout) == {"CollectionIds": [], "FaceModelVersions": []}, listed.stderr
    faces = run("detect-faces", "--image-bytes", photo)
    assert len(json.loads(faces.stdout)["FaceDetails"]) == 1, faces.stderr
    labels = run("detect-labels", "--image-bytes", photo, "--max-labels", "3")
    assert 1 <= len(json.loads(labels.stdout)["Labels"]) <= 3, labels.stderr
    text = run("detect-text", "--image-bytes", photo)
    assert json.loads(text.stdout)["TextModelVersion"] == "3.0", text.stderr
    wrong = run("detect-faces", "--image-bytes", photo, "--attributes", "HAIR")
    assert wrong.returncode != 0
    assert "ValidationException" in wrong.stderr


def test_keys_made_and_revoked_while_the_server_runs(server: Server) -> None:
    home = {"OPENREK_HOME": str(server.home)}
    made = openrek("keys", "create", "--json", **home)
    pair = json.loads(made.stdout)
    key, secret = (next(v for k, v in pair.items() if part in k.lower()) for part in ("id", "secret"))
    assert client(server, key, secret).list_collections()["CollectionIds"] == []
    assert secret not in openrek("keys", "list", **home).stdout
    assert openrek("keys", "revoke", key, **home).returncode == 0
    deadline = time.monotonic() + 20
    while (refused := _refused(client(server, key, secret))) is None:  # until the server has heard of it: about 2 s
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert refused == ("UnrecognizedClientException", 400)


def _refused(made: "RekognitionClient") -> tuple[str, int] | None:
    """How a call is refused, None where it is not."""
    try:
        made.list_collections()
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


def test_the_first_start_makes_a_key_only_its_owner_can_read(server: Server) -> None:
    assert server.credentials.stat().st_mode & 0o777 == 0o600
    assert server.home.stat().st_mode & 0o077 == 0
    assert (server.home / "openrek.db").stat().st_mode & 0o077 == 0


def test_another_address_needs_an_explicit_option(tmp_path: Path) -> None:
    refused = openrek("serve", "--host", "0.0.0.0", "--port", "0", "--home", str(tmp_path))
    assert refused.returncode == 1
    assert "--public" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_warm_cache_needs_no_network(photos: dict[str, Path]) -> None:
    unreachable = {
        "OPENREK_OFFLINE": "1",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }
    with running_server(env=unreachable) as (url, credentials):
        rekognition = boto3_client(url, credentials)
        image: Any = {"Bytes": photos["astronaut"].read_bytes()}
        assert len(rekognition.detect_faces(Image=image)["FaceDetails"]) == 1
        assert rekognition.detect_labels(Image=image)["Labels"]
        assert rekognition.detect_text(Image=image)["TextModelVersion"] == "3.0"


def test_an_empty_cache_without_network_says_what_to_do(photos: dict[str, Path], tmp_path: Path) -> None:
    with running_server(env={"OPENREK_OFFLINE": "1", "OPENREK_CACHE": str(tmp_path / "cache")}) as (url, credentials):
        rekognition = boto3_client(url, credentials)
        assert rekognition.list_collections()["CollectionIds"] == []
        with pytest.raises(ClientError) as caught:
            rekognition.detect_faces(Image={"Bytes": photos["astronaut"].read_bytes()})
        assert code(caught) == ("InternalServerError", 500)
        assert "`OPENREK_OFFLINE=0 openrek models pull base`" in caught.value.response["Error"]["Message"]
    shown = openrek(
        "detect", "faces", str(photos["astronaut"]), OPENREK_OFFLINE="1", OPENREK_CACHE=str(tmp_path / "other")
    )
    assert shown.returncode == 1
    assert "openrek models pull base" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_health(server: Server) -> None:
    with urlopen(f"{server.url}/health", timeout=10) as answer:
        assert json.loads(answer.read())["status"] == "ok"


def test_a_path_is_no_part_of_the_api(server: Server) -> None:
    """boto3 with a path in its endpoint_url, and whatever else is no page: one error shape, a request id, no 404."""
    elsewhere = boto3.client(
        "rekognition",
        endpoint_url=f"{server.url}/rekognition",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=ONCE,
    )
    with pytest.raises(ClientError, match="the address of the endpoint has no path") as caught:
        elsewhere.list_collections()
    assert code(caught) == ("UnknownOperationException", 400)
    assert UUID4.fullmatch(caught.value.response["ResponseMetadata"]["RequestId"])
    for method, path in (("GET", "/nothing"), ("POST", "/health"), ("DELETE", "/health"), ("GET", "//health")):
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(f"{server.url}{path}", method=method), timeout=10)
        with refused.value as answer:
            assert (answer.status, json.loads(answer.read())["__type"]) == (400, "UnknownOperationException")
            assert UUID4.fullmatch(answer.headers["x-amzn-RequestId"])
    with urlopen(Request(f"{server.url}/health", method="HEAD"), timeout=10) as answer:
        assert answer.status == 200
