"""How often each key may ask: so many requests in a window of time, in this process.

Our own few lines: the package that was tried starts a thread for every count it keeps.
"""

import re
import time
from dataclasses import dataclass, field

from assay.selectors.errors import BadSetting

SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
MOST = 10_000  # keys counted at once


@dataclass
class Rate:
    """`most` requests in `seconds`, counted from the first one of a window."""

    most: int
    seconds: float
    counts: dict[str, tuple[float, int]] = field(default_factory=dict)

    def wait(self, key: str) -> int:
        """Count a request of this key: 0 if it may be answered, else seconds until one may."""
        now = time.monotonic()
        end, count = self.counts.get(key, (0.0, 0))
        if now >= end:
            if len(self.counts) >= MOST:
                self.counts.clear()
            end, count = now + self.seconds, 0
        self.counts[key] = (end, count + 1)
        return 0 if count < self.most else int(end - now) + 1


def rate_of(text: str) -> Rate:
    """`600/minute`."""
    found = re.fullmatch(r"([1-9][0-9]{0,11})/(second|minute|hour)", text)
    if not found:
        raise BadSetting(f"ASSAY_RATE={text!r}: write it as 600/minute")
    return Rate(int(found[1]), SECONDS[found[2]])
