"""Plays one run of the shipped procedure from its request to its end, in virtual time, and gathers the evidence."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path

from bot.adapters.configs import FolderProposals
from bot.core.hosts.inventory import Inventory, Ring, TakeDown
from bot.core.plans.proposal import Proposal
from bot.engine.planning import Catalogue, Request
from bot.engine.ports import Timings
from bot.engine.recovery import recover
from bot.engine.service import Service
from bot.errors import Refused
from bot.practice.ring.hosts import Backend
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import CHANNEL
from bot.practice.site import CONFIG, PACKAGES, propose, reviewed_config
from tests.build import REQUESTER, library
from tests.fakes import FakeJournal
from tests.harness.crew import PEOPLE, Crew
from tests.harness.evidence import Evidence, Watching, gathered
from tests.harness.hosts import SimHosts
from tests.harness.network import Network
from tests.harness.ports import Here, Life, Points, Slack, Strike, a_world
from tests.harness.virtual import MORNING, run_virtual
from tests.reader import Reader

RUN = "r2026h"
USERS = 6
TIMINGS = Timings(drain=timedelta(seconds=90))
ASKED_AGAIN = 600
"""How often somebody asks again, a second apart, where no run was begun."""

LONGEST = timedelta(hours=8)
AFTERWARDS = timedelta(seconds=100)
"""So long after the end of a run, what was given up may still come."""

Attack = Callable[["Play", Here], Awaitable[object]]


@dataclass(frozen=True)
class Reviewed:
    """One proposed configuration, as its folder would give it."""

    known: Proposal
    folder: FolderProposals

    async def proposal(self, name: str) -> Proposal:
        if name != self.known.name:
            raise Refused(f"There is no configuration {name}.")
        return self.known

    async def names(self) -> list[str]:
        return [self.known.name]

    async def archive(self, proposal: Proposal, like: str | None = None) -> bytes:
        return self.folder.packed(proposal, like)


_FOLDER = tempfile.TemporaryDirectory(prefix="reviewed-")
"""Where the one proposed configuration lies, as long as the tests run."""


@cache
def reviewed() -> Reviewed:
    """The configuration that a review would leave for the practice ring's backend."""
    propose(Path(_FOLDER.name) / CONFIG, reviewed_config(PracticeRing(users=0)))
    folder = FolderProposals(Path(_FOLDER.name))
    return Reviewed(asyncio.run(folder.proposal(CONFIG)), folder)


def catalogue(ring: PracticeRing, take_down: TakeDown) -> Catalogue:
    """The shipped procedures, for this ring."""
    table = {
        "take_down": take_down,
        "name": "practice",
        "test_user": ring.test_user,
        "metacache": {},
        "directors": [{"name": name, "sudo": True} for name in ring.directors],
        "backends": [{"name": name, "ip": host.ip, "sudo": True} for name, host in ring.backends.items()],
    }
    inventory = Inventory(rings=(Ring.model_validate(table),))
    return Catalogue(inventory=inventory, procedures=library().procedures, rules=library().rules)


