"""The sudo rules that the bot's user needs on a host: every command of the procedures, literally, and nothing wider.

What is different in each run (its id, the packages' versions) is a regular expression, which sudo 1.9.10 or newer
understands; nothing else is left open. Read with `dovecot-bot sudoers`, kept with visudo.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta

from bot.core.decisions.as_shown import CONFIGURATION
from bot.core.decisions.guards import Standing, guards_of, guards_planned
from bot.core.hosts.command import Command
from bot.core.hosts.inventory import Backend, Host, Ring, Target
from bot.core.plans.fill import Order, make_plan
from bot.core.plans.newer import contents_command
from bot.core.plans.plan import Expected, Plan, PlannedChange, PlannedStep
from bot.core.plans.procedure import Need, Procedure, Where
from bot.core.plans.proposal import PackageChange, Proposal
from bot.core.readings.probes import PROBES
from bot.core.runs.metacache import flush_seen
from bot.errors import Refused

_RUN, _PACKAGE = "RUNRUNRUN", PackageChange(name="packagename", version="1packageversion", before="1versionbefore")
_NAME = "[a-z0-9][a-z0-9+.-]+"
_PLAIN = f"{_NAME}=[0-9A-Za-z.+:~-]+"
_SPEC = f"({_PLAIN}|'{_PLAIN}')"
"""A package with its version; one with a tilde is quoted in a script."""
_OPEN = {
    _RUN: "r[0-9a-z]{6}",
    str(_PACKAGE): f"{_SPEC}( {_SPEC})*",
    f"{_PACKAGE.name}={_PACKAGE.before}": f"{_SPEC}( {_SPEC})*",
    _PACKAGE.name: f"{_NAME}( {_NAME})*",
    "{observed.packages_before}": f"{_SPEC}( {_SPEC})*",
}
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
"""As useradd takes them. In capitals sudo reads its own words: ALL, which is everybody, Defaults, and aliases."""
_OBSERVED = re.compile(r"\\\{observed\\\.[a-z_]+\\\}")
_PATHS = {"dovecot": ("/usr/sbin/dovecot",)}
_IN_BIN = frozenset(
    "apt-get bash diff doveadm doveconf env find mkdir mv rm sh sha256sum systemctl tar timeout".split()  # noqa: SIM905
)


def sudoers(procedures: Iterable[Procedure], ring: Ring, host: Host, user: str) -> str:
    """The rules for one host of a ring, as a file for /etc/sudoers.d; raises Refused for what is no user's name."""
    if not _USER.fullmatch(user):
        raise Refused(
            f"The rules are for one user, and {user!a} is no plain name of one: a small letter or _ first, then small"
            " letters, digits, _, - and .; 32 at most."
        )
    targets = [Target(ring=ring, backend=host)] if isinstance(host, Backend) else _targets(ring)
    rules = sorted(
        {
            rule
            for procedure in procedures
            for target in targets
            for config in (True, False)
            for command in _commands(_fullest(procedure, target, config=config), target, host)
            if command.root
            for rule in _rules(command)
        }
    )
    lines = [f"# {host.name}: what {user} may do there for dovecot-bot. Made by `dovecot-bot sudoers`."]
    return "\n".join([*lines, *(f"{user} ALL=(root) NOPASSWD: {rule}" for rule in rules), ""])


def _targets(ring: Ring) -> list[Target]:
    return [Target(ring=ring, backend=backend) for backend in ring.backends]


def _fullest(procedure: Procedure, target: Target, *, config: bool) -> Plan:
    """A run that brings all that there is; without a configuration, the one in place is looked at."""
    order = Order(
        run=_RUN,
        target=target,
        proposal=Proposal(name="any", digest="0" * 64) if config and Need.CONFIG in procedure.takes else None,
        packages=(_PACKAGE,) if Need.PACKAGES in procedure.takes else (),
        drain=timedelta(0),
        approval_open=timedelta(0),
    )
    return make_plan(procedure, order)


def _commands(plan: Plan, target: Target, host: Host) -> Iterator[Command]:
    for step in plan.steps:
        for expected in (*step.looks, *_by_law(plan, step, target)):
            if _is_for(expected.where, host):
                yield PROBES[expected.probe].command(target, expected.asks)
        if isinstance(step, PlannedChange) and _is_for(step.where, host):
            yield from (action.command for action in step.actions)
    if plan.config_digest and isinstance(host, Backend):
        yield contents_command(CONFIGURATION)  # `plan` asks, before there is a run


def _by_law(plan: Plan, step: PlannedStep, target: Target) -> Iterator[Expected]:
    """What is looked at right before a change: as the first that disturbs users, and as a later one."""
    planned = guards_planned(plan, step, target)
    later = guards_of(step, target, Standing(back=True, disturbed=True))
    for guard in (*planned, *later):
        yield from guard.expects
    yield from flush_seen(target)


def _is_for(where: Where, host: Host) -> bool:
    return (where is Where.BACKEND) == isinstance(host, Backend)


def _rules(command: Command) -> Iterator[str]:
    """A command with its arguments as an expression that matches them from the first to the last."""
    name, *arguments = command.argv
    pattern = re.escape(" ".join(arguments)).replace(r"\ ", " ").replace(r"\-", "-")
    for placeholder, expression in _OPEN.items():
        pattern = pattern.replace(re.escape(placeholder).replace(r"\-", "-"), expression)
    pattern = _OBSERVED.sub("[0-9A-Za-z.+:~_-]+", pattern)
    for path in _paths(name):
        yield f"{path} ^{pattern}$".replace("#", r"\#")


def _paths(name: str) -> tuple[str, ...]:
    """Where the hosts have it; sudo finds a command by its path, and only one of two is ever there."""
    if name.startswith("/"):
        return (name,)
    return _PATHS.get(name, (f"/usr/bin/{name}",) if name in _IN_BIN else (f"/usr/bin/{name}", f"/usr/sbin/{name}"))
