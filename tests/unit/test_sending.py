"""The clock and the lock that a change's fence is made of, asked while it is looked whether the change may be made."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.core.hosts.command import Command
from bot.core.hosts.inventory import Host
from bot.engine.looks.sending import Early, Sending
from bot.errors import MayHaveRun, NotRun
from tests.build import target
from tests.fakes import FakeClock, FakeHosts

DIRECTORS = target().ring.directors


def asked(hosts: FakeHosts) -> list[str]:
    return [host for host, _ in hosts.log]


@pytest.mark.parametrize(
    ("looked_for", "questions"), [(timedelta(seconds=0.9), 1), (timedelta(seconds=1), 2)], ids=["young", "old"]
)
async def test_an_answer_serves_its_change_while_it_is_young(looked_for: timedelta, questions: int) -> None:
    """After a look of ten seconds, as at a metacache of many files, the host would refuse the change each time."""
    hosts, clock = FakeHosts(lambda _host, _command: "1772442000"), FakeClock()
    early = Early(Sending(hosts, timedelta(seconds=10)), clock, DIRECTORS[0])
    clock.advance(looked_for)
    assert (await early.answer(DIRECTORS[0], "")).stdout == "1772442000"
    assert asked(hosts) == ["director-1"] * questions


async def test_another_host_is_asked_itself() -> None:
    """The director that was meant may not be the one that proves who it is: its clock says nothing of the other's."""
    hosts = FakeHosts(lambda _host, _command: "1772442000")
    early = Early(Sending(hosts, timedelta(seconds=10)), FakeClock(), DIRECTORS[0])
    assert (await early.answer(DIRECTORS[1], "")).host == "director-2"


async def test_an_answer_over_another_connection_than_that_of_the_look_is_asked_anew() -> None:
    """A connection that breaks between the two held the run: the fence was for one that is gone."""
    hosts = FakeHosts(lambda _host, _command: "1772442000")
    early = Early(Sending(hosts, timedelta(seconds=10)), FakeClock(), DIRECTORS[0])
    await early.answer(DIRECTORS[0], "another one")
    assert asked(hosts) == ["director-1", "director-1"]


async def test_a_question_that_came_to_nothing_is_asked_anew() -> None:
    """A connection that broke then may stand now, and what was looked at since has waited for it."""

    def gone_at_first(_host: Host, _command: Command) -> Exception | str:
        return MayHaveRun("gone") if len(hosts.log) == 1 else "1772442000"

    hosts = FakeHosts(gone_at_first)
    early = Early(Sending(hosts, timedelta(seconds=10)), FakeClock(), DIRECTORS[0])
    assert (await early.answer(DIRECTORS[0], "")).stdout == "1772442000"
    hosts.script = lambda _host, _command: NotRun("gone for good")
    with pytest.raises(NotRun):
        await Early(Sending(hosts, timedelta(seconds=10)), FakeClock(), DIRECTORS[0]).answer(DIRECTORS[0], "")
