"""Ends that are not heard, on a real ring: a director that hangs costs seconds, and a stop is never sent twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.practice.scene import Scene
from tests.acceptance.practice import facts
from tests.acceptance.realring import (
    FLUSH_UNIT,
    at_work,
    lab_for_users,
    log_users_in,
    mapped,
    outcome_as_users_come,
    put_back,
)
from tests.lab import Lab, wait_for
from tests.lab.said import SSH_LOG
from tests.patience import SECONDS

A_SECOND = timedelta(seconds=1)
LATER_THAN_ALL_IS_WELL = 15.0
"""Half of the time that a director takes to give another one up, in seconds."""

STOP, IS_IT_LOCKED = "systemctl stop dovecot", 'flock -n -E 94 "$HOME/.dovecot-bot-$0.lock" true; echo'
GO = "/run/go"
GOES_ON = "pkill -CONT --exact director || true"
STOP_WAITS = f"""
mkdir /etc/systemd/system/{FLUSH_UNIT}.service.d
printf '[Service]\\nExecStop=/bin/sh -c "until [ -e {GO} ]; do sleep 0.05; done"\\n' \\
    >/etc/systemd/system/{FLUSH_UNIT}.service.d/waits.conf
systemctl daemon-reload
"""
STOP_ENDS = f"touch {GO}"
NOTHING_WAITS = f"systemctl kill {FLUSH_UNIT}; rm -f {GO}"


@pytest.fixture(scope="module")
def module_lab() -> Iterator[Lab]:
    with lab_for_users() as running:
        yield running


@pytest.fixture
async def lab(module_lab: Lab) -> AsyncIterator[Lab]:
    yield module_lab
    await asyncio.to_thread(put_back, module_lab, {"director-2": GOES_ON, "backend-3": NOTHING_WAITS})


@asynccontextmanager
async def stopped_in_its_tracks(lab: Lab) -> AsyncIterator[None]:
    """director-2 takes commands and answers none."""
    await asyncio.to_thread(lab.run, "director-2", "pkill -STOP --exact director", check=True)
    try:
        yield
    finally:
        await asyncio.to_thread(lab.run, "director-2", GOES_ON)


async def until_sent(lab: Lab, host: str, command: str) -> None:
    """Wait until the host was given the command."""
    given = lambda: command in lab.read(host, SSH_LOG)  # noqa: E731
    await asyncio.to_thread(wait_for, f"{host} is given `{command}`", given)


def is_stopped(lab: Lab) -> bool:
    return lab.run("backend-3", "systemctl is-active dovecot").stdout.strip() == "inactive"


async def all_done(scene: Scene) -> list[fact.StepDone]:
    return [entry.fact for entry in await facts(scene) if isinstance(entry.fact, fact.StepDone)]


async def done_of(scene: Scene, step: str) -> fact.StepDone:
    """How the step was seen to be done."""
    (done,) = (one for one in await all_done(scene) if one.step == step)
    return done


async def test_a_director_that_hangs_costs_users_of_a_stopped_backend_seconds_and_not_its_thirty(
    lab: Lab, measured: Callable[[str], None]
) -> None:
    """`director down` takes effect at once, and returns after 30 s. It was waited for, and the flush after it: 46 s."""
    await log_users_in(lab)
    assert await asyncio.to_thread(mapped, lab) > 0
    async with at_work(lab, drain=A_SECOND) as scene:
        await scene.ask("backend-3 restart=yes")
        await until_sent(lab, "backend-3", "systemctl stop dovecot")
        async with stopped_in_its_tracks(lab):
            await asyncio.to_thread(wait_for, "dovecot is stopped", lambda: is_stopped(lab))
            stopped = time.monotonic()
            await asyncio.to_thread(wait_for, "they are moved", lambda: not mapped(lab))
            seconds = time.monotonic() - stopped
            async with asyncio.timeout(SECONDS):
                while "flush-users" not in [done.step for done in await all_done(scene)]:
                    await asyncio.sleep(0.1)
        down = await done_of(scene, "director-down")
    measured(f"users moved {seconds:.1f} s after dovecot had stopped, with a director that hangs")
    assert seconds < LATER_THAN_ALL_IS_WELL
    assert any("its end was not heard" in ran.output for ran in down.ran if ran.changes)


async def test_a_bot_killed_while_dovecot_stops_waits_for_that_stop_behind_its_lock_and_sends_no_second_one(
    lab: Lab,
) -> None:
    """A metacache may take minutes to flush; what the old bot sent goes on, and the new one hears nothing of it."""
    await asyncio.to_thread(lab.run, "backend-3", STOP_WAITS, check=True)
    before = await asyncio.to_thread(given, lab, STOP)
    async with at_work(lab, drain=A_SECOND) as scene:
        await scene.ask("backend-3 restart=yes")
        sent = lambda: given(lab, STOP) > before  # noqa: E731
        await asyncio.to_thread(wait_for, "dovecot is being stopped", sent)
        await scene.kill_bot()
        asked = await asyncio.to_thread(given, lab, IS_IT_LOCKED)
        await scene.start_bot()
        asks = lambda: given(lab, IS_IT_LOCKED) > asked  # noqa: E731
        await asyncio.to_thread(wait_for, "the new bot asks for the lock", asks)
        await asyncio.to_thread(lab.run, "backend-3", STOP_ENDS, check=True)
        assert await outcome_as_users_come(lab, scene) == "done"
        done = await done_of(scene, "stop-dovecot")
    assert await asyncio.to_thread(given, lab, STOP) == before + 1
    assert done.how is fact.How.LOOKED_UP


def given(lab: Lab, command: str) -> int:
    """How often backend-3 was given it."""
    return lab.read("backend-3", SSH_LOG).count(command)
