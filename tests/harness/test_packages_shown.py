"""What a question says of packages: how old the lists are, who waits how long, what there is to go back to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.machine.files import File
from bot.practice.ring.packages import LISTS, NAMES, NEW, OLD
from tests.examples import named
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import now
from tests.harness.shown import (
    NEWER,
    fills,
    is_interrupted,
    is_locked,
    is_upgraded_further,
    loses_the_old,
    upgrades_itself,
    upgrades_one,
)

LIST = f"{LISTS}/deb.example_debian_dists_bookworm_InRelease"


def question(play: Drill) -> str:
    return play.thread(fact.ApprovalAsked)[-1]


def is_old(play: Drill, hours: int = 49) -> None:
    node = play.backend.disk.look(LIST)
    assert isinstance(node, File)
    node.changed = now() - timedelta(hours=hours)


def is_gone(play: Drill) -> None:
    play.backend.disk.remove(LIST)


@from_step("approve-flush")
async def test_the_age_of_the_package_lists_stands_on_the_approval(play: Drill) -> None:
    await play.asks()
    assert "*Evidence* backend-3: package lists less than an hour old" in question(play)
    assert ":warning: old package lists" not in question(play)


ALARMS: dict[Callable[[Drill], None], str] = {
    is_old: "old package lists: 49 hours old, and less than 24 are usual",
    is_gone: "no package lists, so apt offers nothing",
    loses_the_old: f"the packages of before: no way back for the packages: dovecot-core={OLD},",
    upgrades_itself: f"dovecot-core and 2 more: {NEW} now, and {OLD} in preflight",
    is_upgraded_further: f"dovecot-core: {NEWER} → {NEW}",
}


@pytest.mark.parametrize("happens", ALARMS, ids=named)
@from_step("drain")
async def test_what_who_approves_must_not_overlook_is_marked(play: Drill, happens: Callable[[Drill], None]) -> None:
    happens(play)
    await play.asks()
    assert f":warning: {ALARMS[happens]}" in question(play)


@from_step("drain")
async def test_what_the_run_brings_is_said_of_the_versions_that_are_installed_now(play: Drill) -> None:
    """Of those that it was planned from, once: a version that would go down again looked like an upgrade."""
    upgrades_one(play)
    await play.asks()
    lines = play.facts(fact.ApprovalAsked)[-1].brief
    assert f"dovecot-core and 1 more: {OLD} → {NEW}" in lines
    assert f"dovecot-imapd: {NEW} already" in lines
    await play.reaches("set-vhosts-back")
    play.backend.disk.write("/etc/dovecot/local.conf", "# by Puppet\n")
    await play.asks()
    again = play.facts(fact.ApprovalAsked)[-1]
    assert (again.gate, again.step) == (Gate.RESTORE, "set-vhosts-back")
    assert f"dovecot-imapd: {NEW} already" in again.brief


@from_step("approve-flush")
async def test_the_question_says_how_long_the_installation_waits_for_dpkgs_lock(play: Drill) -> None:
    await play.asks()
    assert "*Waits* up to 2 min for dpkg's lock, where another program holds it" in question(play)
    await play.approve()
    await play.reaches("approve-restore")
    await play.asks()
    assert "dpkg's lock" not in question(play)


@virtually
async def test_the_settings_say_from_which_age_on_lists_are_old() -> None:
    def spoil(play: Drill) -> None:
        play.timings = replace(play.timings, lists_old=timedelta(hours=6))
        is_old(play, hours=7)

    async with a_run(spoil=spoil) as play:
        await play.asks()
        assert ":warning: old package lists: 7 hours old, and less than 6 are usual" in question(play)


def is_held(play: Drill) -> None:
    play.backend.packages.held = set(NAMES)


def has_no_mirror(play: Drill) -> None:
    play.backend.packages.mirror_away = True


REFUSED: dict[Callable[[Drill], None], tuple[str, str]] = {
    is_locked: ("packages-can-be-installed", "It is held by process 4711"),
    is_interrupted: ("packages-can-be-installed", "dpkg was interrupted"),
    fills("/var"): ("packages-can-be-installed", "/var free mib is 5, expected at least 200"),
    fills("/usr"): ("packages-can-be-installed", "/usr free mib is 5, expected at least 200"),
    fills("/boot"): ("packages-can-be-installed", "/boot free mib is 5, expected at least 20"),
    is_held: ("packages-are-offered", "refused is"),
    has_no_mirror: ("download-packages", ""),
}


@pytest.mark.parametrize("happens", REFUSED, ids=named)
@virtually
async def test_what_would_keep_packages_from_being_installed_refuses_the_run(happens: Callable[[Drill], None]) -> None:
    """Each was found out with dovecot stopped, once."""
    step, why = REFUSED[happens]
    async with a_run(spoil=happens) as play:
        run = await play.until(lambda run: run.status is Status.ENDED)
        assert run.outcome is fact.Outcome.REFUSED
        (failed,) = play.facts(fact.StepFailed)
        assert failed.step == step
        assert why in failed.reason
        assert play.sent("set-vhosts-to-zero") == []
