"""What a trouble has at hand in one scene: the ring, Slack, the bot as a process, the journal's rows as they come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import Scene, executed
from bot.practice.site import CONFIG, practice_site, reviewed_config
from tests.chaos.facts import FactWatch, RunOver
from tests.chaos.patience import impatient
from tests.forked import forked

DRAIN = timedelta(seconds=1)
USERS = 30

_POLL = 0.002


@dataclass(kw_only=True)
class Play:
    """One scene under way.

    A trouble says here when it `struck`, at which facts the bot was `killed_at`, when it was `interrupted`, which
    commands' ends it kept `unheard`, when the backend `reboots`, and `remarks` on what must not be; `calm` is set when
    it is over.
    """

    ring: PracticeRing
    scene: Scene
    facts: FactWatch
    interrupted: list[datetime] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    started: list[datetime] = field(default_factory=list)
    reboots: list[datetime] = field(default_factory=list)
    killed_at: list[str] = field(default_factory=list)
    struck: bool = False
    calm: bool = False
    starts: int = 0

    async def start(self) -> None:
        """Start the bot, once Slack has seen that the one before is gone."""
        await self.scene.slack.until(lambda: not self.scene.slack.sockets, timeout=20)
        await self.scene.start_bot(within=60)
        self.starts += 1
        self.started.append(datetime.now(UTC))

    async def kill(self) -> None:
        """SIGKILL."""
        self.struck = True
        self.interrupted.append(datetime.now(UTC))
        await self.scene.kill_bot()

    async def kill_and_start(self) -> None:
        """SIGKILL, and start it again at once."""
        await self.kill()
        await self.start()

    async def until_command(self, part: str) -> None:
        """Wait until a command that contains this begins on a host; raises RunOver when the run ended without it."""
        while not any(part in ran.command for ran in self.ring.log):
            self.facts.look()
            if self.facts.over:
                raise RunOver(part)
            await asyncio.sleep(_POLL)

    async def until(self, condition: Callable[[], bool], *, within: float) -> bool:
        """Whether the condition came true in time."""
        with suppress(TimeoutError):
            await self.scene.slack.until(condition, timeout=within)
            return True
        return False


@asynccontextmanager
async def stage(
    folder: Path, chance: random.Random, settings: Mapping[str, str], take_down: str = ""
) -> AsyncIterator[Play]:
    """A ring whose users come and go quickly, a Slack, the bot's settings; the bot is not started yet."""
    async with PracticeRing(users=USERS, user_expire=timedelta(seconds=1), chance=chance) as ring:
        more = {"procedures": str(impatient(folder)), "watch_every": "1s", **settings}
        site = practice_site(ring, take_down=take_down)
        # Where no login may fail, a start of the bot is as long as it is.
        launch = executed if take_down else forked
        async with Scene(site, folder=folder, drain=DRAIN, settings=more, launch=launch) as scene:
            scene.propose(CONFIG, reviewed_config(ring))
            play = Play(ring=ring, scene=scene, facts=FactWatch(folder / "journal.db"))
            try:
                yield play
            finally:
                play.facts.close()
