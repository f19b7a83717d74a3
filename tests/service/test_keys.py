"""Keys: what is kept of them does not open anything, and each can be taken back."""

import json
import os
import subprocess
import sys
import time

import pytest

from assay.jobs import access
from assay.jobs.database import database, migrate
from assay.jobs.models import Key
from assay.selectors.errors import BadRequest

PEPPER = b"p" * 64


@pytest.fixture
def keyring(tmp_path):
    found = database(f"sqlite:///{tmp_path}/assay.db")
    migrate(found)
    yield found
    found.close()


def test_a_key_opens_for_its_owner_until_it_is_revoked(keyring):
    made = access.create(keyring, PEPPER, "ada", ["read", "submit"])
    who = access.caller(keyring, PEPPER, made.text)
    assert who is not None and who.owner == "ada" and who.scopes == {"read", "submit"}
    access.revoke(keyring, made.key.id)
    assert access.caller(keyring, PEPPER, made.text) is None


def test_an_expired_key_opens_nothing(keyring):
    made = access.create(keyring, PEPPER, "ada", ["read"], expires_at=time.time() + 0.3)
    assert access.caller(keyring, PEPPER, made.text)
    time.sleep(0.35)
    assert access.caller(keyring, PEPPER, made.text) is None


def test_a_key_that_differs_anywhere_opens_nothing(keyring):
    text = access.create(keyring, PEPPER, "ada", ["read"]).text
    for place in range(len(text)):
        other = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert access.caller(keyring, PEPPER, other) is None
    for other in ("", text[:-1], text + "A", text.upper(), "assay_", "é" * 40):
        assert access.caller(keyring, PEPPER, other) is None
    assert access.caller(keyring, b"q" * 64, text) is None


def test_the_database_holds_no_key(keyring, tmp_path):
    text = access.create(keyring, PEPPER, "ada", ["read"]).text
    keyring.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert text.encode() not in kept and text[len(access.MARK) + 12 :].encode() not in kept


def test_keys_have_256_bits_and_never_come_twice(keyring):
    texts = {access.create(keyring, PEPPER, "ada", ["read"]).text for _ in range(50)}
    assert len(texts) == 50 and {len(t) for t in texts} == {len(access.MARK) + 43}


@pytest.mark.parametrize(
    ("owner", "scopes"), [("", ["read"]), ("a" * 101, ["read"]), ("ada", []), ("ada", ["root"])]
)
def test_senseless_keys_are_refused(keyring, owner, scopes):
    with pytest.raises(BadRequest):
        access.create(keyring, PEPPER, owner, scopes)


def test_the_last_use_is_noted(keyring):
    made = access.create(keyring, PEPPER, "ada", ["read"])
    access.caller(keyring, PEPPER, made.text)
    with keyring.session() as session:
        assert time.time() - session.get(Key, made.key.id).used_at < 60


def test_the_secret_is_made_once_and_nobody_else_reads_it(tmp_path):
    first = access.secret(str(tmp_path))
    assert access.secret(str(tmp_path)) == first and len(first) == 64
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0
    with pytest.raises(BadRequest):
        access.secret(str(tmp_path), "short")


def test_the_first_key_is_made_on_the_command_line_and_shown_once(tmp_path):
    def assay(*words):
        done = subprocess.run(
            [sys.executable, "-m", "assay.api", *words],
            capture_output=True, text=True, check=False,
            env={**os.environ, "ASSAY_HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    text = assay("keys", "create", "--owner", "ada", "--scope", "admin").strip()
    found = database(f"sqlite:///{tmp_path}/assay.db")
    assert access.caller(found, access.secret(str(tmp_path)), text).scopes == {"admin"}
    listed = assay("keys", "list", "--json")
    assert text not in listed
    assay("keys", "revoke", json.loads(listed)[0]["id"])
    assert json.loads(assay("keys", "list", "--json"))[0]["status"] == "revoked"
    assert access.caller(found, access.secret(str(tmp_path)), text) is None
    found.close()


def test_what_is_kept_is_for_its_owner_alone(tmp_path):
    home = tmp_path / "home"
    found = database(f"sqlite:///{home}/assay.db")
    migrate(found)
    access.secret(str(home))
    assert home.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in home.iterdir())
    found.close()


def test_a_key_is_known_for_a_moment_only_while_it_is_looked_up(tmp_path, monkeypatch):
    from assay.api import serving
    from assay.api.rates import rate_of
    from assay.api.settings import Service
    from assay.jobs.roots import Roots

    now, looks = [100.0], []
    monkeypatch.setattr(serving.time, "monotonic", lambda: now[0])
    caller = access.Caller("key_1", "ada", frozenset({"read"}))
    monkeypatch.setattr(access, "caller", lambda *_: looks.append(1) or caller)
    made = serving.Serving(Service("", ""), None, None, Roots(()), b"", rate_of("5/minute"))
    assert made.known_caller("k") is None and made.caller("k") == caller
    assert made.known_caller("k") == caller
    now[0] += 1.5
    assert made.known_caller("k") is None  # this one is to look it up
    assert made.known_caller("k") == caller  # the others go on meanwhile
    now[0] += 1.0
    assert made.known_caller("k") is None  # but not for ever
    made.caller("k")
    made.forget("key_1")
    assert made.known_caller("k") is None
