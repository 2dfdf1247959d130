"""How often, and where, what hosts answered is read: other runs' users may wait meanwhile."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.hosts.command import Result
from bot.core.hosts.inventory import Target
from bot.core.plans.plan import Expected, Value
from bot.core.plans.procedure import Where
from bot.core.readings.outputs import Asks, Reading
from bot.core.readings.probes import PROBES
from bot.engine.looks import reading
from bot.engine.looks.looking import OLD, OLDEST, Looking
from bot.engine.looks.reading import LONG
from bot.engine.ports import Timings
from tests.build import target
from tests.fakes import FakeClock, FakeHosts, answered

ACTIVE = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nUnitFileState=enabled\n"


class Noted:
    """The thread of each reading of a probe, which takes `takes` by this clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, probe: str, takes: timedelta = timedelta(0)) -> None:
        self.threads: list[threading.Thread] = []
        self.clock = FakeClock()
        self._takes = takes
        self._probe = PROBES[probe]
        # A probe is no port, and what is asked is how often it is used.
        monkeypatch.setattr(reading, "PROBES", {**PROBES, probe: replace(self._probe, read=self._read)})

    def _read(self, to: Target, asks: Asks, result: Result) -> Reading:
        self.threads.append(threading.current_thread())
        self.clock.advance(self._takes)
        return self._probe.read(to, asks, result)


def runs(name: str, **asks: Value) -> Expected:
    return Expected(probe="unit", where=Where.BACKEND, asks={"name": name, **asks})


@pytest.mark.parametrize(("more", "beside"), [("", False), ("x\n" * LONG, True)], ids=["short", "long"])
async def test_a_long_answer_keeps_no_other_run_waiting_while_it_is_read(
    more: str, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of twenty thousand files took the loop two seconds in one piece."""
    noted = Noted(monkeypatch, "unit")
    observation = await _looking(noted, ACTIVE + more).look([runs("dovecot", active="active")])
    assert observation.verdict.holds is True
    assert [thread is not threading.current_thread() for thread in noted.threads] == [beside]


@pytest.mark.parametrize("more", ["", "x\n" * LONG])
async def test_what_several_expectations_want_of_one_answer_is_read_once(
    more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A director of 200 backends was read for each guard anew; what is read for other parameters is another reading."""
    noted = Noted(monkeypatch, "unit")
    wanted = [runs("dovecot", active="active"), runs("dovecot", load="loaded"), runs("dovecot", active="inactive")]
    observation = await _looking(noted, ACTIVE + more).look([*wanted, runs("flush", active="active")])
    assert (len(noted.threads), [len(look.seen) for look in observation.looks]) == (2, [1, 1, 1, 1])
    assert observation.verdict.holds is False


async def test_an_answer_grows_not_old_while_answers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else long answers were asked for again and again, and never young: a change with dovecot stopped held for it."""
    noted = Noted(monkeypatch, "unit", takes=OLD + OLDEST)
    hosts = _hosts(ACTIVE)
    looking = Looking(hosts, noted.clock, Timings(), target())
    observation = await looking.look([runs("dovecot", active="active"), runs("flush", active="active")], to_act=True)
    assert (observation.verdict.holds, len(hosts.log)) == (True, 2)


def _looking(noted: Noted, text: str) -> Looking:
    return Looking(_hosts(text), noted.clock, Timings(), target())


def _hosts(text: str) -> FakeHosts:
    return FakeHosts(lambda host, command: replace(answered(host, command, text), connection=host.name, kept=10 * LONG))
