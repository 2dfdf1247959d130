"""Alarms: the same promises of the fake and of APScheduler. Early never; twice or late perhaps; lost never."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.adapters.alarms import ApsAlarms
from bot.adapters.clock import SystemClock
from bot.engine.ports import Alarms, Clock
from tests.fakes import FakeAlarms, FakeClock
from tests.patience import SECONDS

SOON = timedelta(milliseconds=50)
LONG_AGO = timedelta(days=3)


class Heard:
    """For whom it fired, and when; `until` returns once that many have been."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.fired: list[tuple[str, datetime]] = []
        self._more = asyncio.Condition()

    async def __call__(self, run: str) -> None:
        self.fired.append((run, self._clock.now()))
        async with self._more:
            self._more.notify_all()

    async def until(self, count: int) -> list[str]:
        async with asyncio.timeout(SECONDS), self._more:
            await self._more.wait_for(lambda: len(self.fired) >= count)
        return [run for run, _ in self.fired]


class FakeSide:
    """The fake, moved by hand."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.alarms = FakeAlarms(self.clock)
        self.heard = Heard(self.clock)
        self.alarms.on_due(self.heard)

    async def heard_of(self, count: int) -> list[str]:
        self.clock.advance(SOON)
        await self.alarms.fire_due()
        return await self.heard.until(count)


class RealSide:
    """APScheduler, which moves by itself."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.alarms = ApsAlarms(SystemClock())
        self.heard = Heard(self.clock)
        self.alarms.on_due(self.heard)

    async def heard_of(self, count: int) -> list[str]:
        return await self.heard.until(count)


@pytest.fixture(params=["fake", "real"])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[FakeSide | RealSide]:
    if request.param == "fake":
        yield FakeSide()
        return
    real = RealSide()
    real.alarms.start()
    yield real
    await real.alarms.stop()


async def test_it_fires_with_the_runs_id_and_not_before_its_date(side: FakeSide | RealSide) -> None:
    at = side.clock.now() + SOON
    side.alarms.set("run-1", at)
    assert await side.heard_of(1) == ["run-1"]
    assert side.heard.fired[0][1] >= at


async def test_a_date_long_over_fires_all_the_same(side: FakeSide | RealSide) -> None:
    """After an outage every date is in the past; APScheduler's own default would drop them all."""
    for run in ("run-1", "run-2", "run-3"):
        side.alarms.set(run, side.clock.now() - LONG_AGO)
    assert sorted(await side.heard_of(3)) == ["run-1", "run-2", "run-3"]


async def test_a_new_date_takes_the_place_of_the_old(side: FakeSide | RealSide) -> None:
    side.alarms.set("run-1", side.clock.now() + LONG_AGO)
    side.alarms.set("run-1", side.clock.now() + SOON)
    assert await side.heard_of(1) == ["run-1"]


async def test_a_later_date_takes_the_place_of_an_earlier(side: FakeSide | RealSide) -> None:
    side.alarms.set("run-1", side.clock.now() + SOON / 2)
    side.alarms.set("run-1", side.clock.now() + LONG_AGO)
    side.alarms.set("run-2", side.clock.now() + SOON)
    assert await side.heard_of(1) == ["run-2"]


async def test_a_cleared_alarm_does_not_fire(side: FakeSide | RealSide) -> None:
    side.alarms.set("run-1", side.clock.now() + SOON / 2)
    side.alarms.clear("run-1")
    side.alarms.set("run-2", side.clock.now() + SOON)
    assert await side.heard_of(1) == ["run-2"]


async def test_clearing_what_was_never_set_is_nothing(side: FakeSide | RealSide) -> None:
    side.alarms.clear("run-1")


async def test_one_that_has_fired_can_be_set_again(side: FakeSide | RealSide) -> None:
    side.alarms.set("run-1", side.clock.now())
    await side.heard_of(1)
    side.alarms.set("run-1", side.clock.now())
    assert await side.heard_of(2) == ["run-1", "run-1"]


# of the real ones only


@pytest.fixture
async def alarms() -> AsyncIterator[ApsAlarms]:
    alarms = ApsAlarms(SystemClock())
    yield alarms
    await alarms.stop()


def now() -> datetime:
    return datetime.now(UTC)


async def test_what_was_set_before_the_start_fires_after_it(alarms: ApsAlarms) -> None:
    heard = Heard(SystemClock())
    alarms.on_due(heard)
    alarms.set("run-1", now() - LONG_AGO)
    alarms.start()
    assert await heard.until(1) == ["run-1"]


async def test_an_alarm_whose_answer_fails_is_logged_and_the_next_one_fires(
    alarms: ApsAlarms, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard(SystemClock())

    async def fails_once(run: str) -> None:
        await heard(run)
        if run == "run-1":
            raise RuntimeError("the journal is away")

    alarms.on_due(fails_once)
    alarms.start()
    alarms.set("run-1", now())
    await heard.until(1)
    alarms.set("run-2", now())
    assert await heard.until(2) == ["run-1", "run-2"]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == ["the alarm of run run-1 fired, and what it called failed"]
    assert errors[0].exc_info is not None
    assert "the journal is away" in str(errors[0].exc_info[1])


async def test_an_alarm_that_nobody_listens_to_is_logged(alarms: ApsAlarms, caplog: pytest.LogCaptureFixture) -> None:
    alarms.start()
    alarms.set("run-1", now() - LONG_AGO)
    async with asyncio.timeout(SECONDS):
        await _logged(caplog)
    assert "run-1 fired and nobody listens" in caplog.text


async def _logged(caplog: pytest.LogCaptureFixture) -> None:
    """Returns at the next record of the alarms."""
    arrived = asyncio.Event()

    class Handler(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            arrived.set()

    handler = Handler()
    logging.getLogger("bot.adapters.alarms").addHandler(handler)
    if not caplog.records:
        await arrived.wait()
    logging.getLogger("bot.adapters.alarms").removeHandler(handler)


async def test_a_date_that_comes_while_the_last_alarm_is_still_being_answered_fires_too(alarms: ApsAlarms) -> None:
    """APScheduler drops it (max_instances) if the answer runs inside its job; the run would then stand for ever."""
    heard, finish = Heard(SystemClock()), asyncio.Event()

    async def slow(run: str) -> None:
        await heard(run)
        await finish.wait()

    alarms.on_due(slow)
    alarms.start()
    for count in (1, 2, 3):
        alarms.set("run-1", now())
        await heard.until(count)
    finish.set()


async def test_many_dates_in_one_instant_all_fire(alarms: ApsAlarms, caplog: pytest.LogCaptureFixture) -> None:
    """With max_instances=1, APScheduler drops a date that comes before the last alarm's job is counted out."""
    heard = Heard(SystemClock())

    async def set_often() -> None:
        for _ in range(50):
            alarms.set("run-1", now())
            await asyncio.sleep(0)

    alarms.on_due(heard)
    alarms.start()
    await asyncio.gather(set_often(), set_often(), set_often())
    alarms.set("run-2", now())
    await heard.until(len(heard.fired) + 1)
    assert "skipped" not in caplog.text


async def test_stopping_ends_what_an_alarm_began_and_none_fires_after_it(alarms: ApsAlarms) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def endless(_run: str) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    alarms.on_due(endless)
    alarms.start()
    alarms.set("run-1", now())
    await began.wait()
    await alarms.stop()
    assert ended.is_set()
    alarms.set("run-2", now())


def both(clock: Clock) -> tuple[Alarms, Alarms]:
    """What the type checker is to see."""
    return ApsAlarms(SystemClock()), FakeAlarms(clock)
