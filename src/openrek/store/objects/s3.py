"""Objects in S3, or in anything that speaks its API."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from openrek.store.objects.base import ObjectInfo, ObjectNotFoundError, ObjectStoreError, ObjectTooLargeError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
ATTEMPTS: Final = 3

# What the caller named is not there, is in another region, in an archive, or not for this server: S3's answers to a
# request that would fail again. (HEAD answers carry the status alone as their code.)
_NOT_FOUND: Final = frozenset({301, 400, 403, 404, 405})

# Answers with one of those statuses that are about this server and not about what the caller named.
_OUR_FAULT: Final = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)


class S3Store:
    """The buckets of AWS itself (`endpoint` None) or of an S3 endpoint such as `http://127.0.0.1:9000`.

    Credentials come from where boto3 finds them: environment, profile, instance role. An endpoint of one's own is
    addressed with the bucket in the path. Safe to use from many threads.
    """

    local = False

    def __init__(self, endpoint: str | None = None, *, region: str = "us-east-1") -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        self.endpoint = endpoint
        try:
            self._client: S3Client = boto3.Session().client(
                "s3",
                region_name=region,
                endpoint_url=endpoint,
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                    s3={"addressing_style": "path" if endpoint else "auto"},
                    max_pool_connections=32,
                ),
            )
        except ValueError as error:
            raise ObjectStoreError(f"the S3 endpoint {endpoint!r} is not an address: {error}") from error
        except BotoCoreError as error:  # a profile that is not there
            raise ObjectStoreError(f"S3 cannot be used: {error}") from error

    def head(self, bucket: str, key: str, version: str | None = None) -> ObjectInfo:
        """What is known of an object. Raises ObjectNotFoundError, ObjectStoreError."""
        return _info(self._call("head_object", bucket, key, version))

    def read(self, bucket: str, key: str, version: str | None = None, *, limit: int) -> bytes:
        """The content, of `limit` bytes at most. Raises ObjectNotFoundError, ObjectTooLargeError, ObjectStoreError."""
        from botocore.exceptions import BotoCoreError

        answer = self._call("get_object", bucket, key, version)
        with answer["Body"] as body:
            size = int(answer["ContentLength"])
            if size > limit:
                raise ObjectTooLargeError(bucket, key, size, limit)
            try:
                content: bytes = body.read(limit + 1)
            except BotoCoreError as error:
                raise ObjectStoreError(f"reading {key!r} of bucket {bucket!r} broke off: {error}") from error
        if len(content) > limit:  # more than was announced
            raise ObjectTooLargeError(bucket, key, len(content), limit)
        if len(content) < size:
            raise ObjectStoreError(
                f"reading {key!r} of bucket {bucket!r} broke off after {len(content)} of {size} bytes"
            )
        return content

    @contextmanager
    def open(self, bucket: str, key: str, version: str | None = None) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
        """The content as a stream that cannot seek. Raises ObjectNotFoundError, ObjectStoreError."""
        answer = self._call("get_object", bucket, key, version)
        with answer["Body"] as body:
            yield _info(answer), cast(BinaryIO, _Body(body, f"{key!r} of bucket {bucket!r}"))

    def _call(self, operation: str, bucket: str, key: str, version: str | None) -> Any:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,
            HTTPClientError,
            NoCredentialsError,
            ParamValidationError,
        )

        arguments = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version is not None else {})
        where = self.endpoint or "AWS S3"
        named = f"{key!r} in bucket {bucket!r}" + (f" with version {version!r}" if version is not None else "")
        try:
            return getattr(self._client, operation)(**arguments)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = error.response.get("Error", {}).get("Code", "")
            if status in _NOT_FOUND and code not in _OUR_FAULT:
                raise ObjectNotFoundError(f"S3 does not give {named}: {code or status}") from error
            raise ObjectStoreError(f"S3 failed on {named}: {code or status}") from error
        except (ParamValidationError, UnicodeEncodeError) as error:  # a name that no bucket or key can have
            raise ObjectNotFoundError(f"there is no object {named}") from error
        except NoCredentialsError as error:
            raise ObjectStoreError(
                f"this server has no credentials for {where}: give it AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "a profile or a role"
            ) from error
        except (ConnectionError, HTTPClientError) as error:
            raise ObjectStoreError(f"{where} does not answer: {error}") from error
        except BotoCoreError as error:
            raise ObjectStoreError(f"{where} cannot be asked: {error}") from error


class _Body(RawIOBase):
    """A content on its way, whose failures are ours."""

    def __init__(self, body: Any, named: str) -> None:
        self._body = body
        self._named = named

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        from botocore.exceptions import BotoCoreError

        try:
            content: bytes = self._body.read(None if size < 0 else size)
        except BotoCoreError as error:
            raise ObjectStoreError(f"reading {self._named} broke off: {error}") from error
        return content


def _info(answer: Any) -> ObjectInfo:
    return ObjectInfo(
        size=int(answer["ContentLength"]),
        etag=str(answer["ETag"]).strip('"'),
        version=answer.get("VersionId"),
        last_modified=answer["LastModified"],
    )
