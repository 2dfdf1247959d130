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

from bot.core.hosts.inventory import TakeDown
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.practice.ring.packages import NAMES, NEW, OLD
from bot.practice.scene import CONFIG, PACKAGES
from tests.harness.drill import TEXT, Drill, a_run, virtually
from tests.harness.play import RUN

ONLY_PACKAGES = f"backend-3 config=keep packages={PACKAGES}"
ONLY_CONFIG = f"backend-3 config={CONFIG} packages=keep"
RESTART = "backend-3 restart=yes"
FOLDER = f"/var/cache/dovecot-bot/{RUN}"
HOTFIX = "conf.d/99-hotfix.conf"


def a_move(text: str = TEXT) -> AbstractAsyncContextManager[Drill]:
    return a_run(text=text, take_down=TakeDown.MOVE_FIRST)


def asked(play: Drill) -> list[str]:
    return [one.step for one in play.facts(fact.ApprovalAsked) if one.gate is Gate.FLUSH]


def lapses(play: Drill) -> list[str]:
    return [one.reason for one in play.facts(fact.ApprovalLapsed)]


def evidence(play: Drill) -> str:
    """Of the last question."""
    return "\n".join(play.facts(fact.ApprovalAsked)[-1].evidence)


# what happens on the host meanwhile


def upgrades_itself(play: Drill) -> None:
    """`unattended-upgrades` brings all of Dovecot's packages to just the versions that the run wants."""
    play.backend.packages.installed |= dict.fromkeys(NAMES, NEW)


def upgrades_one(play: Drill) -> None:
    play.backend.packages.installed["dovecot-imapd"] = NEW


def downloads(play: Drill, version: str) -> list[str]:
    marked = version.replace(":", "%3a")
    return [path for path, _ in play.backend.disk.tree(FOLDER) if marked in path]


def loses_the_new(play: Drill) -> None:
    """Somebody's clean-up of /var/cache."""
    for path in downloads(play, NEW):
        play.backend.disk.remove(path)


def loses_the_old(play: Drill) -> None:
    for path in downloads(play, OLD):
        play.backend.disk.remove(path)


def is_disabled(play: Drill) -> None:
    play.backend.dovecot_unit.file_state = "disabled"


def is_masked(play: Drill) -> None:
    """Masked while it runs, it would be killed instead of stopped."""
    play.backend.dovecot_unit.masked = True


def hotfix(play: Drill) -> None:
    play.backend.disk.write(f"/etc/dovecot/{HOTFIX}", "mail_max_userip_connections = 5\n")


Happens = Callable[[Drill], None]
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


@pytest.mark.parametrize("happens", SAID, ids=lambda one: one.__name__)
@virtually
async def test_what_is_not_as_the_approval_showed_it_is_asked_about_again_before_users_are_disturbed(
    happens: Happens,
) -> None:
    async with a_run() as play:
        await play.reaches("stop-lmtp")
        happens(play)
        await play.asks()
        assert asked(play) == ["approve-flush", "stop-lmtp"]
        assert play.sent("stop-lmtp") == []
        (reason,) = lapses(play)
        assert SAID[happens] in reason
        assert reason in play.thread(fact.ApprovalLapsed)[-1]


@pytest.mark.parametrize("happens", [upgrades_itself, loses_the_new, is_disabled], ids=lambda one: one.__name__)
@pytest.mark.parametrize("step", ["upload-metacache", "move-users", "stop-lmtp"])
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


@pytest.mark.parametrize("happens", [upgrades_itself, is_disabled, hotfix], ids=lambda one: one.__name__)
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


@pytest.mark.parametrize("how", ["killed", "Slack away", "held"])
@pytest.mark.parametrize("happens", [upgrades_itself, loses_the_old, is_disabled], ids=lambda one: one.__name__)
@virtually
async def test_whatever_made_the_approval_old_it_is_asked_about_again(happens: Happens, how: str) -> None:
    async with a_run() as play:
        await play.reaches("stop-lmtp")
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