@dataclass
class Play:
    """One run, its ring, and whoever disturbs it."""

    points: Points
    reboots: list[datetime] = field(default_factory=list)
    struck: datetime | None = None
    timings: Timings = TIMINGS
    take_down: TakeDown = TakeDown.RUNBOOK
    ahead: timedelta = timedelta(0)
    """How far the clock of the bot's machine is ahead; a bot that runs does not look there again."""

    def __post_init__(self) -> None:
        self.ring = PracticeRing(users=USERS, user_expire=timedelta(minutes=15), now=now)
        self.watching = Watching(self.ring)
        self.network = Network(self.ring, now)
        self.journal = FakeJournal()
        self.slack = Slack(PEOPLE)
        self.service: Service | None = None
        self.life = Life()
        self._lives: list[Life] = []
        self.reader = Reader(self.journal, RUN)
        self.crew = Crew(self.reader, lambda: self.service, lambda: self.slack.there)
        self.slack.on_wake = self.crew.wake
        self._catalogue = catalogue(self.ring, self.take_down)
        self.proposals = reviewed()
        self._tasks: set[asyncio.Task[object]] = set()
        self._new_users = True

    @property
    def backend(self) -> Backend:
        return self.ring.backends["backend-3"]

    def start(self) -> Service:
        """A new life of the bot."""
        self.life = Life()
        self._lives.append(self.life)
        world = a_world(
            self.life,
            self.points,
            journal=self.journal,
            hosts=SimHosts(self.network, now),
            slack=self.slack,
            proposals=self.proposals,
            timings=self.timings,
            ahead=self.ahead,
        )
        self.world = world
        self.service = Service(world, self._catalogue, lambda: RUN)
        return self.service

    def crash(self, down: timedelta) -> None:
        """The bot is gone at once, and started again after a while."""
        self.life.over = True
        self.service = None
        self.later(down, self._recover)

    async def _recover(self) -> None:
        service = self.start()
        await recover(self.world, service)

    def later(self, delay: timedelta, act: Callable[[], Awaitable[object] | None]) -> None:
        """Do it after a while, whatever the bot does meanwhile."""

        async def do() -> None:
            await asyncio.sleep(delay.total_seconds())
            done = act()
            if done is not None:
                await done
            self.watching.look()

        task: asyncio.Task[object] = asyncio.ensure_future(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _users_live(self) -> None:
        """Somebody new comes to a backend that is given users and has none: the last step looks for that."""
        while True:
            await asyncio.sleep(5)
            self.ring.tick()
            ip, state = self.backend.ip, self.ring.state
            if self._new_users and state.usable(ip) and not any(one.backend == ip for one in state.mapped.values()):
                state.move("somebody-new", ip, now())

    async def _ask(self, request: Request) -> None:
        """Until there is a run; a bot that crashed before it wrote one down, or read no host, is asked again."""
        refusals = 0
        while not self.journal.facts.get(RUN):
            service = self.service
            if service is None:
                await asyncio.sleep(1)
                continue
            asking = asyncio.ensure_future(service.request(request))
            while not asking.done() and service is self.service:
                await asyncio.wait({asking}, timeout=1)
            if asking.done() and isinstance(asking.exception(), Refused) and refusals < ASKED_AGAIN:
                refusals += 1
                await asyncio.sleep(1)
            elif asking.done():
                asking.result()

    async def run(self) -> Evidence:
        """From the request to the end."""
        text = f"backend-3 config={CONFIG} packages={PACKAGES}"
        request = Request(command="/dovecot-upgrade", text=text, requester=REQUESTER, team="T0", channel=CHANNEL)
        self.start()
        self._tasks.add(asyncio.ensure_future(self._users_live()))
        await self._ask(request)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.crew.work(), LONGEST.total_seconds())
        await asyncio.sleep(AFTERWARDS.total_seconds())
        for life in self._lives:
            life.bury()
        entries = tuple(self.journal.facts[RUN])
        return gathered(self.watching, self.ring.hostlog, entries, struck=self.struck, reboots=tuple(self.reboots))


def now() -> datetime:
    return MORNING + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass(frozen=True, kw_only=True)
class Played:
    """The evidence of one run, and every call of a port in it, each with where the run stood."""

    evidence: Evidence
    calls: tuple[str, ...]
    notes: tuple[str, ...]


def played(attack: Attack | None = None, at: int | None = None, take_down: TakeDown = TakeDown.RUNBOOK) -> Played:
    """One run from its request to its end, with the attack at the call of that number."""
    return played_with(lambda number: attack if number == at else None, take_down)


def played_with(choose: Callable[[int], Attack | None], take_down: TakeDown, timings: Timings = TIMINGS) -> Played:
    """One run from its request to its end; at each call, by its number, `choose` says which attack is put in."""

    async def whole() -> Played:
        points = Points()
        play = Play(points, take_down=take_down, timings=timings)
        points.noted = lambda: str(play.reader.run.status) if play.reader.run else ""

        def put_in(number: int) -> Strike | None:
            attack = choose(number)
            return None if attack is None else partial(attack, play)

        points.put_in = put_in
        evidence = await play.run()
        return Played(evidence=evidence, calls=tuple(points.calls), notes=tuple(points.notes))

    reviewed()
    return run_virtual(whole())
