"""What a question says of packages: how old the lists are, who waits how long, what there is to go back to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from bot.core import events as fact
from bot.practice.packages import LISTS, OLD
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import now
from tests.harness.test_as_shown import loses_the_old

LIST = f"{LISTS}/deb.example_debian_dists_bookworm_InRelease"


def question(play: Drill) -> str:
    return play.thread(fact.ApprovalAsked)[-1]


def is_old(play: Drill) -> None:
    node = play.backend.disk.look(LIST)
    assert node is not None
    node.changed = now() - timedelta(hours=49)  # type: ignore[union-attr]


def is_gone(play: Drill) -> None:
    play.backend.disk.remove(LIST)


@virtually
async def test_the_age_of_the_package_lists_stands_on_the_approval() -> None:
    async with a_run() as play:
        await play.asks()
        assert "*Evidence* backend-3: package lists less than an hour old" in question(play)
        assert "*Alarm*" not in question(play)


ALARMS: dict[Callable[[Drill], None], str] = {
    is_old: "backend-3: old package lists: 49 hours old, and less than 24 are usual",
    is_gone: "backend-3: no package lists, so apt offers nothing",
    loses_the_old: f"the packages of before: no way back for the packages: dovecot-core={OLD},",
}


@pytest.mark.parametrize("happens", ALARMS, ids=lambda one: one.__name__)
@virtually
async def test_what_who_approves_must_not_overlook_is_marked(happens: Callable[[Drill], None]) -> None:
    async with a_run() as play:
        await play.reaches("drain")
        happens(play)
        await play.asks()
        assert f":warning: *Alarm* {ALARMS[happens]}" in question(play)


@virtually
async def test_the_question_says_how_long_the_installation_waits_for_dpkgs_lock() -> None:
    async with a_run() as play:
        await play.asks()
        assert "*Waits* up to 2 min for dpkg's lock, where another program holds it" in question(play)
        await play.approve()
        await play.reaches("approve-restore")
        await play.asks()
        assert "dpkg's lock" not in question(play)
