"""Names for things in the database: they sort by the time they were made, and cannot be guessed."""

import secrets
import time

LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32


def make(kind: str) -> str:
    """Such as sel_01k3...: 48 bits of milliseconds and 80 random ones (the layout of a ULID)."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return f"{kind}_{''.join(LETTERS[number >> place & 31] for place in range(125, -1, -5))}"
