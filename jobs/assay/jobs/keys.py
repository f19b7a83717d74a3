"""Keys to the service: 256 random bits, of which only a keyed hash is kept.

A key reads assay_PREFIX_SECRET. The prefix finds the row; the whole key is compared by its
HMAC-SHA-256 under the server's own secret, in constant time. A slow password hash would be wrong
here: there is nothing to guess in 256 random bits, and a key is looked at with every request.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, select, update

from assay.jobs import names
from assay.jobs.database import reading, writing
from assay.jobs.errors import UnknownKey
from assay.jobs.models import Key
from assay.selectors.errors import BadSetting

SCOPES = ("read", "submit", "admin")
MARK = "assay"
SECRET_BYTES = 32
PREFIX_LETTERS = 10
LONGEST_NAME = 100
LEAST_SECRET = 32  # characters of the server's own secret
NOTED_EVERY = 60  # seconds: `last used` is written no more often


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may do."""

    key: str
    owner: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


def create(
    engine: Engine,
    server_secret: str,
    *,
    name: str,
    owner: str,
    scopes: Iterable[str] = ("read",),
    expires_at: int | None = None,
) -> tuple[Key, str]:
    """A new key, and the text that opens the service: it is shown now and never again."""
    row = Key(
        id=names.make("key"),
        prefix=names.make("k")[-PREFIX_LETTERS:],
        digest="",
        name=_named("name", name),
        owner=_named("owner", owner),
        scopes=_scopes(scopes),
        created_at=int(time.time()),
        expires_at=expires_at,
        last_used_at=None,
        revoked_at=None,
    )
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    text = f"{MARK}_{row.prefix}_{secret}"
    row.digest = digest(server_secret, text)
    with writing(engine) as session:
        session.add(row)
    return row, text


def verify(engine: Engine, server_secret: str, text: str, now: int | None = None) -> Caller | None:
    """Whose key this is; None for a wrong, expired or revoked one."""
    now = int(time.time()) if now is None else now
    mark, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if mark != MARK or not prefix or not secret:
        return None
    with reading(engine) as session:
        row = session.scalar(select(Key).where(Key.prefix == prefix))
    # Compared even where there is none: an answer takes as long either way.
    known = row.digest if row is not None else "0" * 64
    right = hmac.compare_digest(known, digest(server_secret, text))
    if row is None or not right or row.revoked_at is not None:
        return None
    if row.expires_at is not None and row.expires_at <= now:
        return None
    if row.last_used_at is None or row.last_used_at <= now - NOTED_EVERY:
        _note_use(engine, row.id, now)
    return Caller(row.id, row.owner, frozenset(row.scopes))


def digest(server_secret: str, text: str) -> str:
    """The keyed hash of a key, as hex."""
    return hmac.new(server_secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def listed(engine: Engine, owner: str | None = None) -> list[Key]:
    """All keys, or an owner's, oldest first."""
    asked = select(Key).order_by(Key.id)
    with reading(engine) as session:
        return list(session.scalars(asked if owner is None else asked.where(Key.owner == owner)))


def revoke(engine: Engine, name: str, owner: str | None = None) -> Key:
    """Close a key for good, by its id; revoking one again changes nothing."""
    with writing(engine) as session:
        row = session.get(Key, name)
        if row is None or (owner is not None and row.owner != owner):
            raise UnknownKey(f"there is no key {name!r}: `assay keys list` shows them")
        row.revoked_at = row.revoked_at or int(time.time())
    return row


def _note_use(engine: Engine, name: str, now: int) -> None:
    with writing(engine) as session:
        session.execute(update(Key).where(Key.id == name).values(last_used_at=now))


def _named(what: str, text: str) -> str:
    if not text.strip() or len(text) > LONGEST_NAME:
        raise BadSetting(f"a key's {what} has 1 to {LONGEST_NAME} characters; found {text!r}")
    return text.strip()


def _scopes(given: Iterable[str]) -> list[str]:
    asked = set(given)
    if strange := sorted(asked - set(SCOPES)):
        raise BadSetting(f"there is no scope {strange[0]!r}: known are {', '.join(SCOPES)}")
    if not asked:
        raise BadSetting(f"a key needs a scope: {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in asked]
