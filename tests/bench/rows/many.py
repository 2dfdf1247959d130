"""The rows of one process with many runs, and with many connections."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.adapters.clock import SystemClock
from bot.adapters.ssh import SshHosts
from bot.core.hosts.command import Command
from bot.core.hosts.inventory import Host
from bot.core.runs.events import WaitBegan
from bot.practice.slack.server import LocalSlack
from tests.bench.crowd import DELAY, Child, bot, child, memory, say, slack_of_a_company
from tests.bench.past import SETTINGS, folder, open_runs, settings
from tests.bench.row import By, Mark, Measured, Row, number, reported, times
from tests.integration.machines import Site

OPEN = 100
MANY = (10, 100, 1_000)
DIRECTORS = 2
_LONG = timedelta(hours=1)
_ROUND = 30.0
"""Seconds: `count_every` and `watch_every` as they come."""
_SHORT = timedelta(seconds=30)
"""A drain that ends when all runs have been taken up."""
_RINGS_WITHIN = 120
HOSTS = (10, 50, 100)
LOOKS = 2
"""Of each host in so many seconds, as a drain makes of a director."""

ROUND = 20.0
_STATUS = Command(argv=("say", *["192.0.2.11\t\t100\tup\t-\t1234\n"] * 20))


async def _draining(place: Path, slack: LocalSlack, runs: int, drain: timedelta = timedelta(minutes=15)) -> Path:
    """A folder with settings and a journal in which so many runs have just begun to drain."""
    place.mkdir()  # noqa: ASYNC240 - nothing else runs
    (place / SETTINGS).write_text(settings(max(runs, 1)))
    await open_runs(place / "journal.db", runs, WaitBegan, slack, drain=drain)
    return place


# the start


async def _start(runs: int) -> Measured:
    ours, theirs = [], []
    with folder() as made:
        async with slack_of_a_company() as slack:
            many, none = await _draining(made / "many", slack, OPEN), await _draining(made / "none", slack, 0)
            async with bot(many, slack, OPEN) as to_be_killed:
                await to_be_killed.until("acted")
            for number in range(runs):
                place = made / str(number)
                await asyncio.to_thread(shutil.copytree, many, place)
                async with bot(place, slack, OPEN) as started:
                    ours.append(await started.until("acted"))
                async with bot(none, slack) as started:
                    theirs.append(await started.until("up"))
    return Measured(
        ours=tuple(ours),
        theirs=tuple(theirs),
        unit="s",
        bound="Every open run is read twice, when the journal is opened and when it is taken up, one after another;"
        " then each asks the clocks of its hosts and writes a fact.",
    )


# alarms


async def _fired(started: Child) -> list[float]:
    """How late the alarms were, once all have fired."""
    for _ in range(_RINGS_WITHIN):
        await asyncio.sleep(1)
        late: list[float] = (await started.report())["late"]
        if len(late) >= OPEN:
            return late
    raise RuntimeError(f"{len(late)} of {OPEN} alarms rang in {_RINGS_WITHIN} s")


async def _alarms(runs: int) -> Measured:
    """All drains end within the same moment."""
    worst, middle = [], []
    for _ in range(runs):
        with folder() as made:
            async with slack_of_a_company() as slack:
                place = await _draining(made / "many", slack, OPEN, _SHORT)
                async with bot(place, slack, OPEN) as started:
                    await started.until("acted")
                    late = await _fired(started)
        worst.append(max(late))
        middle.append(statistics.median(late))
    return Measured(
        ours=tuple(worst),
        unit="s",
        bound="The drains of all 100 end in the same moments, and each run whose alarm has fired looks at its ring and"
        " writes facts before the loop comes to the next.",
        beside=(f"The figure is the latest of 100 alarms; half of them were late by {max(middle):.3f} s at most.",),
    )


# draining


_DRAINED: dict[int, dict[str, float]] = {}


async def _drained() -> dict[int, dict[str, float]]:
    """By the number of runs; measured once for the rows that say something of it."""
    for runs in () if _DRAINED else MANY:
        with folder() as made:
            async with slack_of_a_company() as slack:
                place = await _draining(made / "many", slack, runs, _LONG)
                async with bot(place, slack, runs, threads=False) as started:
                    await started.until("acted")
                    _DRAINED[runs] = await _sampled(started)
    return _DRAINED


async def _sampled(started: Child) -> dict[str, float]:
    """MB, cores, commands a minute, over two of the bot's rounds, once it has calmed down from its start."""
    await asyncio.sleep(_ROUND / 2)
    before = await started.report()
    await asyncio.sleep(2 * _ROUND)
    after = await started.report()
    took = after["at"] - before["at"]
    sent = Counter(after["commands"]) - Counter(before["commands"])
    cpu, minutes = (after["cpu"] - before["cpu"]) / took, took / 60
    commands = {"directors": sent["director"] / minutes, "commands": sent.total() / minutes}
    return {"memory": after["memory"], "cpu": cpu, **commands}


async def _memory(_runs: int) -> Measured:
    found = await _drained()
    return Measured(
        ours=(found[MANY[-1]]["memory"],),
        unit="MB",
        bound="Every run's plan and state, read from its facts; the program and its libraries are there with none.",
        beside=_each(found, "memory", "MB"),
    )


