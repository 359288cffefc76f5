"""The S3 client of the platform and of the simulator, and hints for the errors of an S3 server.

boto3's own chain decides everything that is not given here: environment variables (AWS_PROFILE, AWS_SESSION_TOKEN,
AWS_ENDPOINT_URL, AWS_CA_BUNDLE, ...), its configuration files, the role of the container or the machine. Without an
endpoint it is AWS. As by boto3's default, buckets are addressed by path at a custom endpoint, and by host name at AWS.

Imports neither Dagster nor settings.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

from lacrosse_assets import addresses

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# Not every S3 server knows the checksums that boto3 sends and verifies by default.
NO_EXTRA_CHECKSUMS = Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")

_ISO_8601_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")

CREDENTIAL_SETTINGS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role that boto3 finds"
CREDENTIALS_HINT = (
    f"check the credentials ({CREDENTIAL_SETTINGS}; an AWS_SESSION_TOKEN must belong to them): they need s3:GetObject "
    "on the object and s3:ListBucket on the bucket; without s3:ListBucket, S3 answers 403 for an object that does not "
    "exist yet"
)
EXPIRED_HINT = "the session token has expired: get new credentials (AWS_SESSION_TOKEN, or log in to the profile again)"
REGION_HINT = "AWS_REGION must be the region of the bucket"
# The first key that is a part of the error's text decides.
HINTS = {
    "CERTIFICATE_VERIFY_FAILED": "AWS_CA_BUNDLE must name the CA certificate that signed the server's certificate",
    "No such file or directory": "AWS_CA_BUNDLE names a file that does not exist",
    "Invalid CA bundle": "AWS_CA_BUNDLE must name a file with certificates",
    "Unable to locate credentials": f"set {CREDENTIAL_SETTINGS}",
    "config profile": "AWS_PROFILE must name a profile of boto3's configuration files: correct or unset it",
    "Partial credentials": f"the credentials are incomplete: set both {CREDENTIAL_SETTINGS}",
    **dict.fromkeys(("ExpiredToken", "TokenRefreshRequired", "RequestExpired", "has expired"), EXPIRED_HINT),
    "InvalidToken": "AWS_SESSION_TOKEN does not belong to the keys, or has expired: correct or unset it",
    "RequestTimeTooSkewed": "the clocks of this machine and of the server differ too much: correct the clock",
    **dict.fromkeys(("Forbidden", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"), CREDENTIALS_HINT),
    "(301)": f"AWS_ENDPOINT_URL_S3 must be the address it redirects to, perhaps with https://; {REGION_HINT}",
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "region_name"), REGION_HINT),
    # The response to a HEAD has no body, and so no reason.
    "(400)": f"the server gives no reason; the usual ones: {REGION_HINT}; {EXPIRED_HINT}",
}


def s3_client(
    config: Config,
    *,
    endpoint_url: str | None = None,
    region_name: str | None = None,
    profile_name: str | None = None,
    **options: Any,
) -> "S3Client":
    """A client with `config` (timeouts, retries). An empty or missing argument is left to boto3's own chain.

    Clients share the credentials of boto3's default session, which renews those of a role: clients are cheap to make.

    Raises:
        BotoCoreError, ValueError: invalid settings.
    """
    session: Any
    if profile_name:
        session = _session(profile_name)
    else:
        session = boto3.DEFAULT_SESSION = boto3.DEFAULT_SESSION or _session()
    client: S3Client = session.client(
        "s3",
        endpoint_url=endpoint_url or None,
        region_name=region_name or None,
        config=NO_EXTRA_CHECKSUMS.merge(config),
        **{name: value for name, value in options.items() if value not in (None, "")},
    )
    return client


def _session(profile_name: str | None = None) -> boto3.Session:
    """A session whose clients parse timestamps quickly. Of a listing, botocore's own parser takes most of the time."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return boto3.Session(botocore_session=session, profile_name=profile_name)


def _timestamp(value: Any) -> datetime:
    """What botocore makes of a timestamp; one in ISO 8601, as in a listing, without trying other formats first."""
    if isinstance(value, str) and _ISO_8601_UTC.fullmatch(value):
        return datetime.fromisoformat(value)
    parsed: datetime = parse_timestamp(value)
    return parsed


def forget_credentials() -> None:
    """Let the next client read credentials and profiles again: the file that holds them may have been rewritten."""
    boto3.DEFAULT_SESSION = None  # the next client creates a new one


@contextmanager
def stop_redirect_loops() -> Iterator[None]:
    """Raise a `ValueError` where a server answers every request with 301: boto3 follows that without an end."""
    try:
        yield
    except RecursionError:
        raise ValueError("the server redirects every request (301)") from None


def address(client: "S3Client") -> str:
    """The client's address as errors show it: the endpoint, or `AWS S3 (region eu-west-1)`."""
    url = str(client.meta.endpoint_url)
    if re.fullmatch(r"https?://s3[\w.-]*\.amazonaws\.com(\.cn)?/?", url):
        return f"AWS S3 (region {client.meta.region_name})"
    try:
        return addresses.object_store(url)
    except ValueError:
        return "the endpoint in boto3's configuration file"  # which may hold a password


def hint(error: object) -> str | None:
    """What to do about an S3 client's error; None if it is unknown."""
    return next((hint for part, hint in HINTS.items() if part in str(error)), None)
