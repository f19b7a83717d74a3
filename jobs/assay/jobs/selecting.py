"""One selection as a worker holds it between its steps. Nothing of it has to survive.

Whoever goes on opens it again: what was fitted and scored lies in the output folder.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from assay.jobs.executors import Pool, pool
from assay.jobs.roots import Roots
from assay.selectors import selection, storage
from assay.selectors.manifest import Manifest
from assay.selectors.progress import Progress
from assay.selectors.selection import Ground, Means
from assay.selectors.selector import Scorer
from assay.selectors.shards import Unit
from assay.selectors.spec import Spec

EVERY = 1.0  # seconds between two notes of progress


@dataclass
class Telling:
    """The stages of a run, told to whoever watches, now and then."""

    tell: Callable[[str, int, int], None]  # stage, bytes done, bytes in all
    stage: str = ""
    total: int = 0
    done: int = 0
    told: float = field(default=0.0)

    def note(self, line: str, /) -> None: ...

    def begin(self, stage: str, total: int, /) -> None:
        self.stage, self.total, self.done = stage, total, 0
        self._tell()

    def advance(self, size: int, /) -> None:
        self.done += size
        if time.monotonic() - self.told > EVERY:
            self._tell()

    def end(self) -> None: ...

    def _tell(self) -> None:
        self.told = time.monotonic()
        self.tell(self.stage, self.done, self.total)


@dataclass
class Selecting:
    """A selection with its lock, its workers and what it has looked at."""

    spec: Spec
    roots: Roots
    workers: int
    progress: Progress
    stop: threading.Event = field(default_factory=threading.Event)
    _open: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Let go of the folder and the threads."""
        self._open.close()

    @cached_property
    def means(self) -> Means:
        mapped: Pool = self._open.enter_context(pool("threads", self.workers, self.stop))
        return Means(mapped, self.progress, self.workers, "threads")

    @cached_property
    def ground(self) -> Ground:
        """The corpora, looked at; the output folder, taken."""
        self.roots.check_output(self.spec.out)
        self.roots.check_all_found(self.spec)
        found = selection.survey(self.spec, self.means)
        storage.prepare(self.spec.out)
        self._open.enter_context(storage.lock(self.spec.out))
        return found

    @cached_property
    def done(self) -> Manifest | None:
        """The manifest, if the selection is finished."""
        ground = self.ground
        return selection.begin(ground)

    @cached_property
    def scorer(self) -> Scorer:
        return self.ground.selector.fit(selection.folding(self.ground, self.means))

    def shards(self) -> list[tuple[int, int]]:
        """For each shard with rows: how many units it has, and how many bytes."""
        return [(len(units), sum(u.bytes for u in units)) for units in self._by_shard]

    @cached_property
    def _by_shard(self) -> list[list[Unit]]:
        units = self.ground.raw.units
        return [list(some) for _, some in groupby(units, key=lambda unit: unit.shard)]

    def score(self, number: int) -> Mapping[str, int]:
        """One shard, scored; units that were scored before are not scored again."""
        if self.done:
            return {"rows": 0, "bad_rows": 0}
        scoring = selection.scoring(self.ground, self.scorer)
        files = list(self.means.map(scoring, self._by_shard[number]))
        return {
            "rows": sum(file.documents for file in files),
            "bad_rows": sum(file.bad_rows for file in files),
        }

    def finish(self, begun: float) -> Manifest:
        """Choose, write, report, and the manifest last."""
        return self.done or selection.carry_out(self.ground, self.means, begun)


def spec_of(request: Mapping[str, Any]) -> Spec:
    """The spec in a job's row."""
    from assay.selectors import spec

    return spec.from_mapping(request, "the request")
