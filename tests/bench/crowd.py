"""One whole bot with many runs on as many rings, all of it real but SSH, as a process of its own beside a local Slack.

The parts are those that bootstrap joins. In the place of SSH stand the harness's hosts, of one ring for all: what the
bot asks is brought to their names, and their answers back. They are asked once in half a minute and the answer is
given to every ring after a network's delay, so that the CPU is the bot's, not that of pretend hosts. One user after
another leaves the backend, as in a drain. Each line on standard input is answered with a report of how the bot does.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bot import bootstrap
from bot.adapters.alarms import ApsAlarms
from bot.adapters.journal import SqlJournal
from bot.config import read_settings, read_tokens
from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import CLOCK, Fence
from bot.core.hosts.identity import Identity
from bot.core.hosts.inventory import Host
from bot.core.runs.events import Entry, Fact
from bot.engine.ports import Clock
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import CHANNEL, GROUP, REQUESTER, SECOND, THIRD
from bot.practice.slack.server import LocalSlack
from tests.bench.past import SETTINGS, told_of
from tests.fakes import FakeAnnouncer
from tests.harness.hosts import SimHosts
from tests.harness.network import Network

DELAY = timedelta(milliseconds=30)
"""From a command to its answer, over a connection that is there already."""

ROOT = Path(__file__).parents[2]
SAYS_WITHIN = 300.0
_KEPT_FOR = 30.0
_NAME_OF = re.compile(r"\b(director|backend)-(\d)-r\d+\b")
_ADDRESS_OF = re.compile(r"\b10\.\d+\.\d+\.(\d+)\b")
_OUT = "192.0.2.13"
"""The backend that drains."""


def _as_of_the_one(text: str) -> str:
    return _ADDRESS_OF.sub(r"192.0.2.\1", _NAME_OF.sub(r"\1-\2", text))


class Shared:
    """The `Hosts` port: every ring is the same one."""

    def __init__(self) -> None:
        self.commands = Counter[str]()
        self._ring = PracticeRing(users=300)
        self._ring.state.change(_OUT, now=self._ring.now(), vhosts=0)
        self._hosts = SimHosts(Network(self._ring, self._ring.now), self._ring.now)
        self._answers: dict[tuple[str, str], asyncio.Task[Result]] = {}
        self._since = 0.0

    async def identity(self, host: Host) -> Identity:
        """Asked once per ring and host, as over a connection that is kept."""
        found = await self._hosts.identity(_the_one(host))
        ring = _ring_of(host)
        return replace(
            found,
            connection=f"{host.name}#1",
            reached=told_of(found.reached, ring),
            addresses=frozenset(told_of(one, ring) for one in found.addresses),
        )

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        del material
        if fence is not None:
            raise AssertionError(f"a bench changes nothing: {command.text}")
        self.commands[host.name.partition("-")[0]] += 1
        await asyncio.sleep(DELAY.total_seconds())
        asked = replace(command, argv=tuple(map(_as_of_the_one, command.argv)))
        result = await self._answer(_the_one(host), asked)
        return replace(result, host=host.name, command=command.text, stdout=told_of(result.stdout, _ring_of(host)))

    async def _answer(self, host: Host, command: Command) -> Result:
        if command == CLOCK:
            return await self._hosts.run(host, command)
        if time.monotonic() - self._since > _KEPT_FOR:
            self._since = time.monotonic()
            self._answers.clear()
            self._somebody_leaves()
        key = (host.name, command.text)
        if key not in self._answers:
            self._answers[key] = asyncio.create_task(self._hosts.run(host, command))
        return await asyncio.shield(self._answers[key])

    def _somebody_leaves(self) -> None:
        mapped = self._ring.state.mapped
        if user := next((user for user, at in mapped.items() if at.backend == _OUT), ""):
            del mapped[user]

    async def close(self) -> None:
        """There is nothing to close."""


def _the_one(host: Host) -> Host:
    return Host(name=_as_of_the_one(host.name), sudo=host.sudo)


def _ring_of(host: Host) -> int:
    return int(host.name.rpartition("-r")[2])


# what is noted of the bot, beside what it does


class Noted:
    """Which runs have acted, and how late alarms rang."""

    def __init__(self, expected: int) -> None:
        self.acted: set[str] = set()
        self.late: list[float] = []
        self._expected = expected

    def journal(self, url: str) -> SqlJournal:
        noted = self

        class Journal(SqlJournal):
            async def append(self, run: str, after: int, at: datetime, facts: Sequence[Fact]) -> tuple[Entry, ...]:
                entries = await super().append(run, after, at, facts)
                noted.act(run)
                return entries

        return Journal(url)

    def alarms(self, clock: Clock) -> ApsAlarms:
        noted = self

        class Alarms(ApsAlarms):
            def __init__(self) -> None:
                super().__init__(clock)
                self._dates: dict[str, datetime] = {}

            def set(self, run: str, at: datetime) -> None:
                self._dates[run] = at
                super().set(run, at)

            def on_due(self, call: Callable[[str], Awaitable[None]]) -> None:
                async def noting(run: str) -> None:
                    noted.late.append((clock.now() - self._dates[run]).total_seconds())
                    await call(run)

                super().on_due(noting)

        return Alarms()

    def act(self, run: str) -> None:
        self.acted.add(run)
        if len(self.acted) == self._expected:
            say(acted=self._expected)


class Silent(FakeAnnouncer):
    """In the place of the threads in Slack: what the runs cost without them."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    async def start(self, _open_runs: Sequence[str]) -> None:
        """There is nothing to go on with."""

    async def close(self) -> None:
        """There is nothing to close."""

    def wake(self, run: str) -> None:
        """Nobody reads it."""


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def memory() -> float:
    """MB that are in memory now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def _main(settings: Path, expected: int, threads: bool) -> None:
    hosts, noted = Shared(), Noted(expected)
    parts: dict[str, object] = {"hosts": lambda _settings, _clock: hosts, "SqlJournal": noted.journal}
    parts |= {"ApsAlarms": noted.alarms} | ({} if threads else {"SlackAnnouncer": Silent})
    for name, part in parts.items():
        setattr(bootstrap, name, part)
    async with bootstrap.joined(read_settings(settings), read_tokens()):
        say(up=True)
        while await asyncio.to_thread(sys.stdin.readline):
            say(
                memory=memory(),
                cpu=time.process_time(),
                at=time.monotonic(),
                commands=hosts.commands,
                late=noted.late,
            )


# from outside


class Child:
    """A process that says how it does, and when it said what, in seconds since its start."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._began = time.perf_counter()
        self._said: dict[str, float] = {}

    async def until(self, key: str) -> float:
        """Wait until it has said that; returns the seconds since its start."""
        while key not in self._said:
            await self._heard()
        return self._said[key]

    async def report(self) -> dict[str, Any]:
        """How it does."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        while "cpu" not in (said := await self._heard()):
            pass
        return said

    async def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(SAYS_WITHIN):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"it has ended with {await self._process.wait()}; its log has it")
        said: dict[str, Any] = json.loads(line)
        self._said = dict.fromkeys(said, time.perf_counter() - self._began) | self._said
        return said

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def slack_of_a_company() -> AsyncIterator[LocalSlack]:
    """A local Slack with the people of the tests, that answers at once."""
    async with LocalSlack() as slack:
        for user, name in ((REQUESTER, "alice"), (SECOND, "bob"), (THIRD, "carol")):
            slack.add_user(user, name=name)
        slack.add_channel(CHANNEL, name="mail-ops")
        slack.add_usergroup(GROUP, [REQUESTER, SECOND, THIRD])
        yield slack


@asynccontextmanager
async def child(*arguments: str, log: Path, **environment: str) -> AsyncIterator[Child]:
    """Python with these arguments, killed at the end."""
    pipe = asyncio.subprocess.PIPE
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, env=os.environ | environment, stdin=pipe, stdout=pipe, stderr=file
        )
    started = Child(process)
    try:
        yield started
    finally:
        await started.kill()


@asynccontextmanager
async def bot(place: Path, slack: LocalSlack, expected: int = 0, *, threads: bool = True) -> AsyncIterator[Child]:
    """In a folder with settings and a journal, in which so many runs are open; `threads`: whether Slack is told."""
    told = "threads" if threads else "silent"
    arguments = ("-m", "tests.bench.crowd", str(place / SETTINGS), str(expected), told)
    tokens = {"SLACK_BOT_TOKEN": "xoxb-practice", "SLACK_APP_TOKEN": "xapp-practice"}
    async with child(*arguments, log=place / "bot.log", SLACK_API_URL=slack.api_url, **tokens) as started:
        yield started


if __name__ == "__main__":
    bootstrap.log_to(sys.stderr)
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), threads=sys.argv[3] == "threads"))
