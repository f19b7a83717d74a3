"""The stores behind s3://, gs://, az:// and memory://, each opened once.

This is the only file that knows obstore.
"""

import os
from datetime import timedelta
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, MemoryStore, ObjectStore, S3Store

from assay.selectors.errors import BadRequest
from assay.selectors.stores.places import Place

PART = 8 << 20  # bytes per part of a multipart upload
# Bounded so that an endpoint which does not answer is reported within 15 seconds.
PATIENCE = {
    "connect_timeout": timedelta(seconds=3),
    "read_timeout": timedelta(seconds=10),  # without a single byte
    "timeout": timedelta(seconds=300),  # for a whole part
}
RETRIES = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2.0,
    },
}


def store(place: Place) -> ObjectStore:
    """The store that a place is in."""
    if place.scheme != "memory" and not place.bucket:
        raise BadRequest(f"{place.scheme}://: name a bucket, as in {place.scheme}://bucket/folder.")
    return opened(place.scheme, place.bucket, _may_be_plain())


def upload(place: Place) -> Any:
    """A file in which an object is sent in parts; nothing is there before it is closed."""
    return obstore.open_writer(store(place), place.key, buffer_size=PART, max_concurrency=2)


def _may_be_plain() -> bool:
    """Whether S3 may be spoken to without TLS: a server on this machine, or AWS_ALLOW_HTTP.

    obstore reads its settings from the environment by itself, but forgets AWS_ALLOW_HTTP where
    other client options are given, and does not tell what it found: so this looks there too.
    """
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1"):
        return True
    known = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    endpoint = urlsplit(known or "")
    return endpoint.scheme == "http" and endpoint.hostname in ("localhost", "127.0.0.1", "::1")


@cache
def opened(scheme: str, bucket: str, plain: bool) -> ObjectStore:
    retry = cast(Any, RETRIES)
    if scheme == "s3":
        options = PATIENCE | ({"allow_http": True} if plain else {})
        return S3Store(bucket, client_options=cast(Any, options), retry_config=retry)
    if scheme == "gs":
        return GCSStore(bucket, client_options=cast(Any, PATIENCE), retry_config=retry)
    if scheme == "az":
        return AzureStore(bucket, client_options=cast(Any, PATIENCE), retry_config=retry)
    return _memory(bucket)


@cache
def _memory(bucket: str) -> ObjectStore:
    """Lives as long as the process."""
    return MemoryStore()


# What its failures mean ------------------------------------------------------------------

Failure = exceptions.BaseError  # some failures are plain OSErrors instead


def is_taken(cause: Exception) -> bool:
    """Something is under this address already."""
    return isinstance(cause, exceptions.AlreadyExistsError | exceptions.PreconditionError)


def is_missing(cause: Exception) -> bool:
    return isinstance(cause, exceptions.NotFoundError) or "NoSuchBucket" in str(cause)


def is_refused(cause: Exception) -> bool:
    kinds = exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
    signs = ("AccessDenied", "InvalidAccessKey", "SignatureDoesNotMatch", "credential", "169.254")
    return isinstance(cause, kinds | PermissionError) or any(sign in str(cause) for sign in signs)
