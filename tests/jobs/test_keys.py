"""Keys: shown once, kept as a hash, closed for good."""

import time

import pytest
from sqlalchemy import select

from assay.jobs import keys
from assay.jobs.database import reading
from assay.jobs.errors import UnknownKey
from assay.jobs.models import Key
from assay.selectors.errors import BadSetting

SECRET = "0123456789abcdef" * 4


@pytest.fixture
def made(engine):
    return keys.create(engine, SECRET, name="laptop", owner="ada", scopes=["submit", "read"])


def test_a_key_opens_for_its_owner_with_its_scopes(engine, made):
    row, text = made
    caller = keys.verify(engine, SECRET, text)
    assert (caller.key, caller.owner, caller.scopes) == (row.id, "ada", {"read", "submit"})
    assert caller.may("read") and not caller.may("admin")


def test_admin_may_do_everything(engine):
    _, text = keys.create(engine, SECRET, name="root", owner="root", scopes=["admin"])
    assert all(keys.verify(engine, SECRET, text).may(scope) for scope in keys.SCOPES)


def test_the_secret_is_nowhere_in_the_database(engine, made):
    _, text = made
    secret = text.rpartition("_")[2]
    with reading(engine) as session:
        kept = session.scalar(select(Key))
    assert secret not in repr(vars(kept)) and kept.digest != text
    assert len(secret) >= 43  # 256 bits


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text.replace("assay_", "other_"),
        lambda text: text.upper(),
        lambda text: text + " ",
        lambda text: text.split("_")[1],
        lambda text: "assay_" + "0" * 10 + "_" + text.split("_", 2)[2],
        lambda text: "",
        lambda text: "assay__",
    ],
)
def test_a_key_that_is_not_quite_right_opens_nothing(engine, made, change):
    assert keys.verify(engine, SECRET, change(made[1])) is None


def test_another_servers_secret_opens_nothing(engine, made):
    assert keys.verify(engine, "f" * 64, made[1]) is None


def test_a_revoked_key_opens_nothing_ever_again(engine, made):
    row, text = made
    first = keys.revoke(engine, row.id).revoked_at
    assert keys.verify(engine, SECRET, text) is None
    assert keys.revoke(engine, row.id).revoked_at == first


def test_a_key_expires(engine):
    now = int(time.time())
    _, text = keys.create(engine, SECRET, name="n", owner="o", expires_at=now + 10)
    assert keys.verify(engine, SECRET, text, now=now + 9)
    assert keys.verify(engine, SECRET, text, now=now + 10) is None


def test_the_last_use_is_noted_but_not_with_every_request(engine, made):
    def noted():
        return keys.listed(engine)[0].last_used_at

    now = int(time.time())
    for later, expected in ((0, now), (30, now), (60, now + 60)):
        keys.verify(engine, SECRET, made[1], now=now + later)
        assert noted() == expected


def test_an_owner_sees_and_revokes_only_their_own(engine, made):
    keys.create(engine, SECRET, name="b", owner="bob")
    assert [row.owner for row in keys.listed(engine, "ada")] == ["ada"]
    assert len(keys.listed(engine)) == 2
    with pytest.raises(UnknownKey):
        keys.revoke(engine, made[0].id, owner="bob")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scopes": ["rule"]}, "no scope 'rule': known are read, submit, admin"),
        ({"scopes": []}, "needs a scope"),
        ({"name": " "}, "a key's name has 1 to 100"),
        ({"owner": "o" * 101}, "a key's owner has 1 to 100"),
    ],
)
def test_a_key_that_cannot_be_made_is_said(engine, more, said):
    with pytest.raises(BadSetting, match=said):
        keys.create(engine, SECRET, **{"name": "n", "owner": "o"} | more)
