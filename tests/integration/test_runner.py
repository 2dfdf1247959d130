"""One run's loop, when what it stands on gives way: Slack, people, the journal, a director, the bot's own end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from bot.core.decisions.approval import Person
from bot.core.decisions.decide import GoBack, Retry
from bot.core.hosts.inventory import Inventory
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue
from bot.engine.recovery import recover
from bot.engine.service import Service
from bot.errors import BotError, Illegal, JournalError
from bot.practice.values import Fault
from tests.build import REQUESTER, SECOND, library
from tests.integration.place import QUICK, RUN, Place, a_place
from tests.patience import SECONDS


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with a_place() as made:
        yield made


async def still(place: Place, text: str) -> bool:
    """Whether, after the bot had time for much, no host has run this."""
    seen = len(place.ring.ran("director status"))
    async with asyncio.timeout(SECONDS):
        while len(place.ring.ran("director status")) < seen + 6:  # the watch goes on looking meanwhile
            await asyncio.sleep(0.02)
    return not place.ring.ran(text)


async def restored(place: Place) -> None:
    await place.at("approve-restore")
    await place.approve()
    run = await place.until(lambda run: run.status is Status.ENDED)
    assert run.outcome is fact.Outcome.DONE
    assert place.vhosts() == [100, 100]


async def test_no_stage_begins_before_people_can_see_it(place: Place) -> None:
    await place.until(lambda run: run.status is Status.ASKING)
    place.announcer.go_away()
    await place.approve()
    await place.at("stop-lmtp")
    assert await still(place, "service stop lmtp")
    place.announcer.come_back()
    await restored(place)


async def test_a_take_down_that_has_begun_waits_for_nobody(place: Place) -> None:
    place.ring.backends["backend-3"].dovecot_unit.stop_takes = timedelta(seconds=0.5)
    await place.approve()
    await place.at("stop-dovecot")
    place.announcer.go_away()
    await place.until(lambda run: "flush-users" in run.seen_done)
    assert await still(place, "metacache-users*'")
    place.announcer.come_back()
    await restored(place)


async def test_who_approved_and_cannot_be_looked_up_now_is_waited_for(place: Place) -> None:
    """Slack being away says nothing about a person."""
    known = place.people.known[SECOND]
    await place.until(lambda run: run.status is Status.ASKING)
    place.people.known[SECOND] = Person(
        id=SECOND, may_ask=False, may_approve=False, barred="Slack is away", unsure=True
    )
    await place.approve()
    await place.at("stop-lmtp")
    assert await still(place, "service stop lmtp")
    assert await place.facts(fact.ApprovalLapsed) == []
    place.people.known[SECOND] = known
    await restored(place)


async def test_who_approved_and_may_not_any_more_is_asked_about_again(place: Place) -> None:
    await place.until(lambda run: run.status is Status.ASKING)
    place.people.known[SECOND] = Person(id=SECOND, may_ask=False, may_approve=False, barred="left the company")
    await place.approve()
    await place.until(lambda run: run.status is Status.ASKING and not run.grants)
    (lapsed,) = await place.facts(fact.ApprovalLapsed)
    assert isinstance(lapsed, fact.ApprovalLapsed)
    assert "left the company" in lapsed.reason
    assert not place.ring.ran("service stop lmtp")


@pytest.mark.parametrize("error", [JournalError("the disk is full"), Illegal("an older copy was written over it")])
async def test_a_journal_that_fails_in_the_take_down_is_tried_again_and_nothing_runs_twice(
    place: Place, error: BotError
) -> None:
    place.ring.backends["backend-3"].dovecot_unit.stop_takes = timedelta(seconds=0.5)
    await place.approve()
    await place.until(
        lambda run: run.status is Status.BUSY and run.step is not None and run.step.name == "stop-dovecot"
    )
    place.journal.fails = error
    await restored(place)
    assert len(place.ring.ran("systemctl stop dovecot")) == 1
    ((_, said),) = place.announcer.warned
    assert said == f"This run cannot go on, and will try again: {error}"


async def test_a_bot_that_is_told_to_stop_in_the_take_down_moves_the_users_first(place: Place) -> None:
    """Users of a stopped backend would wait until somebody starts the bot again."""
    place.ring.backends["backend-3"].dovecot_unit.stop_takes = timedelta(seconds=0.5)
    await place.approve()
    await place.at("stop-dovecot")
    await place.service.close()
    assert place.ring.ran("director flush")
    assert not place.ring.ran("metacache-users*'")


@pytest.mark.parametrize(("when", "host"), [("before", "director-2"), ("after", "director-1")])
async def test_a_75_is_looked_up_and_what_was_not_done_is_done_on_another_director(
    place: Place, when: Literal["before", "after"], host: str
) -> None:
    """Dovecot says 75 when nothing was done, and when it was done and not confirmed."""
    place.ring.fault(Fault(matches="director down", when=when, what="exit", exit_status=75))
    await place.approve()
    await restored(place)
    assert [ran.host for ran in place.ring.ran("director down")] == [host]


async def test_a_connection_cut_during_the_stop_is_looked_up_and_not_repeated(place: Place) -> None:
    place.ring.fault(Fault(matches="systemctl stop dovecot", when="during", what="cut"))
    await place.approve()
    await restored(place)
    assert len(place.ring.ran("systemctl stop dovecot")) == 1
    assert len(await place.facts(fact.StepUnclear)) == 1


async def test_a_flush_that_was_never_sent_is_repeated_at_once(place: Place) -> None:
    """Users of the stopped backend wait for it, and the time that a flush may take would be theirs."""
    place.ring.fault(Fault(matches="director flush", when="before", what="cut"))
    await place.approve()
    await place.until(lambda run: "flush-users" in run.seen_done)
    assert len(await place.facts(fact.StepUnclear)) == 1
    await restored(place)


async def test_a_ring_that_forgets_just_before_it_is_judged_is_set_back_and_calls_nobody() -> None:
    """The next look of the watch may be half a minute away, and it is no reason to wake anybody."""
    async with a_place(replace(QUICK, watch_every=timedelta(hours=1))) as place:
        await place.at("drain")
        await place.say("director-1", f"doveadm director update {place.ring.backends['backend-3'].ip} 100")
        run = await place.until(lambda run: run.status in {Status.ASKING, Status.HELD})
        assert run.status is Status.ASKING
        assert place.vhosts() == [0, 0]
        assert len(await place.facts(fact.RingSetBack)) == 1


async def test_a_backend_that_cannot_be_read_for_a_moment_before_a_change_calls_nobody(place: Place) -> None:
    await place.until(lambda run: run.status is Status.ASKING)
    place.ring.fault(Fault(matches="service status lmtp", when="before", what="cut", times=2))
    await place.approve()
    await restored(place)
    assert await place.facts(fact.StepFailed) == []


async def test_a_director_away_is_gone_round_and_the_take_down_waits_for_it(place: Place) -> None:
    """The drain needs one director, the take-down all of them."""
    await place.at("drain")
    place.ring.directors["director-1"].away = True
    run = await place.until(lambda run: run.status is Status.HELD)
    assert "director-1" in run.reason
    place.ring.directors["director-1"].away = False
    retrying = asyncio.create_task(retries(place))
    await place.approve()
    await restored(place)
    retrying.cancel()


async def retries(place: Place) -> None:
    """Somebody who clicks Retry whenever the run holds."""
    person = Person(id=REQUESTER, may_ask=True, may_approve=True)
    while True:
        run = await place.until(lambda run: run.status is Status.HELD)
        await place.service.steer(RUN, Retry(person=person, held=run.held))
        await asyncio.sleep(0.2)


async def test_an_abort_before_anything_was_stopped_stops_nothing(place: Place) -> None:
    await place.until(lambda run: run.status is Status.ASKING)
    place.announcer.go_away()
    await place.approve()
    await place.at("stop-lmtp")
    await place.service.steer(RUN, GoBack(person=Person(id=REQUESTER, may_ask=True, may_approve=True), reason="abort"))
    await place.until(lambda run: run.plan.back)
    place.announcer.come_back()
    await place.until(lambda run: run.status is Status.ASKING)
    assert not place.ring.ran("service stop lmtp")
    assert not place.ring.ran("director flush")


async def test_an_abort_is_not_kept_waiting_until_what_must_be_so_is_so() -> None:
    """What passes by itself is waited for, as nobody need be called for it; somebody who has spoken is not."""
    async with a_place(replace(QUICK, patience=timedelta(minutes=10))) as place:
        await place.until(lambda run: run.status is Status.ASKING)
        place.ring.backends["backend-3"].units["dovecot-metacache-flush"].file_state = "disabled"
        await place.approve()
        await place.at("stop-lmtp")
        assert await still(place, "service stop lmtp")
        person = Person(id=REQUESTER, may_ask=True, may_approve=True)
        await place.service.steer(RUN, GoBack(person=person, reason="abort"))
        await place.until(lambda run: run.plan.back)
        assert not place.ring.ran("service stop lmtp")


async def test_a_run_keeps_the_procedure_that_it_began_with(place: Place) -> None:
    """What people approved is what runs, whatever somebody does to the file meanwhile."""
    await place.until(lambda run: run.status is Status.ASKING)
    await place.service.close(timedelta(seconds=1))
    (old,) = library().procedures
    kept = tuple(stage for stage in old.stages if stage.stage in {"preflight", "drain"})
    changed = old.model_copy(update={"stages": kept, "title": "Something else"})
    catalogue = Catalogue(inventory=Inventory(rings=(place.inventory,)), procedures=(changed,), rules=library().rules)
    service = Service(place.world, catalogue, lambda: "r2025x")
    assert await recover(place.world, service) == (RUN,)
    again = replace(place, service=service)
    await again.approve()
    await restored(again)
    assert place.ring.ran("metacache-users*'")
    await service.close()
