"""The object store: the stream object, its body and its version."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

from dagster import ConfigurableResource
from dagster_aws.s3 import S3Resource
from pydantic import Field

from lacrosse_assets.resources.errors import ANYTHING, is_it_up, told_as_store_error

STORE = "object store"
KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY have to be those of one who may read it"
WAYS_OUT = {
    "CERTIFICATE_VERIFY_FAILED": "AWS_CA_BUNDLE names the file of whoever vouches for the server's certificate",
    **dict.fromkeys(("Forbidden", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"), KEYS),
    ANYTHING: is_it_up("AWS_ENDPOINT_URL_S3"),
}


class StreamVersion(NamedTuple):
    """Which writing of the object it is. The ETag alone does not tell: a game played again has the same ones."""

    etag: str
    last_modified: datetime
    size: int

    @property
    def key(self) -> str:
        return f"{self.etag} {self.last_modified:%Y-%m-%dT%H:%M:%SZ}"


class StreamObject(NamedTuple):
    """Body and version of the object, from one GET; `fetched_at` is when that was asked for (UTC, milliseconds).

    A GET that was asked for later never yields an older version: this is what tells a late run from a newer one.
    """

    body: bytes
    version: StreamVersion
    fetched_at: datetime


def moment() -> datetime:
    """Now, in UTC, in whole milliseconds, which is what BSON can hold."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class ObjectStore(ConfigurableResource[Any], ABC):
    """The stream object in its bucket."""

    bucket: str = Field(description="Bucket of the game stream.")
    key: str = Field(description="Name of the game stream's object.")

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @abstractmethod
    def head(self) -> StreamVersion | None:
        """The object's version, by a HEAD; None while there is no such object."""

    @abstractmethod
    def get(self) -> StreamObject | None:
        """The object, by one GET; None while there is no such object."""


class LiveS3(S3Resource):
    """dagster-aws's S3, with time-outs that fit a live score: its own ones are a minute for each of five attempts."""

    def get_client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=3, read_timeout=15, retries={"max_attempts": 3, "mode": "standard"})
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region_name,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            config=config,
        )


class S3ObjectStore(ObjectStore):
    """Any S3: MinIO, SeaweedFS, AWS."""

    s3: LiveS3

    @cached_property
    def _client(self) -> Any:
        return self.s3.get_client()

    def head(self) -> StreamVersion | None:
        response = self._ask("head_object")
        return None if response is None else _version(response)

    def get(self) -> StreamObject | None:
        fetched_at = moment()
        response = self._ask("get_object")
        return None if response is None else StreamObject(response["body"], _version(response), fetched_at)

    def _ask(self, operation: str) -> dict[str, Any] | None:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        address = f"{self.s3.endpoint_url} ({self.uri})"
        # A `ValueError`: a host name that it does not take for one.
        errors = BotoCoreError, ClientError, HTTPClientError, ValueError
        with told_as_store_error(STORE, address, *errors, ways_out=WAYS_OUT):
            try:
                response: dict[str, Any] = getattr(self._client, operation)(Bucket=self.bucket, Key=self.key)
                if "Body" in response:
                    response["body"] = response["Body"].read()
            except ClientError as error:
                code = error.response["Error"].get("Code", "")
                # A HEAD has no body to tell a missing key from a missing bucket; neither is there yet.
                if code in ("404", "NoSuchKey", "NoSuchBucket", "NotFound"):
                    return None
                raise
        return response


def _version(response: dict[str, Any]) -> StreamVersion:
    return StreamVersion(response["ETag"].strip('"'), response["LastModified"], response["ContentLength"])
