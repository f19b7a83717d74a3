"""Names of jobs, keys and workers: a kind, then a ULID, so that they sort by their age."""

import secrets
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
LETTERS = 26  # 48 bits of milliseconds and 80 of chance


def new(kind: str) -> str:
    """`sel_01JD...`"""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return f"{kind}_" + "".join(ALPHABET[number >> 5 * n & 31] for n in reversed(range(LETTERS)))
