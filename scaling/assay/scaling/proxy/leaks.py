"""Target texts that share a run of 13 words with what is trained on.

13 words is the run by which GPT-3's authors looked for leaks (Brown et al. 2020, arXiv 2005.14165,
appendix C); words are assay's own: runs of letters and digits, and of marks.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.native import kernels

WIDTH = 13


def leaking(target: Sequence[bytes], training: Iterable[pa.Array]) -> npt.NDArray[np.bool_]:
    """For each target text: does it share a run of WIDTH words with a text of any column?"""
    windows = [np.unique(kernels.windows(text, WIDTH)) for text in target]
    wanted = np.unique(np.concatenate([np.zeros(0, np.uint64), *windows]))
    if not len(wanted):
        return np.zeros(len(target), bool)
    seen = np.zeros(len(wanted), bool)
    for texts in training:
        _, places = kernels.find_windows(texts, WIDTH, wanted)
        seen[places] = True
    return np.array([bool(seen[np.searchsorted(wanted, own)].any()) for own in windows], bool)
