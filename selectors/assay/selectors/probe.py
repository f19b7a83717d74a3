"""Whether an object store keeps the promise that finishing rests on: what is there stays.

A manifest is created once, whoever comes twice. Some gateways take the condition and ignore it.
"""

import uuid

from assay.selectors import storage
from assay.selectors.errors import AlreadyThere, StorageError

NAME = ".assay-probe"


def check_conditional_create(root: str) -> None:
    """StorageError unless a second creation under one name is refused and changes nothing."""
    if storage.is_local(root):
        return  # a hard link: the file system refuses the second
    uri = storage.join(root, f"{NAME}-{uuid.uuid4().hex}")
    storage.create_bytes(uri, b"first")
    try:
        if _second_is_refused(uri) and storage.read_bytes(uri) == b"first":
            return
    finally:
        storage.delete(uri)
    raise StorageError(
        f"{root}: this store overwrites where it is asked to create (If-None-Match: * is ignored), "
        f"so two workers could both finish one selection: use a store that honours it, such as S3, "
        f"GCS, Azure or MinIO, or a local folder"
    )


def _second_is_refused(uri: str) -> bool:
    try:
        storage.create_bytes(uri, b"second")
    except AlreadyThere:
        return True
    return False
