"""What a run brings its backend to: what was typed, else what apt offers and the settings propose.

It changes nothing. Read on the hosts before there is a run, so that what cannot be, or would change nothing, is an
answer and no run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.core.decisions.as_shown import CONFIGURATION
from bot.core.hosts.inventory import Target
from bot.core.plans.newer import Contents, contents, contents_command, differing, newer
from bot.core.plans.procedure import Need, Procedure
from bot.core.plans.proposal import Asked, PackageChange, Proposal
from bot.core.readings.outputs import Asks, Reading, version_key
from bot.core.readings.packages import as_changes
from bot.core.readings.probes import PROBES
from bot.core.text.redact import redact
from bot.engine.ports import Hosts, Proposals
from bot.errors import HostError, Refused, Unreadable

_BELOW = "2.4"
"""Dovecot 2.4 has no directors; this procedure is for what comes before."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What a run brings; None and nothing where it leaves that as it is."""

    proposal: Proposal | None = None
    packages: tuple[PackageChange, ...] = ()
    newer: tuple[str, ...] = ()
    """Files that are newer on the backend than in what is proposed, and that it would replace or remove."""
    files: str = ""
    """Which files of the backend's configuration are changed, added and removed."""


class Bringing:
    """Finds out what a run brings."""

    def __init__(self, hosts: Hosts, proposals: Proposals) -> None:
        self._hosts = hosts
        self._proposals = proposals

    async def of(self, procedure: Procedure, asked: Asked, target: Target) -> Brought:
        """Raises Refused where a host cannot be read, what is asked cannot be, or nothing would change."""
        proposal = await self._proposal(procedure, asked, target)  # asks no host: what is mistyped is answered at once
        packages = await self._packages(procedure, asked, target)
        there = await self._in_place(target) if proposal else {}
        new = None if proposal is None or _is_in_place(proposal, there) else proposal
        changes = new is not None or any(one.version != one.before for one in packages)
        if procedure.takes and not asked.restart and not changes:
            raise Refused(await self._nothing(proposal, asked, target))
        if new is None:
            return Brought(packages=packages)
        files = differing(there, new.files)
        return Brought(proposal=new, packages=packages, newer=newer(there, new.files), files=files)

    async def _packages(self, procedure: Procedure, asked: Asked, target: Target) -> tuple[PackageChange, ...]:
        if asked.packages:
            there = {one.name: one.version for one in as_changes(await self._installed(target))}
            if absent := [one.name for one in asked.packages if one.name not in there]:
                raise Refused(f"{', '.join(absent)} is not installed on {target.backend.name}, so nothing was begun.")
            return tuple(replace(one, before=there[one.name]) for one in asked.packages)
        if Need.PACKAGES not in procedure.takes or asked.keeps_packages or asked.restart:
            return ()
        installed = await self._installed(target)
        offered = await self._read(target, "candidate-packages", {"names": installed})
        there = {one.name: one.version for one in as_changes(installed)}
        candidates = (replace(one, before=there[one.name]) for one in as_changes(str(offered["candidates"])))
        changes = tuple(one for one in candidates if one.version != one.before)
        if above := [one for one in changes if not _is_below(one.version)]:
            raise Refused(
                f"{target.backend.name}: apt offers {above[0]}, and from Dovecot {_BELOW} on there are no directors."
                " Pin it, or name the versions: packages=NAME=VERSION,…"
            )
        return changes

    async def _installed(self, target: Target) -> str:
        return str((await self._read(target, "dovecot-packages", {}))["installed"])

    async def _read(self, target: Target, name: str, asks: Asks) -> Reading:
        probe = PROBES[name]
        try:
            return probe.read(target, asks, await self._hosts.run(target.backend, probe.command(target, asks)))
        except (HostError, Unreadable) as error:
            raise _not_read(target, error) from None

    async def _proposal(self, procedure: Procedure, asked: Asked, target: Target) -> Proposal | None:
        usual = target.ring.proposed if Need.CONFIG in procedure.takes else None
        name = asked.config or (None if asked.keeps_config or asked.restart else usual)
        return await self._proposals.proposal(name) if name else None

    async def _in_place(self, target: Target) -> Contents:
        try:
            return contents(CONFIGURATION, await self._hosts.run(target.backend, contents_command(CONFIGURATION)))
        except (HostError, Unreadable) as error:
            raise _not_read(target, error) from None

    async def _nothing(self, proposal: Proposal | None, asked: Asked, target: Target) -> str:
        name, there = target.backend.name, as_changes(await self._installed(target))
        kept = " stays, as you say" if asked.keeps_packages else " is what apt offers there"
        config = f"the configuration {proposal.name} is in place" if proposal else _no_config(asked, target)
        return (
            f"Nothing would change on {name}, so nothing was begun: {versions_in_short(there)}{kept}; {config}."
            " For a restart, with a clean metacache where there is one: restart=yes."
        )


def _is_in_place(proposal: Proposal, there: Contents) -> bool:
    """Whether every file is there already; whose they are is not compared, so a manifest may still change that."""
    held, proposed = ({path: content for path, (content, _) in side.items()} for side in (there, proposal.files))
    return not proposal.owners and held == proposed


def _no_config(asked: Asked, target: Target) -> str:
    if asked.keeps_config:
        return "the configuration stays, as you say"
    return f"the settings propose no configuration for ring {target.ring.name}"


def _is_below(version: str) -> bool:
    return version_key(version.partition(":")[2] or version) < version_key(_BELOW)


def versions_in_short(packages: Sequence[PackageChange]) -> str:
    """The installed versions, those of one version together."""
    versions: dict[str, list[str]] = {}
    for one in packages:
        versions.setdefault(one.version, []).append(one.name)
    return "; ".join(f"{', '.join(names)} {version}" for version, names in versions.items())


def _not_read(target: Target, error: Exception) -> Refused:
    return Refused(
        f"Nothing was begun: what {target.backend.name} has now cannot be read, and the plan depends"
        f" on that. {redact(str(error))}"
    )
