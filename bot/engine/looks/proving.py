"""Sees, before anything is changed, that every host is the one that the settings mean; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.hosts.fence import lock_question
from bot.core.hosts.identity import Identity, not_proved_to_be
from bot.core.hosts.inventory import Backend, Target
from bot.core.plans.plan import Expected
from bot.core.plans.procedure import Where
from bot.core.runs.events import HostsProved
from bot.core.text.redact import redact
from bot.engine.looks.beside import beside
from bot.engine.looks.looking import Looking
from bot.engine.looks.observation import Observation
from bot.engine.looks.sending import locked_by
from bot.engine.ports import Hosts
from bot.errors import HostError

_WHO_THEY_ARE = Expected(probe="director-ring", where=Where.EVERY_DIRECTOR, asks={"synced": True})


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was proved, None where something was not; `reason`: what was seen, or what is wrong and how to mend it.

    `holds` is None where a host could not be asked. `observation`: the look at the directors.
    """

    proved: HostsProved | None
    holds: bool | None
    reason: str
    observation: Observation


async def prove(target: Target, hosts: Hosts, looking: Looking) -> Proof:
    """Ask the backend and every director who they are."""
    against: list[str] = []
    unknown: list[str] = []
    backend = target.backend
    identity: Identity | None = None
    lock = ""
    async with beside(looking.look([_WHO_THEY_ARE])) as (looked,):
        try:
            identity = await hosts.identity(backend)
            against += [reason] if (reason := not_proved_to_be(backend, identity)) else []
            lock, _, _ = locked_by(backend, await hosts.run(backend, lock_question(backend.name)))
        except HostError as error:
            unknown.append(redact(str(error)))
        observation = await looked
    if not observation.verdict.holds:
        (against if observation.verdict.holds is False else unknown).append(observation.verdict.reason)
    directors = {seen.host: str(seen.reading["self"]) for seen in observation.seen if seen.reading}
    if against or unknown or identity is None:
        reason = "; ".join(against + unknown)
        return Proof(proved=None, holds=False if against else None, reason=reason, observation=observation)
    by = _by(backend, identity)
    proved = HostsProved(
        backend=backend.name,
        by=by,
        machine_id=identity.machine_id,
        boot_id=identity.boot_id,
        lock=lock,
        directors=directors,
    )
    named = ", ".join(f"{name} is {address}" for name, address in directors.items())
    reason = f"{backend.name} proves by {by} that it is {backend.ip}; {named}"
    return Proof(proved=proved, holds=True, reason=reason, observation=observation)


def _by(backend: Backend, identity: Identity) -> str:
    if backend.machine_id:
        return "its machine-id"
    if str(backend.ip) == identity.reached:
        return "its own address of this SSH connection"
    return "an address of its interfaces"
