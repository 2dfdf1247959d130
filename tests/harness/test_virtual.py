"""Virtual time: what waits costs nothing, and what can never come is told instead of waited for."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.harness.virtual import run_virtual


def test_an_hour_of_sleep_costs_nothing_and_the_clock_says_so() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - begun

    began = time.monotonic()
    assert run_virtual(main()) == pytest.approx(3600, abs=0.01)
    assert time.monotonic() - began < 1


def test_timers_fire_in_the_order_of_their_times_and_timeouts_work() -> None:
    async def main() -> list[str]:
        said: list[str] = []

        async def say(after: float, word: str) -> None:
            await asyncio.sleep(after)
            said.append(word)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(25):
                await asyncio.gather(say(20, "second"), say(10, "first"), say(30, "never"))
        return said

    assert run_virtual(main()) == ["first", "second"]


def test_what_is_done_in_a_thread_takes_no_time() -> None:
    """Else timers would fire while it is done, or nothing be left to wait for."""

    async def main() -> tuple[int, float]:
        return await asyncio.to_thread(sum, range(5)), asyncio.get_running_loop().time()

    assert run_virtual(main()) == (10, 0)


def test_what_waits_for_nothing_is_an_error() -> None:
    """A test that hangs says nothing; this says that it would."""

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    coroutine = main()
    with pytest.raises(RuntimeError, match="never comes"):
        run_virtual(coroutine)
