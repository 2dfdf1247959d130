"""From what somebody typed to a plan that keeps all laws and rules; and what that plan would meet on the hosts now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never

from bot.core.hosts.inventory import Inventory, Target
from bot.core.plans.dryrun import DryRun
from bot.core.plans.fill import Order, make_plan
from bot.core.plans.laws import Rules, check_rules
from bot.core.plans.newer import in_short
from bot.core.plans.plan import Plan, PlannedApproval, PlannedChange, PlannedCheck, PlannedWait
from bot.core.plans.procedure import Need, Procedure
from bot.core.plans.proposal import FORMS, Asked, read_request
from bot.core.readings.expect import check_expectations
from bot.core.runs.events import RunRequested
from bot.engine.bringing import Bringing, Brought
from bot.engine.looks.looking import Looking
from bot.engine.looks.proving import prove
from bot.engine.offering import Offer, brought_in_lines, standing
from bot.engine.ports import Clock, Hosts, Proposals, Timings
from bot.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody typed: the slash command, its text (`backend-3 config=NAME …`), and who and where by id."""

    command: str
    text: str = field(repr=False)
    requester: str
    team: str
    channel: str


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What the bot knows to do and where: read once at start. `requires`: the options that no run is begun without."""

    inventory: Inventory
    procedures: tuple[Procedure, ...]
    rules: Rules
    requires: tuple[str, ...] = ()


class Planner:
    """Makes plans; changes nothing anywhere."""

    def __init__(
        self, catalogue: Catalogue, hosts: Hosts, clock: Clock, timings: Timings, proposals: Proposals
    ) -> None:
        self._catalogue = catalogue
        self._hosts = hosts
        self._clock = clock
        self._timings = timings
        self._proposals = proposals

    def target(self, request: Request) -> Target:
        """What a run would be on; asks no host, and raises Refused for what is mistyped."""
        asked = read_request(request.text)
        self._requires(asked)
        self._procedure(request)
        return self._catalogue.inventory.find(asked.backend)

    async def request(self, request: Request, run: str) -> RunRequested:
        """The first fact of the run that was asked for; raises Refused, naming what is wrong with the request."""
        asked = read_request(request.text)
        self._requires(asked)
        procedure = self._procedure(request)
        order, plan, _ = await self._prepare(procedure, asked, run)
        return RunRequested(
            procedure=procedure.procedure,
            target=order.target,
            requester=request.requester,
            team=request.team,
            channel=request.channel,
            text=asked.text,
            plan=plan,
            config=order.proposal.name if order.proposal else None,
            command=request.command,
            reason=asked.reason,
            ticket=asked.ticket,
        )

    def _requires(self, asked: Asked) -> None:
        if missing := [option for option in self._catalogue.requires if not getattr(asked, option)]:
            typed = " ".join(FORMS[option] for option in missing)
            raise Refused(f"A run needs a {' and a '.join(missing)} here; nothing was begun. Type it behind: {typed}")

    async def brings(self, request: Request) -> tuple[str, ...]:
        """What a run would bring its backend, a line each; raises Refused, also where that is nothing."""
        asked = read_request(request.text)
        target = self._catalogue.inventory.find(asked.backend)
        return brought_in_lines(
            await Bringing(self._hosts, self._proposals).of(self._procedure(request), asked, target)
        )

    async def offer(self, request: Request, claimed: Mapping[str, str]) -> Offer:
        """What can be asked for behind this command; `claimed`: by ring, the run that has it. Raises Refused."""
        procedure = self._procedure(request)
        rings = await standing(self._catalogue.inventory, self._hosts, claimed)
        configs = await self._proposals.names() if Need.CONFIG in procedure.takes else ()
        return Offer(rings=rings, configs=configs, takes=procedure.takes, requires=self._catalogue.requires)

    async def dry_run(self, request: Request, run: str) -> DryRun:
        """What would run, with the checks of its first stage looked at now; raises Refused."""
        asked = read_request(request.text)
        order, plan, brought = await self._prepare(self._procedure(request), asked, run)
        looking = Looking(self._hosts, self._clock, self._timings, order.target)
        proof = await prove(order.target, self._hosts, looking)
        checks = [("Every host is the one that the settings mean", proof.holds, proof.reason)]
        if order.proposal and proof.holds:
            checks.append(_files(order.target.backend.name, order.proposal.name, brought.files))
            checks.append(_newer(order.target.backend.name, order.proposal.name, brought.newer))
        later: list[str] = []
        changed = False
        for step in (step for stage in plan.preparing for step in stage.steps):
            match step:
                case PlannedCheck() if changed:
                    later.append(step.says)
                case PlannedCheck():
                    verdict = (await looking.until_seen(step.expect, timedelta(0))).verdict
                    checks.append((step.says, verdict.holds, verdict.reason))
                case PlannedChange():
                    changed = True
                case PlannedWait() | PlannedApproval():
                    pass
                case _:
                    assert_never(step)
        return DryRun(plan=plan, target=order.target, checks=tuple(checks), later=tuple(later))

    def _procedure(self, request: Request) -> Procedure:
        procedure = next((one for one in self._catalogue.procedures if one.command == request.command), None)
        if procedure is None:
            known = ", ".join(one.command for one in self._catalogue.procedures)
            raise Refused(f"There is no procedure for {request.command}. There are: {known}.")
        return procedure

    async def _prepare(self, procedure: Procedure, asked: Asked, run: str) -> tuple[Order, Plan, Brought]:
        target = self._catalogue.inventory.find(asked.backend)
        brought = await Bringing(self._hosts, self._proposals).of(procedure, asked, target)
        order = Order(
            run=run,
            target=target,
            proposal=brought.proposal,
            packages=brought.packages,
            drain=self._timings.drain,
            approval_open=self._timings.approval_open,
            approval_repeats=self._timings.approval_repeats,
            lists_hours=max(1, int(self._timings.lists_old.total_seconds() // 3600)),
        )
        plan = make_plan(procedure, order)
        check_expectations(plan)
        check_rules(plan, self._catalogue.rules, str(target.backend.ip))
        return order, plan, brought


def _files(backend: str, proposal: str, files: str) -> tuple[str, bool, str]:
    return f"Compared {proposal} with the configuration in place, file by file", True, f"{backend}: {files}"


def _newer(backend: str, proposal: str, found: tuple[str, ...]) -> tuple[str, bool, str]:
    """Named already here: what a configuration that is some weeks old would take back."""
    text = f"Looked for files of {backend} that are newer than those of {proposal}"
    if not found:
        return text, True, f"{backend}: no file that differs is newer there"
    return text, True, f"{backend}: newer there, and replaced or removed by a run: {in_short(found)}"
