"""What the metacache has in it before it is emptied: what is mounted there, and a folder for each of many users."""

from __future__ import annotations

import pytest

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.ring.fixtures import MOUNTS, VMAIL
from tests.harness.branches import from_step
from tests.harness.drill import Drill


def bound_into_the_metacache(play: Drill) -> None:
    disk = play.backend.disk
    before = (disk.read(MOUNTS) or b"").decode()
    disk.write(MOUNTS, f"{before}23 22 8:1 /srv/mail {VMAIL}/shared\\040mail rw shared:1 - ext4 /dev/sda1 rw\n")


@from_step("one-backend-at-a-time")
async def test_what_is_mounted_into_the_metacache_refuses_a_run_before_anybody_is_disturbed(play: Drill) -> None:
    bound_into_the_metacache(play)
    run = await play.until(lambda run: run.status is Status.ENDED)
    assert run.outcome is fact.Outcome.REFUSED
    assert f"below is {VMAIL}/shared mail" in run.reason


@from_step("remove-old-metacache-database")
async def test_what_was_mounted_into_it_since_holds_the_run_before_it_is_emptied(play: Drill) -> None:
    bound_into_the_metacache(play)
    run = await play.held()
    assert run.step is not None
    assert run.step.name == "clean-metacache"
    assert f"below is {VMAIL}/shared mail" in run.reason
    assert play.sent("clean-metacache") == []


def filled(play: Drill) -> None:
    """What find says of it is more than usual commands print."""
    for number in range(2_000):
        play.backend.disk.write(f"{VMAIL}/user-{number:05}@example.org/dovecot.index", b"\0", mode=0o600)


@pytest.mark.parametrize("step", ["one-backend-at-a-time", "stop-lmtp"])
@from_step()
async def test_a_metacache_of_two_thousand_users_is_emptied(play: Drill) -> None:
    """Whether it is there, and empty, is all that is wanted of it; it may grow after preflight."""
    filled(play)
    assert await play.ends() == "done"
