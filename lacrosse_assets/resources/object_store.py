"""The object store: the stream objects, their bodies and versions (docs/contract.md, sections 1, 5 and 10).

Two kinds: one object, polled by a HEAD; and all objects below a prefix, polled by a listing.
"""

import gzip
import hashlib
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import ConfigurableResource, Failure, MetadataValue
from dagster_aws.s3 import S3Resource
from pydantic import Field

from lacrosse_assets import s3 as s3_factory
from lacrosse_assets.resources.errors import StoreError, translate_errors, unreachable_hint, within

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

STORE = "object store"
OTHER_HOST = "the server's certificate is for another host name: use that name in AWS_ENDPOINT_URL_S3"
HINTS = {
    **dict.fromkeys(("Hostname mismatch", "IP address mismatch"), OTHER_HOST),
    **s3_factory.HINTS,
    "An error occurred (": "this is the server's response; gamestream_sensor keeps retrying",
}

CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, MAX_CALL_ATTEMPTS = 3, 6, 2
CALL_TIMEOUT_SECONDS = MAX_CALL_ATTEMPTS * (CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS)
# Of `versions`, with all pages of a listing. The timeouts above are those of each piece of a response.
VERSIONS_TIMEOUT_SECONDS = CALL_TIMEOUT_SECONDS

GZIP_MAGIC = b"\x1f\x8b"
UNREADABLE_ENCODINGS = ("br", "compress", "deflate", "zstd")
# How often a stream that changes during the fetch is fetched, before the last result is used as it is.
MAX_FETCH_ATTEMPTS = 3
LISTING_PAGE_SIZE = 1000  # objects; S3 has no larger pages
LISTING_FIELDS = ("IsTruncated", "KeyCount", "Name", "Contents")  # each listing has some, an empty one as well
# Objects that are fetched at the same time.
MAX_CONNECTIONS = 16


@dataclass(frozen=True)
class StreamVersion:
    """A version of the stream object: its ETag and `LastModified`, as a HEAD reports them.

    An ETag is opaque, and does not identify a version alone: a replayed game has the same ETags. Two versions are equal
    if both ETag and `LastModified` are. `LastModified` is compared in whole seconds, the resolution of HTTP dates.
    """

    etag: str  # without quotes and without the `W/` of a weak one
    last_modified: datetime  # UTC
    size: int | None = field(compare=False)  # bytes; None if the store does not report it
    response_date: datetime | None = field(default=None, compare=False)  # the `Date` header, by the store's clock

    def __post_init__(self) -> None:
        object.__setattr__(self, "last_modified", self.last_modified.replace(microsecond=0))

    @property
    def key(self) -> str:
        return f"{self.etag} {self.last_modified:%Y-%m-%dT%H:%M:%SZ}"

    def age(self, now: datetime) -> timedelta:
        """The time since it was written, by the store's clock if known, otherwise until `now`.

        Negative if the clock behind `last_modified` was ahead.
        """
        return (self.response_date or now) - self.last_modified

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "StreamVersion | None":
        """The version that a box score document was made from; None if the document has none."""
        stream = document.get("stream")
        if not isinstance(stream, Mapping) or not isinstance(stream.get("last_modified"), datetime):
            return None
        return cls(str(stream.get("etag")), stream["last_modified"], None)

    def to_metadata(self) -> dict[str, Any]:
        """The metadata with which assets and checks report a version; `from_metadata` reads it."""
        return {"etag": self.etag, "last_modified": MetadataValue.timestamp(self.last_modified)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, MetadataValue[Any]]) -> "StreamVersion | None":
        """The version that `to_metadata` wrote; None if there is none."""
        etag, last_modified = metadata.get("etag"), metadata.get("last_modified")
        if etag is None or last_modified is None:
            return None
        return cls(str(etag.value), datetime.fromtimestamp(float(last_modified.value), UTC), None)


class StreamObject(NamedTuple):
    """The object's body and version; `fetched_at` is the time of the request (UTC, in milliseconds)."""

    body: bytes
    version: StreamVersion
    fetched_at: datetime


class Fetched(NamedTuple):
    """Objects that were fetched, by key, and the versions of all objects that there were before.

    In the place of an object that cannot be read there is its error: a `StoreError` if the store refuses the request,
    another `Failure` if the body is compressed in a way that cannot be decompressed.
    """

    streams: "dict[str, StreamObject | Failure]"
    versions: Mapping[str, StreamVersion]


