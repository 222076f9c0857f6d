"""A tenant's bucket, through S3's API: a page of its listing, the bytes of an object.

boto3 signs and reads; what it sends goes through `guarded_http` and nothing else, so that an endpoint is checked like
any URL and connected to as checked. Redirects that S3 itself asks for (to a bucket's region) go the same way.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import boto3.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tenants.guarded_http import Exchange, Limits, SourceFailed, parse_target, send

_LISTING_BYTES = 16 * 1024 * 1024
#: Codes of S3 that say: not now.
_TRY_AGAIN = frozenset(
    {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "500", "503"}
)
#: Codes that concern one object, not the bucket.
_OF_AN_OBJECT = {
    "NoSuchKey": "It was deleted while the bucket was read.",
    "404": "It was deleted while the bucket was read.",
    "PreconditionFailed": "It was changed while the bucket was read.",
    "412": "It was changed while the bucket was read.",
    "InvalidObjectState": "It is archived: restore it in the bucket first.",
    "AccessDenied": "The bucket does not let these credentials read it.",
    "403": "The bucket does not let these credentials read it.",
}


class BucketFailed(Exception):
    """The bucket could not be read. The message may be shown; `permanent`: trying again will not help."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class ObjectFailed(Exception):
    """One object could not be read; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Place:
    """Where a bucket is, and who asks. An `endpoint_url` of '' is Amazon's for the region."""

    bucket: str
    prefix: str
    region: str
    endpoint_url: str
    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Listed:
    """An object of a listing. `key` is UTF-8: S3 sorts by these bytes."""

    key: bytes
    etag: str
    size: int


@dataclass(frozen=True)
class Page:
    """A part of a listing, in the order of the keys; `last`: nothing follows it."""

    objects: list[Listed]
    last: bool


class Bucket:
    """Reads one bucket, one request at a time. Close it."""

    def __init__(self, place: Place, limits: Limits) -> None:
        self._place = place
        self._limits = limits
        self._exchange: Exchange | None = None
        session = boto3.session.Session(place.access_key_id, place.secret_access_key, region_name=place.region)
        self._client = session.client(
            "s3",
            endpoint_url=place.endpoint_url or None,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if place.endpoint_url else "auto"},
                retries={"total_max_attempts": 1, "mode": "standard"},  # the unit of work is tried again, as a whole
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                ignore_configured_endpoint_urls=True,
            ),
        )
        # botocore sends what nobody answers before: it never comes to that.
        self._client.meta.events.register("before-send.s3", self._send)

    def close(self) -> None:
        """End the connection."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    def page(self, *, after: bytes, size: int) -> Page:
        """The next `size` objects whose keys follow `after`.

        Raises:
            BucketFailed: as `permanent` says.
        """
        start = {"StartAfter": after.decode()} if after else {}
        answer = self._ask(
            self._client.list_objects_v2, Bucket=self._place.bucket, Prefix=self._place.prefix, MaxKeys=size, **start
        )
        found = [
            Listed(entry["Key"].encode(), str(entry.get("ETag", ""))[:255], int(entry.get("Size", 0)))
            for entry in answer.get("Contents", [])
        ]
        page = Page(found, last=not answer.get("IsTruncated"))
        _check_order(page, after)
        return page

    def read(self, listed: Listed, *, limit: int, too_large: str) -> Iterator[bytes]:
        """The bytes of an object as it was listed, decoded by its Content-Encoding, in pieces.

        Raises:
            ObjectFailed: it has changed, or cannot be read; or it is longer than `limit`, as `too_large` says.
            BucketFailed: as `permanent` says.
        """
        condition = {"IfMatch": listed.etag} if listed.etag else {}
        try:
            self._ask(self._client.get_object, Bucket=self._place.bucket, Key=listed.key.decode(), **condition)
        except BucketFailed as error:
            code = error.__cause__.response["Error"]["Code"] if isinstance(error.__cause__, ClientError) else ""
            if code in _OF_AN_OBJECT:
                raise ObjectFailed(_OF_AN_OBJECT[code]) from error
            raise
        assert self._exchange is not None
        try:
            yield from self._exchange.content(limit=limit, too_large=too_large)
        except SourceFailed as error:
            if error.permanent:
                raise ObjectFailed(error.message) from error
            raise BucketFailed(error.message, permanent=False) from error

    def _ask(self, operation: Any, **arguments: Any) -> Any:
        try:
            return operation(**arguments)
        except SourceFailed as error:
            raise BucketFailed(error.message, permanent=error.permanent) from error
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            shown = code if re.fullmatch(r"\w{1,64}", code, re.ASCII) else "an unknown error"
            raise BucketFailed(f"The bucket answered with {shown}.", permanent=code not in _TRY_AGAIN) from error
        except BotoCoreError as error:
            raise BucketFailed("The bucket's answer could not be understood.", permanent=True) from error

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Answer botocore in the place of its own HTTP."""
        self.close()
        # As it was signed: any other spelling of the same path would be another signature.
        path = re.sub(r"^[^/?]*", "", request.url.partition("://")[2])
        target = replace(parse_target(request.url), path=path if path.startswith("/") else f"/{path}")
        headers = {name: _text(value) for name, value in request.headers.items()}
        deadline = time.monotonic() + self._limits.whole_seconds
        self._exchange = send(
            target, method=request.method, headers=headers, body=request.body or None, deadline=deadline,
            limits=self._limits,
        )  # fmt: skip
        answer = self._exchange.answer
        return AWSResponse(request.url, answer.status, answer.headers, _Body(self._exchange))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _check_order(page: Page, after: bytes) -> None:
    """A server that lists in another order would make objects look deleted."""
    keys = [after, *(one.key for one in page.objects)]
    if any(second <= first for first, second in pairwise(keys)) or (not page.last and len(keys) == 1):
        raise BucketFailed("The bucket does not list its objects in the order of their keys.", permanent=True)


class _Body:
    """What botocore reads listings and errors from; an object's bytes are read from the exchange itself."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """A bounded body."""
        return self._exchange.content(limit=_LISTING_BYTES, too_large="The bucket's answer is too long.")
