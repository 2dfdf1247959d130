"""What Slack calls: ask for a run, steer it, look at it. Every answer is a value or Refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as attributes
from datetime import timedelta
from typing import Any

from bot.core.decisions.approval import Person
from bot.core.decisions.damage import Damaged, damage_in_words, decide_release, release_words
from bot.core.decisions.decide import AgreeToSkip, Approve, Steering
from bot.core.decisions.summary import RunList
from bot.core.hosts.inventory import Inventory, Target
from bot.core.plans.dryrun import DryRun
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.events.claims import keys_of, shared
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.core.text.dates import stamp
from bot.core.text.redact import redact
from bot.engine.offering import Offer
from bot.engine.planning import Catalogue, Planner, Request
from bot.engine.ports import Ports
from bot.engine.runs.approving import asked_by
from bot.engine.runs.runlog import RunLog, fields
from bot.engine.runs.runner import Runner
from bot.engine.surveying import Survey, read_run, surveyed
from bot.errors import Refused, RingClaimed

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Live:
    runlog: RunLog
    runner: Runner
    task: asyncio.Task[None]


class Service:
    """One per bot: every run that is under way, and how a new one begins."""

    def __init__(self, ports: Ports, catalogue: Catalogue, new_id: Callable[[], str]) -> None:
        self._ports = ports
        self._catalogue = catalogue
        self._planner = Planner(catalogue, ports.hosts, ports.clock, ports.timings, ports.proposals)
        self._new_id = new_id
        self._live: dict[str, _Live] = {}
        ports.alarms.on_due(self._due)

    @property
    def commands(self) -> Mapping[str, str]:
        """Every procedure's slash command, with its summary."""
        return {procedure.command: procedure.summary for procedure in self._catalogue.procedures}

    @property
    def inventory(self) -> Inventory:
        """The hosts of the site, as the settings name them now."""
        return self._catalogue.inventory

    @property
    def backends(self) -> Sequence[str]:
        """The names of all backends."""
        return self._catalogue.inventory.backends

    async def request(self, request: Request) -> str:
        """Begin a run; returns its id. Raises Refused (text for people) and changes nothing."""
        run = self._new_id()
        await self._refuse_if_claimed(self._planner.target(request))
        requested = await self._planner.request(request, run)
        try:
            entries = await self._ports.journal.append(run, 0, self._ports.clock.now(), (requested,))
        except RingClaimed as error:
            raise Refused(await self._who_claims(error)) from None
        begun = fold(entries)
        assert begun is not None
        log.info("RunRequested", extra=fields(begun))
        self._ports.announcer.wake(run)
        self.take_up(begun)
        return run

    async def dry_run(self, request: Request) -> DryRun:
        """What would run, with live preflight, changing nothing. Raises Refused."""
        return await self._planner.dry_run(request, self._new_id())

    async def offer(self, request: Request) -> Offer:
        """What can be asked for behind the command, with how every backend stands now. Raises Refused."""
        claimed: dict[str, str] = {}
        for run in await self._ports.journal.open_runs():
            rings, _ = _claims_of(await self._known(run))
            claimed |= dict.fromkeys(rings, run)
        return await self._planner.offer(request, claimed)

    async def brings(self, request: Request) -> tuple[str, ...]:
        """What a run that was asked for so would bring its backend, a line each. Raises Refused."""
        return await self._planner.brings(request)

    async def _refuse_if_claimed(self, target: Target) -> None:
        """Before hosts are read for the plan; as that takes long, the journal judges again when the run is written."""
        for run in await self._ports.journal.open_runs():
            if claimed := shared(target, *_claims_of(await self._known(run))):
                ring, what = claimed
                raise Refused(await self._who_claims(RingClaimed(ring, run, what=what)))

    async def _who_claims(self, claimed: RingClaimed) -> str:
        run, what = await self._known(claimed.run), claimed.what[0].upper() + claimed.what[1:]
        if isinstance(run, Damaged):
            return f"{what} is claimed by run {claimed.run}.\n{damage_in_words(run)}"
        if run is None:
            return f"{what} is claimed by run {claimed.run}, which has released it meanwhile: ask again."
        target = run.target
        other = "" if claimed.ring else f" of ring {target.ring.name}"
        link = await self._ports.announcer.permalink(run.id)
        return (
            f"{what} is claimed by run {run.id} on {target.backend.name}{other}, asked for by"
            f" <@{run.request.requester}> since {stamp(run.began)}; it is {run.status}."
            f" One backend at a time. {link}"
        ).strip()

    async def steer(self, run: str, command: Steering) -> None:
        """Do what a person decided (decide.py); raises Refused, also for an approval that does not count."""
        live = self._live.get(run)
        if live is None:
            known = await self._known(run)
            if isinstance(known, Damaged):
                raise Refused(damage_in_words(known))
            if known is None:
                raise Refused(f"There is no run {run}.")
            raise Refused(
                f"Run {run} is over: {known.outcome}."
                if known.outcome
                else f"Run {run} is not under way: see the bot's log."
            )
        if isinstance(command, AgreeToSkip):
            command = replace(command, proposer=await self._proposer(live.runlog.run, command.ask))
        if isinstance(command, Approve):
            command = replace(command, requester=await asked_by(live.runlog.run, self._ports.people))
        facts = await live.runlog.decide(_without_secrets(command))
        live.runner.wake()
        for one in facts:
            if isinstance(one, fact.ApprovalRefused):
                raise Refused(f"This does not count: {one.reason}. The attempt is on the record.")

    async def _proposer(self, run: Run, ask: int) -> Person | None:
        """Who proposed this skip, as Slack knows them now: they may have left since, and two are to stand for it."""
        proposed = run.skip.fact if run.skip and run.skip.seq == ask else None
        return await self._ports.people.person(proposed.by) if isinstance(proposed, fact.SkipProposed) else None

    async def entries(self, run: str) -> tuple[Entry, ...]:
        """The facts of a run; raises Refused when there is none of that id, when it is damaged or was released."""
        known = await self._known(run)
        if isinstance(known, Damaged):
            raise Refused(damage_in_words(known))
        if known is None:
            raise Refused(f"There is no run {run}.")
        return await self._ports.journal.entries(run)

    async def survey(self, *, open_only: bool = False, most: int | None = None) -> Survey:
        """The runs, the newest first, and those that are damaged beside them; of what has ended the newest `most`."""
        journal = self._ports.journal
        listed = RunList(others=await journal.open_runs()) if open_only else await journal.listed(most)
        return await surveyed(listed, self._known)

    async def release(self, run: str, person: Person, reason: str) -> Damaged:
        """Release what a damaged run claims, on somebody's word; raises Refused. It is posted in the channel."""
        if run in self._live:
            raise Refused(f"Run {run} is under way: abort it, or take it over by hand.")
        journal = self._ports.journal
        found = await journal.examine(run)
        release = decide_release(run, found, person, redact(reason), self._ports.clock.now())
        assert found is not None
        await journal.release(release)
        log.warning("%s", release_words(release), extra={"run": run})
        released = replace(found, release=release)
        self._ports.announcer.damaged(released)
        return released

    async def _known(self, run: str) -> Run | Damaged | None:
        live = self._live.get(run)
        return live.runlog.run if live else await read_run(self._ports.journal, run)

    def take_up(self, run: Run) -> RunLog:
        """Bring a run forward from where it stands; one that is under way already is left to itself."""
        if run.id in self._live:
            return self._live[run.id].runlog
        runlog = RunLog(self._ports, run)
        runner = Runner(self._ports, runlog, self._catalogue.rules)
        task = asyncio.create_task(runner.drive(), name=f"run {run.id}")
        self._live[run.id] = _Live(runlog=runlog, runner=runner, task=task)
        task.add_done_callback(lambda done: self._over(run.id, done))
        return runlog

    def _over(self, run: str, task: asyncio.Task[None]) -> None:
        self._live.pop(run, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("ended by an error of the bot's own", exc_info=error, extra={"run": run})

    async def _due(self, run: str) -> None:
        if live := self._live.get(run):
            live.runner.wake()

    async def close(self, within: timedelta = timedelta(seconds=6)) -> None:
        """Let what is under way be finished and written down, as long as `within`; what is left is in doubt then."""
        live = list(self._live.values())
        for one in live:
            one.runner.leave()
        if live:
            _, late = await asyncio.wait([one.task for one in live], timeout=within.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _claims_of(known: Run | Damaged | None) -> tuple[Sequence[str], Sequence[str]]:
    """The rings by their names, and the keys; nothing of what has ended meanwhile."""
    match known:
        case Damaged(rings=rings, keys=keys):
            return rings, keys
        case Run(outcome=None, target=target):
            return (target.ring.name,), keys_of(target)
        case _:
            return (), ()


def _without_secrets(command: Steering) -> Steering:
    """The same, with what somebody typed as it may be kept: the fields that its repr does not show."""
    typed: dict[str, Any] = {
        one.name: redact(getattr(command, one.name)) for one in attributes(command) if not one.repr
    }
    return replace(command, **typed)
