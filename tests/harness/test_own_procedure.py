"""A site's own steps in the shipped procedure: the laws hold what they hold without them."""

from __future__ import annotations

import asyncio
import functools

from bot.core.hosts.inventory import TakeDown
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from tests.harness.drill import a_run, virtually
from tests.harness.test_move import comes_back, was_moved_again
from tests.own import Table, loaded, stops_another_service, with_own

before_the_move = functools.partial(stops_another_service, before="upload-metacache")
before_the_stop = functools.partial(stops_another_service, before="ring-is-still-whole")


@virtually
async def test_users_who_come_back_are_moved_again_though_another_service_was_stopped_before_them() -> None:
    """Puppet is stopped first: nobody waits for it, and the stop of dovecot is held to all that it is without that."""
    own = with_own(loaded(before_the_move))
    async with a_run(own, take_down=TakeDown.MOVE_FIRST) as play:
        await play.asks()
        (asked,) = play.thread(fact.ApprovalAsked)
        assert "order move-first" in asked
        await play.reaches("stop-lmtp")
        comes_back(play)
        assert await play.ends() == "done"
        was_moved_again(play)


def lmtp_before_the_move(table: Table) -> None:
    """As the runbook has it: LMTP first, to keep the metacache still while it is uploaded."""
    table.move_before("upload-metacache", "stop-lmtp")


@virtually
async def test_users_who_come_back_are_moved_again_though_lmtp_was_stopped_before_them() -> None:
    """Their sessions are served until dovecot is stopped."""
    own = with_own(loaded(lmtp_before_the_move))
    async with a_run(own, take_down=TakeDown.MOVE_FIRST) as play:
        await play.asks()
        (asked,) = play.thread(fact.ApprovalAsked)
        assert "order move-first" in asked
        await play.reaches("stop-dovecot")
        comes_back(play)
        assert await play.ends() == "done"
        assert len(play.facts(fact.UsersCameBack)) == 1
        assert play.backend.ip not in play.began("systemctl stop dovecot")[0].moment.mapped


@virtually
async def test_nothing_stops_where_too_few_others_are_left_though_another_service_was_stopped_before() -> None:
    async with a_run(with_own(loaded(before_the_stop))) as play:
        await play.reaches("stop-lmtp")
        play.others_out("backend-1")
        await play.held()
        assert (play.began("service stop lmtp"), play.began("systemctl stop dovecot")) == ([], [])


def installs_while_it_runs(table: Table) -> None:
    """As Debian does it: the packages are installed, and dovecot starts anew by that."""
    table.move_before("ring-is-still-whole", "install-packages")
    step = table.step("install-packages")
    step["done_when"] = step["done_when"][:1]
    step["undo"]["done_when"] = step["undo"]["done_when"][:1]


@virtually
async def test_packages_are_installed_on_a_dovecot_that_runs_where_it_could_be_stopped_and_only_there() -> None:
    """Their scripts start it anew, and cut whoever is there."""
    async with a_run(with_own(loaded(installs_while_it_runs))) as play:
        await play.reaches("install-packages")
        play.others_out("backend-1")
        held = await play.held_in_the_end()
        assert held.step is not None
        assert (held.step.name, play.sent("install-packages")) == ("install-packages", [])


def stops_nothing(table: Table) -> None:
    """The same, and nothing but that."""
    installs_while_it_runs(table)
    table.leave_out("stop-lmtp", "stop-dovecot", "stop-was-clean", "mask-dovecot", "unmask-dovecot", "start-dovecot")
    table.leave_out("flush-users", "remove-old-metacache-database", "clean-metacache")


@virtually
async def test_an_approval_of_an_installation_that_starts_dovecot_anew_says_whom_that_cuts() -> None:
    async with a_run(with_own(loaded(stops_nothing))) as play:
        await play.asks()
        (asked,) = play.thread(fact.ApprovalAsked)
        assert "backend-3 stops with 2 users mapped to it" in asked


def the_drain_waits_for_nobody(table: Table) -> None:
    table.stage("drain")["uninterrupted"] = True


@virtually
async def test_whoever_asks_to_go_back_in_a_drain_that_waits_for_nobody_is_not_asked_to_approve_the_stop() -> None:
    """A wait and a question are safe points, whatever their stage says."""
    async with a_run(with_own(loaded(the_drain_waits_for_nobody))) as play:
        await play.reaches("drain")
        await asyncio.sleep(20)
        await play.go_back()
        assert await play.ends() == "went back"
        assert Gate.FLUSH not in {one.gate for one in play.facts(fact.ApprovalAsked)}


def waits_in_the_take_down(table: Table) -> None:
    wait = {"step": "settle", "says": "Let LMTP come to its end", "because": "it may deliver still", "wait": "30s"}
    table.before("stop-dovecot", wait)


@virtually
async def test_a_wait_in_the_take_down_is_no_place_to_go_back_from_once_something_is_stopped() -> None:
    """Users come first, as without the wait."""
    async with a_run(with_own(loaded(waits_in_the_take_down))) as play:
        await play.reaches("settle")
        await asyncio.sleep(10)
        await play.go_back()
        assert await play.ends() == "went back"
        assert len(play.began("director flush")) == 1


@virtually
async def test_an_approval_says_how_long_users_wait_where_nothing_moves_them() -> None:
    """A procedure that only starts dovecot again."""

    def not_moved(table: Table) -> None:
        table.leave_out("flush-users")

    async with a_run(with_own(loaded(not_moved)), text="backend-3 restart=yes") as play:
        await play.asks()
        (asked,) = play.thread(fact.ApprovalAsked)
        assert "fail a login until dovecot is started again" in asked
        assert "until they are moved" not in asked
