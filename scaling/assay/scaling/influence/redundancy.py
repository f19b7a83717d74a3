"""Documents that push the proxy the same way count less the more of them there are.

Greedy, as GREATS chooses a batch (Wang et al. 2024, NeurIPS): the document that scores highest is
picked, and every other loses in proportion to how much its gradient has in common with the one
picked. GREATS needs inner products of gradients; here they come from sketches.
"""

import numpy as np
import numpy.typing as npt

from assay.selectors.records import Counts, Floats

TENTH = 0.1  # of the documents: when so many are picked, each other has lost `weight` mean cosines


def in_turn(score: Floats, sketch: npt.NDArray[np.float32], weight: float) -> Counts:
    """The turn in which each document is picked, (documents,): 0 is the first. `score` has a
    variance of one, `sketch` is (documents, width)."""
    lengths = np.sqrt((sketch.astype(np.float64) ** 2).sum(1, keepdims=True))
    unit = (sketch / np.maximum(lengths, 1e-30)).astype(np.float32)
    left = score.astype(np.float64).copy()
    each = weight / max(1.0, TENTH * len(score))
    turn = np.zeros(len(score), np.int64)
    for number in range(len(score)):
        best = int(np.argmax(left))
        turn[best] = number
        left -= each * (unit @ unit[best])
        left[best] = -np.inf
    return turn
