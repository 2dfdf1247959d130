"""What the flush approval showed of the backend is so right before users are disturbed, or it is asked for again.

Versions, downloads and dovecot's unit: `unattended-upgrades`, needrestart, a colleague and a clean-up act during a
drain, and between a click and the first command. The configuration has its own, in test_in_place.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.practice.ring.packages import NEW, OLD
from bot.practice.site import CONFIG
from tests.examples import named, pairs
from tests.harness.branches import from_step
from tests.harness.drill import TEXT, Drill, a_run, virtually
from tests.harness.play import RUN
from tests.harness.shown import (
    ONLY_PACKAGES,
    Happens,
    a_move,
    asked,
    evidence,
    hotfix,
    is_disabled,
    is_masked,
    lapses,
    loses_the_new,
    loses_the_old,
    upgrades_itself,
    upgrades_one,
)

ONLY_CONFIG = f"backend-3 config={CONFIG} packages=keep"
RESTART = "backend-3 restart=yes"


UPGRADED = f"dovecot-core is {NEW} now, and was {OLD} when it was shown"
SAID: dict[Happens, str] = {
    upgrades_itself: UPGRADED,
    upgrades_one: f"dovecot-imapd is {NEW} now, and was {OLD} when it was shown",
    loses_the_new: f"the downloaded packages: without dovecot-core={NEW}, dovecot-imapd={NEW}, dovecot-lmtpd={NEW} now,"
    " and all there when it was shown",
    loses_the_old: "the packages of before: no way back for the packages",
    is_disabled: "dovecot is disabled now, and was enabled when it was shown",
    is_masked: "dovecot is masked now, and was loaded when it was shown",
}


@pytest.mark.parametrize("happens", SAID, ids=named)
@from_step("stop-lmtp")
async def test_what_is_not_as_the_approval_showed_it_is_asked_about_again_before_users_are_disturbed(
    play: Drill,
    happens: Happens,
) -> None:
    happens(play)
    await play.asks()
    assert asked(play) == ["approve-flush", "stop-lmtp"]
    assert play.sent("stop-lmtp") == []
    (reason,) = lapses(play)
    assert SAID[happens] in reason
    assert reason in play.thread(fact.ApprovalLapsed)[-1]


@pytest.mark.parametrize(
    ("step", "happens"),
    pairs(["upload-metacache", "move-users", "stop-lmtp"], [upgrades_itself, loses_the_new, is_disabled]),
    ids=named,
)
@virtually
async def test_where_users_are_moved_first_it_is_asked_about_before_they_are(step: str, happens: Happens) -> None:
    async with a_move() as play:
        await play.reaches(step)
        happens(play)
        await play.asks()
        assert asked(play) == ["approve-flush", step]
        assert play.sent(step) == []
        assert SAID[happens] in lapses(play)[0]
        assert await play.ends() == "done"
        assert play.broken() == []


@pytest.mark.parametrize("happens", [upgrades_itself, is_disabled, hotfix], ids=named)
@virtually
async def test_a_restart_is_asked_about_again_as_well(happens: Happens) -> None:
    """It was approved as a restart of what was installed, with the configuration that was there."""
    async with a_run(text=RESTART) as play:
        await play.reaches("stop-lmtp")
        happens(play)
        await play.asks()
        assert asked(play) == ["approve-flush", "stop-lmtp"]
        assert await play.ends() == "done"
        assert play.broken() == []


@pytest.mark.parametrize(
    ("happens", "how"),
    pairs([upgrades_itself, loses_the_old, is_disabled], ["killed", "Slack away", "held"]),
    ids=named,
)
@from_step("stop-lmtp")
async def test_whatever_made_the_approval_old_it_is_asked_about_again(play: Drill, happens: Happens, how: str) -> None:
    if how == "killed":
        play.stop_bot()
    elif how == "Slack away":
        play.slack.go_away()
    else:
        play.fails("stop-lmtp")
        await play.held()
    happens(play)
    await asyncio.sleep(60)
    if how == "killed":
        await play.start_bot()
    elif how == "Slack away":
        play.slack.come_back()
    else:
        await play.retry()
    await play.asks()
    assert asked(play) == ["approve-flush", "stop-lmtp"]
    assert SAID[happens] in lapses(play)[0]


@pytest.mark.parametrize(
    ("step", "happens"),
    pairs(["stop-dovecot", "mask-dovecot", "install-packages"], [upgrades_one, loses_the_new]),
    ids=named,
)
@from_step()
async def test_packages_and_downloads_are_as_shown_up_to_the_installation(
    play: Drill, step: str, happens: Happens
) -> None:
    happens(play)
    await play.asks()
    assert asked(play) == ["approve-flush", step]
    assert SAID[happens] in lapses(play)[0]
    assert await play.ends() == "done"
    assert set(play.backend.packages.installed.values()) == {NEW}
    assert play.broken() == []


@pytest.mark.parametrize("happens", [upgrades_one, loses_the_new], ids=named)
@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@from_step()
async def test_users_who_wait_for_a_stopped_dovecot_come_before_the_question(
    play: Drill, step: str, happens: Happens
) -> None:
    happens(play)
    await play.asks()
    assert asked(play) == ["approve-flush", "mask-dovecot"]
    assert len(play.sent(step)) == 1


@virtually
async def test_packages_that_were_upgraded_meanwhile_are_found_installed_once_that_is_approved() -> None:
    async with a_run(text=ONLY_PACKAGES) as play:
        await play.reaches("stop-lmtp")
        upgrades_itself(play)
        assert await play.ends() == "done"
        assert len(lapses(play)) == 1
        assert play.sent("install-packages") == []
        found = next(one for one in play.facts(fact.StepDone) if one.step == "install-packages")
        assert found.how is fact.How.FOUND


@pytest.mark.parametrize("start", [a_run, a_move])
@virtually
async def test_packages_that_were_upgraded_in_the_drain_are_shown_with_the_question(
    start: Callable[..., AbstractAsyncContextManager[Drill]],
) -> None:
    """There is no approval yet, so nothing lapses and nothing holds: whoever approves sees it."""
    async with start(text=ONLY_PACKAGES) as play:
        await play.reaches("drain")
        upgrades_itself(play)
        await play.asks()
        assert asked(play) == ["approve-flush"]
        assert f"dovecot-core is {NEW} now, and was {OLD} in preflight" in evidence(play)
        assert await play.ends() == "done"
        assert lapses(play) == []
        assert play.sent("install-packages") == []


@from_step("approve-flush")
async def test_the_question_says_which_downloads_are_gone_and_where_they_come_from_then(play: Drill) -> None:
    await play.asks()
    assert "the downloaded packages: all there" in evidence(play)
    loses_the_new(play)
    await play.approve()
    await play.asks()
    gone = f"dovecot-core={NEW}, dovecot-imapd={NEW}, dovecot-lmtpd={NEW}"
    assert f"the downloaded packages: without {gone}; the installation asks the mirror for it" in evidence(play)
    assert await play.ends() == "done"


@from_step("approve-flush")
async def test_the_question_says_that_there_is_no_way_back_once_the_packages_of_before_are_gone(play: Drill) -> None:
    await play.asks()
    loses_the_old(play)
    await play.approve()
    await play.asks()
    assert "no way back for the packages" in evidence(play)


@from_step("stop-lmtp")
async def test_what_differs_after_the_question_has_been_asked_again_is_asked_about_once_more(play: Drill) -> None:
    is_disabled(play)
    await play.asks()
    upgrades_one(play)
    await play.approve()
    await play.asks()
    assert asked(play) == ["approve-flush", "stop-lmtp", "stop-lmtp"]
    assert await play.ends() == "done"


@pytest.mark.parametrize("text", [TEXT, RESTART])
@virtually
async def test_the_units_state_is_the_runs_own_matter_once_users_were_disturbed(text: str) -> None:
    async with a_run(text=text) as play:
        await play.reaches("stop-dovecot")
        is_disabled(play)
        assert await play.ends() == "done"
        assert asked(play) == ["approve-flush"]


@pytest.mark.parametrize("text", [RESTART, ONLY_CONFIG])
@virtually
async def test_where_no_packages_are_installed_their_versions_count_until_users_are_disturbed(text: str) -> None:
    async with a_run(text=text) as play:
        await play.reaches("mask-dovecot")
        upgrades_one(play)
        assert await play.ends() == "done"
        assert asked(play) == ["approve-flush"]


@pytest.mark.parametrize("step", ["drain", "stop-lmtp"])
@from_step()
async def test_a_restart_by_needrestart_changes_nothing_that_was_shown(play: Drill) -> None:
    await play.backend.dovecot_unit.stop()
    play.backend.dovecot_unit.start()
    assert await play.ends() == "done"
    assert asked(play) == ["approve-flush"]


@pytest.mark.parametrize("start", [a_run, a_move])
@virtually
async def test_a_flush_unit_that_is_disabled_after_the_approval_holds_the_run_before_users_are_moved(
    start: Callable[..., AbstractAsyncContextManager[Drill]],
) -> None:
    """Nobody can approve that away: without it, the stop is no flush, and mail flags are lost."""
    async with start() as play:
        await play.reaches("approve-flush")
        await play.asks()
        play.backend.units["dovecot-metacache-flush"].active = "inactive"
        play.backend.units["dovecot-metacache-flush"].file_state = "disabled"
        await play.approve()
        run = await play.held()
        assert "dovecot-metacache-flush is inactive (success, disabled)" in run.reason
        assert play.began("director flush") == []
        play.backend.units["dovecot-metacache-flush"].active = "active"
        play.backend.units["dovecot-metacache-flush"].file_state = "enabled"
        await play.retry()
        assert await play.ends() == "done"
        assert asked(play) == ["approve-flush"]


@from_step("stop-lmtp")
async def test_an_approval_of_an_older_version_is_held_against_what_it_showed_and_no_more(play: Drill) -> None:
    play.stop_bot()
    play.journal.facts[RUN] = [as_written_then(entry) for entry in play.journal.facts[RUN]]
    play.reader._run = None
    upgrades_one(play)
    is_disabled(play)
    await play.start_bot()
    assert await play.ends() == "done"
    assert asked(play) == ["approve-flush"]


def as_written_then(entry: Entry) -> Entry:
    if not isinstance(entry.fact, fact.ApprovalAsked) or entry.fact.gate is not Gate.FLUSH:
        return entry
    shown = {"in_place": entry.fact.verified["in_place"]}
    return replace(entry, fact=replace(entry.fact, verified=shown))
