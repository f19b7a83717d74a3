"""Bearer keys: made, looked up, revoked. Only a keyed hash of each is kept.

A key has 256 random bits, so its hash needs no slow function, only one that says nothing to who
reads the database: HMAC-SHA-256 with a secret that is not in it.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from assay.jobs import ids
from assay.jobs.database import Database
from assay.jobs.errors import NoSuchKey
from assay.jobs.models import Key
from assay.selectors.errors import BadRequest, StorageError

SCOPES = ("read", "submit", "admin")
MARK = "assay_"  # begins every key, so that scanners for leaked secrets can find one
PREFIX = 12  # characters that look it up
SECRET = 64  # hex digits of the server's secret
RARELY = 60.0  # seconds between two notes of the last use
LONGEST = 100  # characters of a name or an owner


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may do."""

    key: str
    owner: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class Made:
    """A new key, and the only time that its text is seen."""

    key: Key
    text: str


def secret(home: str, given: str = "") -> bytes:
    """The server's secret: as given, else the one in its home, made at the first call."""
    if given:
        if len(given) < 32:
            raise BadRequest(
                f"ASSAY_SECRET has {len(given)} characters: give 32 or more random ones"
            )
        return given.encode()
    path = Path(home) / "secret"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_once(path)
        found = path.read_bytes().strip()
    except OSError as cause:
        raise StorageError(f"{path}: {cause.strerror}: set ASSAY_SECRET or ASSAY_HOME") from cause
    if len(found) != SECRET:
        raise StorageError(f"{path}: is no secret of assay: take it away, and make new keys")
    return found


def _write_once(path: Path) -> None:
    """Whole or not at all, even if several processes start at once."""
    if path.exists():
        return
    beside = path.with_name(f".secret.{os.getpid()}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w") as out:
        out.write(secrets.token_hex(SECRET // 2))
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()


def create(
    database: Database,
    pepper: bytes,
    owner: str,
    scopes: Sequence[str],
    name: str = "",
    expires_at: float | None = None,
) -> Made:
    """A new key of an owner."""
    _check(owner, scopes, name, expires_at)
    text = MARK + secrets.token_urlsafe(32)
    key = Key(
        id=ids.new("key"),
        prefix=_prefix(text),
        hash=_hash(pepper, text),
        name=name,
        owner=owner,
        scopes=[scope for scope in SCOPES if scope in scopes],
        created_at=time.time(),
        expires_at=expires_at,
        used_at=None,
        revoked_at=None,
    )
    with database.session() as session:
        session.add(key)
    return Made(key, text)


def caller(database: Database, pepper: bytes, text: str) -> Caller | None:
    """Who holds this key; None if nobody does, or it is expired or revoked."""
    if not text.startswith(MARK) or len(text) > 100 or not text.isascii():
        return None
    with database.session() as session:
        found = session.scalar(select(Key).where(Key.prefix == _prefix(text)))
        # Hashed and compared even if none was found: the time taken does not tell.
        known = hmac.compare_digest(found.hash if found else "0" * 64, _hash(pepper, text))
        if not found or not known or not usable(found, time.time()):
            return None
        _note_use(session, found)
        return Caller(found.id, found.owner, frozenset(found.scopes))


def alive(database: Database, key: str) -> bool:
    """Whether the key of this id can still be used."""
    with database.session() as session:
        found = session.get(Key, key)
        return found is not None and usable(found, time.time())


def usable(key: Key, now: float) -> bool:
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


def listed(database: Database, after: str = "", limit: int = 100) -> list[Key]:
    with database.session() as session:
        return list(
            session.scalars(select(Key).where(Key.id > after).order_by(Key.id).limit(limit))
        )


def find(database: Database, key: str) -> Key:
    with database.session() as session:
        found = session.get(Key, key)
    if found is None:
        raise NoSuchKey(f"there is no key {key}: `assay keys list` shows those that there are")
    return found


def revoke(database: Database, key: str) -> Key:
    """From now on nobody can use it. Once more does no harm."""
    find(database, key)
    with database.session() as session:
        session.execute(
            update(Key)
            .where(Key.id == key)
            .values(revoked_at=func.coalesce(Key.revoked_at, time.time()))
        )
    return find(database, key)


def _note_use(session: Session, key: Key) -> None:
    now = time.time()
    if key.used_at is None or now - key.used_at > RARELY:
        session.execute(update(Key).where(Key.id == key.id).values(used_at=now))


def _check(owner: str, scopes: Sequence[str], name: str, expires_at: float | None) -> None:
    for what, value in (("owner", owner), ("name", name)):
        if len(value) > LONGEST or "\x00" in value:
            raise BadRequest(f"the {what} of a key has at most {LONGEST} characters, and no NUL")
    if not owner:
        raise BadRequest("a key has an owner: say whose it is")
    if not scopes or set(scopes) - set(SCOPES):
        raise BadRequest(f"the scopes of a key are some of {', '.join(SCOPES)}")
    if expires_at is not None and not time.time() < expires_at < time.time() + 1e10:
        raise BadRequest("a key expires in the future, and within three hundred years")


def _prefix(text: str) -> str:
    return text[len(MARK) : len(MARK) + PREFIX]


def _hash(pepper: bytes, text: str) -> str:
    return hmac.new(pepper, text.encode(), hashlib.sha256).hexdigest()
