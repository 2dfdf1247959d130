"""What counts as seen on a backend: only what the backend itself said, on a connection that proved to be to it.

And how often hosts are asked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import Identity
from bot.core.hosts.inventory import Host
from bot.core.plans.plan import Expected
from bot.core.plans.procedure import Where
from bot.engine.looks.asking import asking_once
from bot.engine.looks.looking import OLD, Looking
from bot.engine.ports import Timings
from tests.build import target
from tests.fakes import FakeClock, FakeHosts, answered

ACTIVE = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nUnitFileState=enabled\n"
STOPPED = ACTIVE.replace("=active", "=inactive")
RUNS = Expected(probe="unit", where=Where.BACKEND, asks={"name": "dovecot", "active": "active"})


class Elsewhere(FakeHosts):
    """A host on which dovecot runs, or does for that long; it says that it has that address, and answers over that
    connection.
    """

    def __init__(self, reached: str, over: str = "one", runs: Callable[[], bool] = lambda: True) -> None:
        super().__init__(lambda host, command: answered(host, command, ACTIVE if runs() else STOPPED))
        self._reached = reached
        self._over = over

    async def identity(self, host: Host) -> Identity:
        return replace(await super().identity(host), reached=self._reached, connection="one")

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        return replace(await super().run(host, command, material=material, fence=fence), connection=self._over)


@pytest.mark.parametrize(
    ("address", "over", "holds"),
    [("192.0.2.13", "one", True), ("192.0.2.12", "one", None), ("192.0.2.13", "another", None)],
)
async def test_what_another_host_says_is_no_reading_of_the_backend(address: str, over: str, holds: bool | None) -> None:
    """Its SSH name led elsewhere after a kill: a start was called done, and users were sent to a stopped dovecot."""
    observation = await Looking(Elsewhere(address, over), FakeClock(), Timings(), target()).look([RUNS])
    assert observation.verdict.holds is holds


class Passing(FakeClock):
    """A clock of somebody who is alone: whoever sleeps finds that the time has passed."""

    async def sleep(self, seconds: float) -> None:
        self.advance(timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("so", "holds", "after"),
    [
        ([(0.1, 0.3), (3, 99)], True, 6),
        ([(4, 99)], True, 7),
        ([(4, 5.9), (6.1, 99)], False, 6),
        ([(6, 99)], False, 5),
    ],
    ids=["it begins anew", "it begins within time", "it does not last", "it begins too late"],
)
async def test_what_has_to_be_so_on_end_is_so_in_every_look_and_waited_for_where_it_begins_within_time(
    so: list[tuple[float, float]], holds: bool, after: float
) -> None:
    """Users 0 shows while the last kicks are still on their way: three seconds of it in sum are not three on end."""
    clock = Passing()
    began = clock.now()

    def passed() -> float:
        return (clock.now() - began).total_seconds()

    hosts = Elsewhere("192.0.2.13", runs=lambda: any(begins <= passed() < ends for begins, ends in so))
    looking = Looking(hosts, clock, Timings(), target())
    observation = await looking.until_seen([RUNS], timedelta(seconds=5), timedelta(seconds=3))
    assert observation.verdict.holds is holds
    assert after <= passed() < after + 3


HOSTS = {
    where: Expected(probe="director-hosts", where=where, asks={})
    for where in (Where.EVERY_DIRECTOR, Where.ANSWERING_DIRECTORS)
}
LOOK = Command(argv=("true",))
AT_ZERO = Expected(probe="director-hosts", where=Where.EVERY_DIRECTOR, asks={"vhosts": 0})


async def test_what_expectations_of_one_look_ask_alike_a_host_is_asked_once_and_in_the_next_look_again() -> None:
    """Three of the guards of a take-down read `director status`; that of the look before must not answer for one."""
    hosts = FakeHosts(lambda _host, _command: "nothing that can be read")
    looking = Looking(hosts, FakeClock(), Timings(), target())
    observation = await looking.look([*HOSTS.values(), AT_ZERO])
    assert [len(look.seen) for look in observation.looks] == [2, 2, 2]
    assert sorted(host for host, _ in hosts.log) == ["director-1", "director-2"]
    await looking.look([AT_ZERO])
    assert sorted(host for host, _ in hosts.log) == ["director-1", "director-1", "director-2", "director-2"]


async def test_an_expectation_that_gives_a_host_up_takes_the_answer_from_no_other_one() -> None:
    """Where those that answer are enough, nobody waits long for the last; whoever needs every one still does."""
    there = asyncio.Event()

    async def late(host: Host, command: Command) -> Result:
        await there.wait()
        return answered(host, command, "at last")

    async with asking_once(late, FakeClock()) as answers:
        first, second = (asyncio.create_task(answers.ask(target().backend, LOOK)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        there.set()
        assert (await second).stdout == "at last"


async def test_what_nobody_waits_for_when_a_look_ends_is_given_up() -> None:
    """A director that hangs would keep one command more after every look, until sshd refuses the next."""
    given_up: list[str] = []

    async def never(host: Host, _command: Command) -> Result:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(host.name)
        raise AssertionError

    async with asking_once(never, FakeClock()) as answers:
        waiting = asyncio.create_task(answers.ask(target().backend, LOOK))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
    assert given_up == [target().backend.name]


async def test_an_answer_is_old_once_another_one_was_waited_for_in_vain() -> None:
    """What a look was told at its beginning may not be so any more at its end, whether or not that is an answer."""
    backend, director = target().backend, target().ring.directors[0]

    async def only_backend(host: Host, command: Command) -> Result:
        return answered(host, command) if host == backend else await asyncio.get_running_loop().create_future()

    clock = FakeClock()
    async with asking_once(only_backend, clock) as answers:
        await answers.ask(backend, LOOK)
        waiting = asyncio.create_task(answers.ask(director, LOOK))
        await asyncio.sleep(0)
        assert not answers.forget(OLD)
        clock.advance(OLD)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert answers.forget(OLD)


MANY = [f"dovecot-ee-a-longish-module-{number:02d}" for number in range(40)]


@pytest.mark.parametrize(("last", "holds"), [("2:2.3.21-4", True), ("2:2.3.20-9", False)])
async def test_versions_are_compared_to_the_last_package_however_many_there_are(last: str, holds: bool) -> None:
    """Long lines are cut for people; what an approval was given for is not."""
    planned = " ".join(f"{name}=2:2.3.21-4" for name in MANY)
    there = dict.fromkeys(MANY, "2:2.3.21-4") | {MANY[-1]: last}
    rows = "".join(f"{name}\t{version}\tinstalled\n" for name, version in there.items())
    hosts = FakeHosts(lambda host, command: replace(answered(host, command, rows), connection=host.name))
    packages = Expected(probe="packages", where=Where.BACKEND, asks={"names": planned, "installed": planned})
    every = Expected(probe="dovecot-packages", where=Where.BACKEND, asks={"installed": planned})
    seen = await Looking(hosts, FakeClock(), Timings(), target()).look([packages])
    listed = await Looking(hosts, FakeClock(), Timings(), target()).look([every])
    assert (seen.verdict.holds, listed.verdict.holds) == (holds, holds)
