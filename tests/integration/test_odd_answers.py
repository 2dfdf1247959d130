"""Hosts that answer what no practice host does, and what the engine makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.core.decisions.approval import Person
from bot.core.decisions.decide import GoBack
from bot.core.hosts.command import Result
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.transitions import Status
from bot.errors import NotRun
from tests.build import SECOND
from tests.fakes import FakeJournal
from tests.integration.place import RUN, Place, a_place


def also_when_flushed(place: Place, begin: asyncio.Event) -> None:
    """Set the event in the moment in which the flush is written down as done."""
    append = place.journal.append

    async def and_begin(run: str, after: int, at: datetime, facts: Sequence[fact.Fact]) -> tuple[Entry, ...]:
        written = await append(run, after, at, facts)
        if any(isinstance(one, fact.StepDone) and one.step == "flush-users" for one in facts):
            begin.set()
        return written

    assert isinstance(place.journal, FakeJournal)
    place.journal.append = and_begin  # type: ignore[method-assign] # it calls the one before


async def test_a_director_that_cannot_be_set_back_does_not_keep_the_take_down_from_its_end() -> None:
    """A run in the middle of it neither holds nor turns: it has to come out of it first."""
    stubborn = asyncio.Event()

    def twist(host: str, command: str, result: Result) -> Result:
        if not stubborn.is_set() or host != "director-2":
            return result
        if "director status" in command:
            return replace(result, stdout=result.stdout.replace("\t0\tdown\t", "\t100\tdown\t"))
        raise NotRun("director-2 lets nobody run anything")

    async with a_place(twist=twist) as place:
        also_when_flushed(place, stubborn)
        await place.approve()
        await stubborn.wait()
        person = Person(id=SECOND, may_ask=True, may_approve=True)
        await place.service.steer(RUN, GoBack(person=person, reason="abort"))
        await place.until(lambda run: run.plan.back)
        assert await place.facts(fact.RingDeviated)
        done = [one.step for one in await place.facts(fact.StepDone) if isinstance(one, fact.StepDone)]
        assert done[-2:] == ["mask-dovecot", "stop-was-clean"], "the take-down has come to its end"


async def test_a_secret_that_a_failing_command_prints_is_in_no_fact() -> None:
    """Facts are what the thread, the record and the log are made of."""

    def twist(_host: str, command: str, result: Result) -> Result:
        if command.endswith("systemctl start dovecot"):
            said = "E: Failed to fetch https://bot:hush@repo.example/x 401\n"
            return replace(result, exit_status=1, stdout="", stderr=said)
        if "systemctl unmask" in command:  # the last before the start: what was broken earlier would be seen before
            place.ring.backends["backend-3"].disk.write("/etc/dovecot/conf.d/50-new.conf", "BROKEN = yes\n")
        return result

    async with a_place(twist=twist) as place:
        await place.approve()
        run = await place.until(lambda run: run.status is Status.HELD)
        assert "https://bot:(hidden)@repo.example" in run.reason
        assert not [entry for entry in await place.service.entries(RUN) if "hush" in repr(entry.fact)]


async def test_an_error_of_the_bots_own_while_it_counts_users_ends_no_run() -> None:
    """A run whose task died would hold its ring for ever, and nobody would watch the directors."""
    broken = asyncio.Event()

    def twist(_host: str, command: str, result: Result) -> Result:
        if broken.is_set() and "director status" in command:
            broken.clear()
            raise ValueError("something that nobody thought of")
        return result

    async with a_place(twist=twist) as place:
        await place.until(lambda run: run.status is Status.WAITING)
        broken.set()
        await place.until(lambda run: run.status is Status.ASKING)
        assert not broken.is_set()
