"""Failures of storage in our own words: what happened, at which address, and what to do."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from assay.selectors.errors import AlreadyThere, AssayError, NotFound, StorageError
from assay.selectors.stores import clients
from assay.selectors.stores.places import place_of


@contextmanager
def told(uri: str, doing: str) -> Iterator[None]:
    """Say every failure of storage in our own words; failures of others pass through."""
    try:
        yield
    except AssayError:
        raise
    except OSError as cause:
        raise _failure(uri, doing, cause) from cause
    except clients.Failure as cause:
        raise _remote_failure(uri, doing, cause) from cause


def _failure(uri: str, doing: str, cause: OSError) -> AssayError:
    if isinstance(cause, FileNotFoundError) and doing == "writing" and place_of(uri).local:
        return StorageError(f"{uri}: this folder cannot be made. Name a place that can be written.")
    if isinstance(cause, FileNotFoundError):
        return _not_there(uri, cause)
    if isinstance(cause, FileExistsError):
        return AlreadyThere(f"{uri}: something is already stored under this address. Name another.")
    if isinstance(cause, PermissionError) or cause.errno == errno.EROFS:
        return StorageError(
            f"{uri}: no permission while {doing} {_path_of(cause, uri)}. "
            "Change its owner or mode, or name another place."
        )
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{uri}: disk full while {doing}{_room(uri)}. Free space there or choose an output "
            "folder on another disk, then run the same command again: it resumes."
        )
    return StorageError(f"{uri}: {doing} failed: {cause.strerror or cause}.")


def _not_there(uri: str, cause: Exception) -> AssayError:
    if "NoSuchBucket" in str(cause):
        bucket = place_of(uri).bucket
        return StorageError(
            f"{uri}: there is no bucket {bucket!r} at this endpoint. Create it, or check its name "
            "and AWS_ENDPOINT_URL."
        )
    return NotFound(f"{uri}: nothing is stored there. Check the address.")


def _path_of(cause: OSError, uri: str) -> str:
    return str(cause.filename or uri)


def _room(uri: str) -> str:
    place = place_of(uri)
    if not place.local:
        return ""
    folder = place.key
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return f" ({shutil.disk_usage(folder).free / 1e9:.2f} GB free at {folder})"


def _remote_failure(uri: str, doing: str, cause: Exception) -> AssayError:
    text = str(cause)
    if clients.is_taken(cause):
        return AlreadyThere(f"{uri}: something is already stored under this address.")
    if clients.is_missing(cause):
        return _not_there(uri, cause)
    if "Account must be specified" in text:
        return StorageError(f"{uri}: whose container is it? Set AZURE_STORAGE_ACCOUNT_NAME.")
    if clients.is_refused(cause):
        return StorageError(
            f"{uri}: the store refused {doing}: {_gist(text)}. Check the credentials in the "
            "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION; "
            "GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_NAME) and their rights."
        )
    return StorageError(
        f"{uri}: {doing} failed: {_gist(text)}. Check that the endpoint can be reached "
        "(AWS_ENDPOINT_URL, AWS_REGION; plain http beyond this machine needs AWS_ALLOW_HTTP=true)."
    )


def _gist(text: str) -> str:
    """The part of a long report before its debugging output."""
    return " ".join(text.split("Debug source:")[0].split())[:300].rstrip(". ")