@pytest.mark.parametrize("happens", [upgrades_one, loses_the_new], ids=lambda one: one.__name__)
@pytest.mark.parametrize("step", ["stop-dovecot", "mask-dovecot", "install-packages"])
@virtually
async def test_packages_and_downloads_are_as_shown_up_to_the_installation(step: str, happens: Happens) -> None:
    async with a_run() as play:
        await play.reaches(step)
        happens(play)
        await play.asks()
        assert asked(play) == ["approve-flush", step]
        assert SAID[happens] in lapses(play)[0]
        assert await play.ends() == "done"
        assert set(play.backend.packages.installed.values()) == {NEW}
        assert play.broken() == []


@pytest.mark.parametrize("happens", [upgrades_one, loses_the_new], ids=lambda one: one.__name__)
@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@virtually
async def test_users_who_wait_for_a_stopped_dovecot_come_before_the_question(step: str, happens: Happens) -> None:
    async with a_run() as play:
        await play.reaches(step)
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


@virtually
async def test_the_question_says_which_downloads_are_gone_and_where_they_come_from_then() -> None:
    async with a_run() as play:
        await play.asks()
        assert "the downloaded packages: all there" in evidence(play)
        loses_the_new(play)
        await play.approve()
        await play.asks()
        gone = f"dovecot-core={NEW}, dovecot-imapd={NEW}, dovecot-lmtpd={NEW}"
        assert f"the downloaded packages: without {gone}; the installation asks the mirror for it" in evidence(play)
        assert await play.ends() == "done"


@virtually
async def test_the_question_says_that_there_is_no_way_back_once_the_packages_of_before_are_gone() -> None:
    async with a_run() as play:
        await play.asks()
        loses_the_old(play)
        await play.approve()
        await play.asks()
        assert "no way back for the packages" in evidence(play)


@virtually
async def test_what_differs_after_the_question_has_been_asked_again_is_asked_about_once_more() -> None:
    async with a_run() as play:
        await play.reaches("stop-lmtp")
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
@virtually
async def test_a_restart_by_needrestart_changes_nothing_that_was_shown(step: str) -> None:
    async with a_run() as play:
        await play.reaches(step)
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


@virtually
async def test_an_approval_of_an_older_version_is_held_against_what_it_showed_and_no_more() -> None:
    async with a_run() as play:
        await play.reaches("stop-lmtp")
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


# what would keep the packages from being installed


def is_locked(play: Drill) -> None:
    play.backend.packages.locked_by = "unattended-upgr"


def is_interrupted(play: Drill) -> None:
    play.backend.packages.interrupted = True


def fills(path: str) -> Happens:
    def fills_it(play: Drill) -> None:
        play.backend.packages.free[path] = 5

    fills_it.__name__ = f"fills {path}"
    return fills_it


KEEPS: dict[Happens, str] = {
    is_locked: "It is held by process 4711",
    is_interrupted: "dpkg was interrupted",
    **{fills(path): f"{path} free mib is 5" for path in ("/var", "/usr", "/boot")},
}


@pytest.mark.parametrize("keeps", KEEPS, ids=lambda one: one.__name__)
@virtually
async def test_what_would_keep_packages_from_being_installed_is_seen_when_it_is_asked(keeps: Happens) -> None:
    """It came during the drain. The run holds while the backend serves, and goes on once it is mended."""
    async with a_run() as play:
        await play.reaches("drain")
        keeps(play)
        run = await play.held()
        assert KEEPS[keeps] in run.reason
        assert asked(play) == []
        packages = play.backend.packages
        packages.locked_by, packages.interrupted = "", False
        packages.free |= dict.fromkeys(packages.free, 5_000)
        await play.retry()
        assert await play.ends() == "done"


@pytest.mark.parametrize("start", [a_run, a_move])
@pytest.mark.parametrize("keeps", KEEPS, ids=lambda one: one.__name__)
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


@virtually
async def test_a_lock_that_is_held_for_a_minute_is_waited_for_before_it_is_asked() -> None:
    """apt's daily job takes that long, and nobody is to be called for it."""
    async with a_run() as play:
        await play.reaches("count-mapped-users")
        locks_for(60, play)
        await play.asks()
        assert await play.ends() == "done"
        assert asked(play) == ["approve-flush"]


def locks_for(seconds: int, play: Drill) -> None:
    is_locked(play)
    asyncio.get_running_loop().call_later(seconds, setattr, play.backend.packages, "locked_by", "")


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