def now_in_milliseconds() -> datetime:
    """The current time in UTC, in whole milliseconds, the resolution of BSON dates."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class ObjectStore(ConfigurableResource[Any], ABC):
    """The stream objects in their bucket: the one object that `key` names, or all below the prefix `key`."""

    bucket: str = Field(description="Bucket of the game streams.")
    key: str = Field(description="Name of the game stream's object, or the prefix of all of them.")

    @property
    def uri(self) -> str:
        return self.uri_of(self.key)

    def uri_of(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    @abstractmethod
    def versions(self) -> dict[str, StreamVersion]:
        """The version of each stream object that exists, by its key. `size` is that of the stored bytes.

        Raises:
            StoreError: the store is unreachable or refuses the request.
        """

    @abstractmethod
    def fetch(self, keys: Collection[str]) -> Fetched:
        """The objects of these keys, each with the version that `versions` reports for it; missing ones are left out.

        Raises:
            StoreError: the store is unreachable.
        """


class SingleObjectStore(ObjectStore):
    """The one object that `key` names."""

    @abstractmethod
    def head(self) -> StreamVersion | None:
        """The object's version, by a HEAD; None while the object does not exist. `size` is that of the stored bytes.

        Raises:
            StoreError: the store is unreachable or refuses the request.
        """

    @abstractmethod
    def get(self) -> StreamObject | None:
        """The object, with the version that `head` reports for it; None while the object does not exist.

        Raises:
            StoreError: the store is unreachable or refuses the request.
            Failure: the body is compressed in a way that cannot be decompressed.
        """

    def versions(self) -> dict[str, StreamVersion]:
        version = self.head()
        return {self.key: version} if version else {}

    def fetch(self, keys: Collection[str]) -> Fetched:
        stream = self.get()
        return Fetched({self.key: stream}, {self.key: stream.version}) if stream else Fetched({}, {})


class LiveS3(S3Resource):
    """dagster-aws's S3 resource, with short timeouts: its own are a minute for each of five attempts.

    A call to a server that does not respond ends within `CALL_TIMEOUT_SECONDS`. So a sensor tick fails with an error
    that names the store, before Dagster's own timeout of one minute.

    boto3's own chain finds what is not configured (`lacrosse_assets/s3.py`).
    """

    def get_client(self) -> "BaseClient":
        from botocore.config import Config

        return s3_factory.s3_client(
            Config(
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
                max_pool_connections=MAX_CONNECTIONS,
                retries={"total_max_attempts": MAX_CALL_ATTEMPTS, "mode": "standard"},
            ),
            endpoint_url=self.endpoint_url,
            region_name=self.region_name,
            profile_name=self.profile_name,
            use_ssl=self.use_ssl,
            verify=self.verify,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
        )


class S3Store(ObjectStore):
    """Any S3 server: MinIO, SeaweedFS, AWS."""

    s3: LiveS3

    @cached_property
    def _client(self) -> "BaseClient":
        return self.s3.get_client()

    def versions(self) -> dict[str, StreamVersion]:
        """See `ObjectStore.versions`. Ends within `VERSIONS_TIMEOUT_SECONDS`."""

        def address() -> str:
            client = self.__dict__.get("_client")  # boto3 may have found the endpoint in its configuration
            return f"{s3_factory.address(client) if client else self.s3.endpoint_url or 'AWS'} ({self.uri})"

        return within(VERSIONS_TIMEOUT_SECONDS, STORE, address, self._versions)

    @abstractmethod
    def _versions(self) -> dict[str, StreamVersion]:
        """The same as `versions`, however long it takes."""

    def _fetch_stable(self, keys: Collection[str]) -> Fetched:
        """The objects of these keys: see `ObjectStore.fetch`.

        A GET may report another ETag for the same version than a HEAD or a listing (`W/"x"` and `"x"`), and
        gamestream_sensor compares those of `versions`. So an object that was fetched between two equal `versions` gets
        their version, and not the one that the GET reports.
        """
        found: dict[str, StreamObject | Failure] = {}
        versions = self.versions()
        at_first, pending = versions, [key for key in keys if key in versions]
        for _ in range(MAX_FETCH_ATTEMPTS):
            fetched = self._fetch_all(pending)
            found.update(fetched)
            moved = {
                key: stream
                for key, stream in fetched.items()
                if isinstance(stream, StreamObject) and stream.version != versions.get(key)
            }
            if not moved:
                break
            before, versions, pending = versions, self.versions(), []
            for key, stream in moved.items():
                version = versions.get(key)
                if version is not None and version in (before.get(key), stream.version):
                    found[key] = stream._replace(version=version)
                else:
                    pending.append(key)
            if not pending:
                break
        return Fetched(found, at_first)

    def _fetch_all(self, keys: Collection[str]) -> dict[str, StreamObject | Failure]:
        """The objects of these keys, each by one GET, with the versions that the GETs report."""

        def outcome(key: str) -> StreamObject | Failure | None:
            try:
                return self._fetch(key)
            except Failure as error:
                return error

        if len(keys) == 1:
            outcomes = [outcome(key) for key in keys]
        else:
            with ThreadPoolExecutor(max_workers=MAX_CONNECTIONS) as threads:
                outcomes = list(threads.map(outcome, keys))
        return {key: stream for key, stream in zip(keys, outcomes, strict=True) if stream is not None}

    def _fetch(self, key: str) -> StreamObject | None:
        fetched_at = now_in_milliseconds()
        response = self._call("get_object", key)
        if response is None:
            return None
        body: bytes = response["body"]
        version = replace(self._version(response, key, body), size=len(body))
        encoding = response.get("ContentEncoding", "").lower()
        return StreamObject(self._decoded(key, body, encoding), version, fetched_at)

    def _decoded(self, key: str, body: bytes, encoding: str) -> bytes:
        """The text of a body, which may be compressed with gzip.

        Gzip is recognized by its first bytes, with which no UTF-8 text begins: producers and proxies set the header
        `Content-Encoding` where it does not apply, and omit it where it does.
        """
        problem: object = ""
        if body.startswith(GZIP_MAGIC):
            try:
                return gzip.decompress(body)
            except (OSError, EOFError, zlib.error) as error:
                problem = f" that cannot be decompressed ({error})"
        elif encoding not in UNREADABLE_ENCODINGS:
            return body
        raise Failure(
            f"{self.uri_of(key)} has Content-Encoding {encoding or 'gzip'}{problem}: store it as plain text or as gzip",
            allow_retries=False,
        )

    def _head(self, key: str) -> StreamVersion | None:
        """The version of an object, by a HEAD; None if it does not exist."""
        response = self._call("head_object", key)
        if response is None:
            return None
        if not _bare(response.get("ETag")):
            # Without an ETag only the content identifies a version: several events can share one second.
            fetched = self._call("get_object", key)
            return self._version(fetched, key, fetched["body"]) if fetched else None
        return self._version(response, key)

    def _version(self, response: Mapping[str, Any], key: str, body: bytes | None = None) -> StreamVersion:
        """The version that the response to a HEAD or GET reports; without an ETag, with the MD5 of the body instead."""
        if "LastModified" not in response:
            raise StoreError(
                STORE,
                f"{s3_factory.address(self._client)} ({self.uri_of(key)})",
                "responses have no Last-Modified header, which orders the versions of the stream: "
                "check the proxy or gateway in front of the store",
            )
        etag = _bare(response.get("ETag")) or hashlib.md5(body or b"", usedforsecurity=False).hexdigest()
        return StreamVersion(etag, response["LastModified"], response.get("ContentLength"), _response_date(response))

    def _call(self, operation: str, key: str) -> dict[str, Any] | None:
        """The response to a HEAD or GET, with the `body` of the latter; None if there is no such object."""
        from botocore.exceptions import ClientError

        with self._client_for(key) as client:
            try:
                response: dict[str, Any] = getattr(client, operation)(Bucket=self.bucket, Key=key)
                if "Body" in response:
                    response["body"] = response["Body"].read()
            except ClientError as error:
                if _is_missing(error):
                    return None
                if operation == "head_object" and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                    # The response to a HEAD gives no reason, that to a GET does.
                    client.get_object(Bucket=self.bucket, Key=key, Range="bytes=0-0")["Body"].close()
                raise
        return response

    @contextmanager
    def _client_for(self, key: str) -> "Iterator[BaseClient]":
        """The client, with its errors translated. Each names the address and the object."""
        with self._errors(self.s3.endpoint_url or "AWS", key):
            client = self._client
        with self._errors(s3_factory.address(client), key):
            yield client

    @contextmanager
    def _errors(self, address: str, key: str) -> Iterator[None]:
        from botocore import exceptions

        # A `ValueError`: an invalid host name.
        errors = exceptions.BotoCoreError, exceptions.ClientError, ValueError
        with translate_errors(STORE, f"{address} ({self.uri_of(key)})", *errors, hints=HINTS, hint=_hint):
            try:
                with s3_factory.stop_redirect_loops():
                    yield
            except (exceptions.ConnectionError, exceptions.HTTPClientError):
                raise  # no response, so the credentials may be valid
            except errors:
                s3_factory.forget_credentials()
                raise


class S3ObjectStore(S3Store, SingleObjectStore):
    """One object."""

    def head(self) -> StreamVersion | None:
        return self._head(self.key)

    def _versions(self) -> dict[str, StreamVersion]:
        return SingleObjectStore.versions(self)

    def get(self) -> StreamObject | None:
        stream = self._fetch_stable([self.key]).streams.get(self.key)
        if isinstance(stream, Failure):
            raise stream
        return stream


class S3PrefixStore(S3Store):
    """All objects below the prefix `key`: the streams of a game day."""

    def _versions(self) -> dict[str, StreamVersion]:
        """By a listing, of all its pages: one request for each thousand objects."""
        from botocore.exceptions import ClientError

        versions = {}
        incomplete: list[str] = []
        is_truncated = False
        with self._client_for(self.key) as client:
            try:
                pages = client.get_paginator("list_objects_v2")
                for page in pages.paginate(
                    Bucket=self.bucket, Prefix=self.key, PaginationConfig={"PageSize": LISTING_PAGE_SIZE}
                ):
                    if page.keys().isdisjoint(LISTING_FIELDS):
                        raise self._bad_listing("the response is not that to a listing, but perhaps a login page")
                    date, is_truncated = _response_date(page), page.get("IsTruncated", False)
                    for entry in page.get("Contents", ()):
                        if entry["Key"] == self.key:
                            continue  # an empty object with which some tools mark a folder
                        etag, size = _bare(entry.get("ETag")), entry.get("Size")
                        if "LastModified" not in entry or (not etag and size is None):
                            incomplete.append(entry["Key"])
                            continue
                        # Without an ETag, the size identifies the version: a stream is rewritten longer.
                        versions[entry["Key"]] = StreamVersion(
                            etag or f"{size}-bytes", entry["LastModified"], size, date
                        )
            except ClientError as error:
                if not _is_missing(error):
                    raise
        if is_truncated:  # the last page: boto3 ends without an error where a page does not lead to the next one
            raise self._bad_listing(f"a listing ends after {len(versions)} objects, although there are more")
        for key in incomplete:
            if version := self._head(key):
                versions[key] = version
        return versions

    def _bad_listing(self, problem: str) -> StoreError:
        address = f"{s3_factory.address(self._client)} ({self.uri})"
        return StoreError(STORE, address, f"{problem}: check the proxy or gateway in front of the store")

    def fetch(self, keys: Collection[str]) -> Fetched:
        fetched = self._fetch_stable(keys)
        if fetched.streams and all(isinstance(each, StoreError) for each in fetched.streams.values()):
            self.versions()  # raises if it is the store that is down, and not these streams that are refused
        return fetched


def _is_missing(error: "ClientError") -> bool:
    """Whether a key or the bucket is missing; the response to a HEAD does not distinguish them."""
    return error.response["Error"].get("Code", "") in ("404", "NoSuchKey", "NoSuchBucket", "NotFound")


def _bare(etag: str | None) -> str:
    """An ETag without its quotes, and without the `W/` of a weak one; empty if there is none."""
    return re.sub(r'^(?:W/)?"(.*)"$', r"\1", (etag or "").strip())


def _response_date(response: Mapping[str, Any]) -> datetime | None:
    return _http_date(response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date"))


def _http_date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def _hint(error: Exception) -> str | None:
    """The hint if the store is unreachable. The error of a store that responds names the problem itself."""
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import HTTPClientError, SSLError

    is_unreachable = isinstance(error, NoConnection | HTTPClientError) and not isinstance(error, SSLError)
    return unreachable_hint("AWS_ENDPOINT_URL_S3") if is_unreachable else None
