"""A store that overwrites where it is asked to create is found out before anything is done."""

import pytest

from assay.selectors import probe, storage
from assay.selectors.errors import StorageError


def left(s3):
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]


def test_a_store_that_keeps_its_promise_passes_and_is_left_as_it_was(s3, tmp_path):
    probe.check_conditional_create("s3://bucket/under")
    probe.check_conditional_create(str(tmp_path))
    assert left(s3) == [] and list(tmp_path.iterdir()) == []


def test_a_store_that_overwrites_is_refused(s3, monkeypatch):
    monkeypatch.setattr(storage, "create_bytes", storage.write_bytes)  # what such gateways do
    with pytest.raises(StorageError, match="overwrites where it is asked to create"):
        probe.check_conditional_create("s3://bucket")
    assert left(s3) == []


def test_a_store_that_is_not_there_is_told_as_such(s3):
    with pytest.raises(StorageError, match="there is no bucket"):
        probe.check_conditional_create("s3://no-such-bucket/x")
