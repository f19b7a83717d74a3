"""Many who ask at once are answered by one look."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

K = TypeVar("K")
V = TypeVar("V")
MOST = 500  # keys of one look: databases limit how many values a query may name


class Together(Generic[K, V]):
    """Looks up keys in a thread, those of one moment in one go.

    Who comes while a look is under way waits for the next, so what is found was never read before
    it was asked for. Belongs to one event loop.
    """

    def __init__(self, look: Callable[[set[K]], Mapping[K, V]]) -> None:
        self.look = look
        self.waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self.task: asyncio.Task[None] | None = None

    async def __call__(self, key: K) -> V | None:
        """What is known of the key; None if nothing is."""
        mine: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(key, []).append(mine)
        if self.task is None:
            self.task = asyncio.create_task(self._work())
        return await mine

    async def _work(self) -> None:
        try:
            while self.waiting:
                some = dict(list(self.waiting.items())[:MOST])
                for key in some:
                    del self.waiting[key]
                await self._look(some)
        finally:
            self.task = None

    async def _look(self, some: Mapping[K, list[asyncio.Future[V | None]]]) -> None:
        try:
            found = await run_in_threadpool(self.look, set(some))
        except Exception as problem:
            for waiting in some.values():
                for one in waiting:
                    if not one.done():
                        one.set_exception(problem)
            return
        for key, waiting in some.items():
            for one in waiting:
                if not one.done():
                    one.set_result(found.get(key))
