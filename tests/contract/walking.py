"""Goes through a plan step by step on a ring, as the engine would, and writes down what every probe saw on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from bot.adapters.configs import FolderProposals
from bot.core.decisions.goback import going_back
from bot.core.hosts.inventory import TakeDown
from bot.core.plans.fill import Order, make_plan
from bot.core.plans.observed import expected_of
from bot.core.plans.plan import Action, Plan, PlannedChange, PlannedCheck, PlannedStep, PlannedWait
from bot.core.plans.proposal import PackageChange, Proposal
from bot.core.readings.packages import as_changes
from bot.engine.looks.observation import Observation, hosts_for
from tests.build import Story, library
from tests.contract.rings import PACKAGES, EitherRing
from tests.contract.shapes import Shape, shape
from tests.patience import PATIENCE

RUN = "r2025a"
STAGED = f"/etc/dovecot.{RUN}.proposed"
FOLDER = f"/var/cache/dovecot-bot/{RUN}"
METACACHE = "/var/lib/dovecot/metacache"
VMAIL = "/var/dovecot/vmail"
AT_ONCE = 5
"""Half of OpenSSH's MaxSessions: sessions that are just being closed count there, too."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What an upgrade brings: a proposed configuration in a folder of such, and packages of another version."""

    proposals: FolderProposals
    proposal: Proposal
    packages: tuple[PackageChange, ...]


async def proposed(ring: EitherRing, folder: Path) -> tuple[FolderProposals, Proposal]:
    """The backend's own configuration with a line and a file more, a link and a mode of its own."""
    tree = folder / "review"
    tree.mkdir()
    ring.config(tree)
    for path in (path for path in tree.rglob("*") if path.is_file()):
        path.chmod(0o644)
    with (tree / "dovecot.conf").open("a") as file:
        file.write("# reviewed\n")
    (tree / "conf.d/90-review.conf").write_text("mail_max_userip_connections = 21\n")
    (tree / "conf.d/90-review.conf").chmod(0o640)
    (tree / "newest.conf.ext").symlink_to("conf.d/90-review.conf")
    proposals = FolderProposals(folder)
    return proposals, await proposals.proposal("review")


async def material(ring: EitherRing, folder: Path) -> Material:
    """Such a configuration, and packages of the other version."""
    proposals, proposal = await proposed(ring, folder)
    version = await ring.other_version()
    names = " ".join(f"{name}=1" for name in PACKAGES)
    there = await ring.read(ring.target.backend.name, "packages", names=names)
    packages = tuple(replace(one, version=version, before=one.version) for one in as_changes(str(there["installed"])))
    return Material(proposals=proposals, proposal=proposal, packages=packages)


def plan_for(ring: EitherRing, brought: Material | None = None, *, moves_first: bool = False) -> Plan:
    """The shipped procedure's plan for the ring's target; with `moves_first`, for one that has no metacache."""
    other = {"take_down": TakeDown.MOVE_FIRST, "metacache": None} if moves_first else {}
    target = ring.target.model_copy(update={"ring": ring.target.ring.model_copy(update=other)})
    order = Order(
        run=RUN,
        target=target,
        proposal=brought.proposal if brought else None,
        packages=brought.packages if brought else (),
        drain=timedelta(0),
        approval_open=timedelta(hours=1),
    )
    return make_plan(library().procedures[0], order)


def action_of(plan: Plan, step: str) -> Action:
    """What the plan does at a step."""
    return next(one.action for one in plan.changes if one.name == step)


def way_back(plan: Plan, observed: dict[str, str]) -> Plan:
    """The plan that undoes all of it up to the restore, made by the core from a run in which that was done."""
    back = going_back(replace(Story(plan).until("approve-restore").run, observed=observed))
    assert back is not None
    return back


LookAt = tuple[str, str, dict[str, str]]
"""A host, a probe and its parameters."""


def changing(ring: EitherRing, brought: Material | None = None) -> Iterator[LookAt]:
    """What the steps of an upgrade change."""
    backend = ring.target.backend.name
    for director in ring.target.ring.directors:
        for probe in ("director-hosts", "director-ring"):
            yield director.name, probe, {}
    for name in ("dovecot", "dovecot-metacache-flush"):
        yield backend, "unit", {"name": name}
    yield backend, "metacache-flush", {"unit": "dovecot-metacache-flush"}
    yield backend, "dovecot-packages", {}
    for port in ("143", "24"):
        yield backend, "greeting", {"port": port}
    for path in ("/etc/dovecot", STAGED):
        yield backend, "tree", {"path": path}
        yield backend, "owned-tree", {"path": path}
        yield backend, "tree-changes", {"path": path, "since": ".\td\t700\troot\troot\t"}
        yield backend, "config-parses", {"path": f"{path}/dovecot.conf"}
        yield backend, "config-starts", {"path": path}
    yield backend, "ownership", {"path": STAGED, "like": "/etc/dovecot"}
    yield backend, "config-difference", {"path": "/etc/dovecot", "to": STAGED}
    yield backend, "packages", {"names": names_of(brought)}
    for probe in ("downloaded-packages", "packages-of-before"):
        yield backend, probe, {"names": names_of(brought), "folder": FOLDER}
    yield backend, "files", {"path": METACACHE, "named": "metacache-users*"}
    for path in (METACACHE, VMAIL):
        yield backend, "files", {"path": path}
    yield backend, "mounts", {"path": VMAIL}