async def _cpu(_runs: int) -> Measured:
    found = await _drained()
    return Measured(
        ours=(found[MANY[-1]]["cpu"],),
        unit="core",
        bound="Every run looks at both of its directors and counts its users, each twice a minute; and as a user has"
        " gone each time, every count is a fact, which is committed by itself.",
        beside=(*_each(found, "cpu", "core"), "Without the threads in Slack, and without SSH's encryption."),
    )


async def _commands(_runs: int) -> Measured:
    found = await _drained()
    most = MANY[-1]
    return Measured(
        ours=(found[most]["directors"] / most / DIRECTORS,),
        unit="a minute",
        bound="The two rounds of half a minute, the watch's and the count's. It is enough: a director that forgets, and"
        " gives the backend users again, is set right within half a minute, while a drain takes fifteen. It is not too"
        " much: with ten milliseconds for a command, a director spends about a thousandth of a core.",
        beside=(
            *_each(found, "commands", "commands a minute to all hosts"),
            f"Asked over a network that takes {DELAY.total_seconds() * 1000:.0f} ms for each.",
        ),
    )


def _each(found: dict[int, dict[str, float]], what: str, unit: str) -> tuple[str, ...]:
    figures = (f"{runs:,} runs {number(one[what])}" for runs, one in found.items())
    return (f"{', '.join(figures)} {unit}.",)


# connections


async def _serve(place: Path, hosts: int) -> None:
    async with AsyncExitStack() as stack:
        site = Site(place, stack)
        for one in range(hosts):
            machine = await site.machine(f"host-{one}")
            site.reach(machine.name, machine.port)
        say(up=True)
        await asyncio.to_thread(sys.stdin.read)


async def _connect(place: Path, hosts: int) -> None:
    """Every host is asked in turn, spread over a round."""
    keepalive = timedelta(seconds=10)
    reach = SshHosts([place / "config"], place / "known_hosts", keepalive, keepalive, SystemClock())
    known = [Host(name=f"host-{one}") for one in range(hosts)]
    before, descriptors = memory(), _descriptors()
    opening = time.process_time()
    await asyncio.gather(*(reach.run(host, _STATUS) for host in known))
    opened, began = time.process_time(), time.monotonic()
    for at in range(LOOKS * hosts):
        await asyncio.sleep(max(0.0, began + at * ROUND / LOOKS / hosts - time.monotonic()))
        await reach.run(known[at % hosts], _STATUS)
    await asyncio.sleep(max(0.0, began + ROUND - time.monotonic()))
    say(
        memory=memory() - before,
        descriptors=_descriptors() - descriptors,
        opening=opened - opening,
        cpu=(time.process_time() - opened) / (time.monotonic() - began),
    )
    await reach.close()


def main(what: str, place: str, hosts: int) -> None:
    """What each of the two processes does."""
    asyncio.run((_serve if what == "serve" else _connect)(Path(place), hosts))


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def _used(hosts: int) -> dict[str, Any]:
    with folder() as place:
        program, log = "from tests.bench.rows import many; many.main({!r}, {!r}, {})", place / "log"
        async with child("-c", program.format("serve", str(place), hosts), log=log) as servers:
            await servers.until("up")
            async with child("-c", program.format("connect", str(place), hosts), log=log) as client:
                return await client.report()


async def _ssh(_runs: int) -> Measured:
    found = {hosts: await _used(hosts) for hosts in HOSTS}
    return Measured(
        ours=tuple(one["memory"] / hosts for hosts, one in found.items())[-1:],
        unit="MB",
        bound="asyncssh's connection with its buffers and keys, one per host and kept; opening it is the key exchange,"
        " and reading a configuration that names all hosts.",
        beside=tuple(
            f"{hosts} hosts: {number(one['memory'])} MB, {one['descriptors']} descriptors, {number(one['cpu'])} core at"
            f" {LOOKS * 60 / ROUND:g} looks a minute each,"
            f" {number(one['opening'] / hosts * 1000)} ms of CPU to open each."
            for hosts, one in found.items()
        ),
    )


ROWS = (
    Row(
        name="start",
        what="start after kill -9 until the last of 100 open runs has acted",
        against="a start with none open",
        mark=times(most=1.5),
        runs=5,
        measure=_start,
    ),
    Row(
        name="alarms",
        what="lateness of an alarm, 100 runs",
        mark=Mark(by=By.VALUE, unit="s", most=1),
        runs=3,
        measure=_alarms,
    ),
    Row(
        name="draining-memory",
        what="memory of one process with 1,000 draining runs on as many rings (10 and 100 beside)",
        mark=Mark(by=By.VALUE, unit="MB", most=200),
        measure=_memory,
    ),
    Row(
        name="draining-cpu",
        what="its CPU without SSH",
        mark=Mark(by=By.VALUE, unit="core", most=0.15),
        measure=_cpu,
    ),
    Row(
        name="draining-commands",
        what="commands a minute per director for one draining run",
        mark=reported("a minute"),
        measure=_commands,
    ),
    Row(
        name="ssh-memory",
        what="memory per host of real SSH connections at 100 hosts (10 and 50, CPU and descriptors beside)",
        mark=reported("MB"),
        measure=_ssh,
    ),
)
