"""What would keep the packages from being installed is seen before anything stops, and a lock of dpkg is waited for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from bot.core.runs import events as fact
from tests.examples import named, pairs
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.shown import (
    ONLY_PACKAGES,
    Happens,
    a_move,
    asked,
    evidence,
    fills,
    is_interrupted,
    is_locked,
    lapses,
    locks_for,
)

KEEPS: dict[Happens, str] = {
    is_locked: "It is held by process 4711",
    is_interrupted: "dpkg was interrupted",
    **{fills(path): f"{path} free mib is 5" for path in ("/var", "/usr", "/boot")},
}


@pytest.mark.parametrize("keeps", KEEPS, ids=named)
@from_step("drain")
async def test_what_would_keep_packages_from_being_installed_is_seen_when_it_is_asked(
    play: Drill, keeps: Happens
) -> None:
    """It came during the drain. The run holds while the backend serves, and goes on once it is mended."""
    keeps(play)
    run = await play.held()
    assert KEEPS[keeps] in run.reason
    assert asked(play) == []
    packages = play.backend.packages
    packages.locked_by, packages.interrupted = "", False
    packages.free |= dict.fromkeys(packages.free, 5_000)
    await play.retry()
    assert await play.ends() == "done"


@pytest.mark.parametrize(("keeps", "start"), pairs([*KEEPS], [a_run, a_move]), ids=named)
@virtually
async def test_what_would_keep_packages_from_being_installed_is_asked_about_before_anything_stops(
    keeps: Happens, start: Callable[..., AbstractAsyncContextManager[Drill]]
) -> None:
    async with start() as play:
        await play.asks()
        keeps(play)
        await play.approve()
        await play.asks()
        assert len(asked(play)) == 2
        assert KEEPS[keeps] in lapses(play)[0]
        assert KEEPS[keeps] in evidence(play)
        assert play.began("director flush") == []
        assert play.began("service stop lmtp") == []


@from_step("count-mapped-users")
async def test_a_lock_that_is_held_for_a_minute_is_waited_for_before_it_is_asked(play: Drill) -> None:
    """apt's daily job takes that long, and nobody is to be called for it."""
    locks_for(60, play)
    await play.asks()
    assert await play.ends() == "done"
    assert asked(play) == ["approve-flush"]


@pytest.mark.parametrize("step", ["download-packages", "download-packages-of-before", "install-packages"])
@virtually
async def test_a_lock_that_comes_after_the_last_look_is_waited_for_by_the_command_itself(step: str) -> None:
    """Refused at once, a download would take the way back with it, and an installation would leave the backend out."""
    async with a_run(text=ONLY_PACKAGES) as play:
        await play.reaches(step)
        locks_for(60, play)
        await play.asks()
        assert await play.ends() == "done"
        assert len(play.sent(step)) == 1
        assert "the packages of before: there" in play.facts(fact.ApprovalAsked)[0].evidence


@virtually
async def test_a_lock_that_is_held_for_longer_than_the_installation_waits_holds_the_run_and_is_named() -> None:
    async with a_run(text=ONLY_PACKAGES) as play:
        await play.reaches("install-packages")
        locks_for(180, play)
        run = await play.held()
        assert run.step is not None
        assert run.step.name == "install-packages"
        assert "Unable to acquire the dpkg frontend lock" in run.reason
        await play.retry()
        assert await play.ends() == "done"


@from_step("approve-flush")
async def test_of_two_things_that_keep_packages_from_being_installed_the_first_that_was_checked_is_told(
    play: Drill,
) -> None:
    """They are looked at side by side; an interrupted dpkg is waited for longer than an offer that was withdrawn."""
    await play.asks()
    is_interrupted(play)
    play.backend.packages.offered["dovecot-core"].pop()
    await play.approve()
    await play.asks()
    assert "dpkg was interrupted" in lapses(play)[0]
    assert "missing is dovecot-core" in evidence(play)