def serving(ring: EitherRing) -> Iterator[LookAt]:
    """What only a running dovecot answers; doveadm tries for a second before it gives up a stopped one."""
    backend, user = ring.target.backend.name, {"user": ring.target.ring.test_user}
    yield backend, "service", {"name": "lmtp"}
    yield backend, "sessions", {}
    for director in ring.target.ring.directors:
        yield director.name, "proxied-sessions", {}
    for probe in ("mailbox-list", "mailbox-status", "fetched-mail"):
        yield backend, probe, user


def standing(ring: EitherRing, brought: Material | None = None) -> Iterator[LookAt]:
    """What they leave as it is, and what is not there at all."""
    backend = ring.target.backend.name
    for host in (*ring.target.ring.directors, ring.target.backend):
        yield host.name, "dovecot-version", {}
    yield backend, "unit", {"name": "nosuch"}
    yield backend, "metacache-flush", {"unit": "nosuch"}
    yield backend, "service", {"name": "nosuch"}
    yield backend, "greeting", {"port": "1"}
    yield backend, "files", {"path": "/nowhere"}
    yield backend, "mounts", {"path": "/nowhere"}
    yield backend, "packages", {"names": "nosuch=1"}
    yield backend, "offered-packages", {"names": "nosuch=1"}
    yield backend, "offered-packages", {"names": names_of(brought)}
    yield backend, "package-changes", {"names": names_of(brought)}
    yield backend, "candidate-packages", {"names": names_of(brought)}
    yield backend, "package-manager", {}
    yield backend, "package-lists", {"hours_allowed": "24"}
    for path in ("/var", "/nowhere"):
        yield backend, "space", {"path": path}


def names_of(brought: Material | None) -> str:
    packages = brought.packages if brought else tuple(PackageChange(name=name, version="1") for name in PACKAGES)
    return " ".join(map(str, packages))


async def panorama(ring: EitherRing, looks: Iterable[LookAt]) -> list[Shape]:
    """What is seen there now, as shapes."""
    room = asyncio.Semaphore(AT_ONCE)

    async def seen(host: str, probe: str, asks: dict[str, str]) -> Shape:
        async with room:
            return shape(ring.target, probe, asks, await ring.ask(host, probe, **asks))

    return list(await asyncio.gather(*(seen(*look) for look in looks)))


Told = dict[str, tuple[bool | None, list[Shape]]]
"""By step: whether what shows that it is done held before it, and what was seen after it."""


@dataclass
class Walk:
    """Follows plans on a ring; `told` grows with each change, or with those of these names."""

    ring: EitherRing
    brought: Material | None = None
    tells: Sequence[str] = ()
    told: Told = field(default_factory=dict)
    observed: dict[str, str] = field(default_factory=dict)

    async def follow(self, plan: Plan, *, until: str | None = None) -> None:
        """Do every step up to that one; AssertionError, with the reason, where it is not as it should be."""
        for step in plan.steps:
            if step.name == until:
                return
            observation = await self._do(step)
            if observation and isinstance(step, PlannedCheck):
                self.observed |= observation.remembered(step.remember)

    async def _do(self, step: PlannedStep) -> Observation | None:
        if step.name in {"set-vhosts-to-zero", "users-come-back"}:
            await self.ring.log_users_in()
        match step:
            case PlannedChange():
                return await self._change(step)
            case PlannedCheck():
                looks = (*expected_of(step, self.observed), *(step.hopes.expect if step.hopes else ()))
                return await self._see(step, await self.ring.looking.until_seen(looks, min(step.within, PATIENCE)))
            case PlannedWait(watch=watch) if watch:
                return await self._see(step, await self.ring.looking.look([watch]))
        return None

    async def _change(self, step: PlannedChange) -> Observation:
        action = step.action
        before = await self.ring.looking.look(action.done_when)
        host = hosts_for(self.ring.target, step.where)[0]
        sent = b""
        if action.command.sends and self.brought:
            like = await self.ring.read(host.name, "owned-tree", path="/etc/dovecot")
            sent = await self.brought.proposals.archive(self.brought.proposal, str(like["listing"]))
        result = await self.ring.run(host.name, action.command, material=sent)
        assert result.exit_status == 0, (step.name, result)
        if not action.done_when:  # its exit is all that shows it
            await self._tell(step, None)
            return before
        observation = await self._see(
            step, await self.ring.looking.until_seen(action.done_when, action.within, action.steady)
        )
        await self._tell(step, before.verdict.holds)
        return observation

    async def _tell(self, step: PlannedChange, done_before: bool | None) -> None:
        if self.tells and step.name not in self.tells:
            return
        stops_or_starts = "stop-" in step.name or "start-" in step.name
        looks = [*changing(self.ring, self.brought), *(serving(self.ring) if stops_or_starts else ())]
        self.told[step.name] = (done_before, await panorama(self.ring, looks))

    async def _see(self, step: PlannedStep, observation: Observation) -> Observation:
        assert observation.verdict.holds, (step.name, observation.verdict, [ran.output for ran in observation.ran])
        return observation
