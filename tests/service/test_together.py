"""Who asks at once is answered by one look, and never by one that began before."""

import asyncio
import threading

import pytest

from assay.api.together import MOST, Together


def test_those_of_one_moment_share_a_look_and_later_ones_get_a_fresh_one():
    looks, gate, version = [], threading.Event(), [1]

    def look(keys):
        seen = version[0]
        looks.append(sorted(keys))
        gate.wait(10)
        return {key: seen for key in keys if key != "nobody"}

    async def ask():
        together = Together(look)
        first = [asyncio.create_task(together("a"))]
        while not looks:
            await asyncio.sleep(0.001)
        later = [asyncio.create_task(together(key)) for key in ("a", "b", "b", "nobody")]
        await asyncio.sleep(0.01)
        version[0] = 2
        gate.set()
        return await asyncio.gather(*first, *later)

    assert asyncio.run(ask()) == [1, 2, 2, 2, None]
    assert looks == [["a"], ["a", "b", "nobody"]]


def test_a_look_that_fails_fails_for_those_who_asked_and_for_nobody_else():
    broken = [True]

    def look(keys):
        if broken.pop() if broken else False:
            raise OSError("away")
        return dict.fromkeys(keys, 1)

    async def ask():
        together = Together(look)
        with pytest.raises(OSError, match="away"):
            await together("a")
        gone = asyncio.create_task(together("b"))
        await asyncio.sleep(0)
        gone.cancel()  # who leaves does not disturb the others
        return await asyncio.gather(*(together(n) for n in range(2 * MOST + 1)))

    assert asyncio.run(ask()) == [1] * (2 * MOST + 1)
