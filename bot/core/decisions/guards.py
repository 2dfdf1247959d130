"""What must be so right now for a command to be sent: laws, read from the literal command as the gates are.

They are looked at in the very look that asks whether the change is done already, so what was true a moment ago counts
for nothing: a check at the beginning of a stage may be minutes old, a crash, a hold or a click.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import assert_never

from bot.core.decisions.as_shown import CONFIGURATION, REPLACES, as_shown, must_be_as_shown, things_in_words
from bot.core.hosts.inventory import Target
from bot.core.plans.effects import TAKE_USERS_AWAY, Effect, stopped_after
from bot.core.plans.plan import (
    Expected,
    Plan,
    PlannedApproval,
    PlannedChange,
    PlannedCheck,
    PlannedStep,
    PlannedWait,
    Value,
)
from bot.core.plans.procedure import Gate, Where
from bot.core.runs.events import Seen
from bot.core.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One thing that must be so, in words and as what is looked at."""

    says: str
    expects: tuple[Expected, ...]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands, as far as its guards depend on it.

    `disturbed`: users were disturbed already, so they come first. `moved`: the users were to be moved before anything
    stops. `stopped`: dovecot was stopped before, and not started since. `verified`: the configuration's digest and the
    packages that were verified; None where not known yet. `shown`: what has to be as the flush approval showed it,
    looked at right before the change. `flushed`: systemd's id of the dovecot whose stop flushed the metacache.
    """

    back: bool
    disturbed: bool
    moved: bool = False
    stopped: bool = False
    verified: Mapping[str, str] | None = None
    shown: tuple[Guard, ...] = ()
    flushed: str = ""


def guards_now(run: Run) -> tuple[Guard, ...]:
    """The guards of the step at hand, which is a change."""
    assert run.step is not None
    standing = Standing(
        back=run.plan.back,
        disturbed=run.disturbed,
        moved=moved_before(run.plan, run.step) is not None,
        stopped=stopped_after(one.does for one in run.plan.steps[: run.position]),
        verified=run.verified,
        shown=_as_shown(shown_now(run), run.plan),
        flushed=run.metacache.invocation,
    )
    return guards_of(run.step, run.request.target, standing)


def guards_planned(plan: Plan, step: PlannedStep, target: Target) -> tuple[Guard, ...]:
    """The guards that a step will have when all before it is done: what a plan shows."""
    before = plan.steps[: plan.steps.index(step)]
    disturbed = any(one.disturbs for one in before)
    shown = dict.fromkeys(_judged(plan, step, disturbed=disturbed), "as the approval will show it")
    moved = moved_before(plan, step) is not None
    stopped = stopped_after(one.does for one in before)
    standing = Standing(back=plan.back, disturbed=disturbed, moved=moved, stopped=stopped, shown=_as_shown(shown, plan))
    return guards_of(step, target, standing)


def _judged(plan: Plan, step: PlannedStep, *, disturbed: bool) -> frozenset[str]:
    """What is checked against the flush approval before a step, once it is given: nothing before that, nothing after
    the first change of packages or configuration, and nothing where the step helps users who wait.
    """
    at = plan.steps.index(step)
    gates = [one.gate for one in plan.steps[:at] if isinstance(one, PlannedApproval)]
    *before, now = (one.does for one in plan.steps[: at + 1])
    waiting = any(Effect.STOP_DOVECOT in one for one in before) and now & {Effect.DOWN, Effect.FLUSH}
    if plan.back or gates[-1:] != [Gate.FLUSH] or waiting or any(one & REPLACES for one in before):
        return frozenset()
    return must_be_as_shown(plan.steps[at:], config=plan.config_digest is not None, disturbed=disturbed)


def to_be_shown(run: Run) -> frozenset[str]:
    """What the flush approval is to show of the backend, and what has to stay so."""
    if run.plan.back or run.reconfigured:
        return frozenset()
    # A stop that was sent changes the unit by this run's own hand, even before it is seen to be done.
    stopped = any(Effect.STOP_DOVECOT in step.does for step in run.touched)
    ahead = run.plan.steps[run.position :]
    return must_be_as_shown(ahead, config=run.plan.config_digest is not None, disturbed=run.disturbed or stopped)


def shown_now(run: Run) -> Mapping[str, str]:
    """What has to be as the flush approval showed it, and how it was; nothing where users wait who are helped first."""
    if run.covering is None or run.covering.gate is not Gate.FLUSH or run.users_first:
        return {}
    names = to_be_shown(run)
    return {name: value for name, value in run.verified.items() if name in names}


def _as_shown(shown: Mapping[str, str], plan: Plan) -> tuple[Guard, ...]:
    expects = as_shown(shown, plan)
    text = f"as the flush approval showed it: {things_in_words(shown, plan)}; else it is asked for again"
    return (Guard(says=text, expects=expects),) if expects else ()


def standing_configuration() -> tuple[Expected, ...]:
    """What is read of the configuration in place."""
    return (Expected(probe="owned-tree", where=Where.BACKEND, asks={"path": CONFIGURATION, "files": {"at_least": 1}}),)


def moved_before(plan: Plan, step: PlannedStep) -> PlannedStep | None:
    """The step that moves the users while the backend still serves, where it stands before this one."""
    for one in plan.steps[: plan.steps.index(step)]:
        if one.does & {Effect.FLUSH, Effect.STOP_DOVECOT}:
            return one if Effect.FLUSH in one.does else None
    return None


def moved_again_from(plan: Plan, moves: PlannedStep) -> PlannedStep:
    """Where it begins to move users again who came back: what its stage does right before that, an upload of what they
    have written since, is done again, too.
    """
    steps = plan.stage_of(moves).steps
    *_, first = moves, *takewhile(_is_made_again, reversed(steps[: steps.index(moves)]))
    return first


def _is_made_again(step: PlannedStep) -> bool:
    """Not where people or the time said yes, nor what the watch keeps as it is."""
    match step:
        case PlannedChange():
            return step.repeatable and not step.does & TAKE_USERS_AWAY
        case PlannedCheck():
            return True
        case PlannedWait() | PlannedApproval():
            return False
        case _:
            assert_never(step)


NOBODY_IS_MAPPED = Expected(probe="director-hosts", where=Where.ANSWERING_DIRECTORS, asks={"users": 0})
"""What has to be so before a stop where the users were moved first; where it is not, they are moved again."""


def guards_of(step: PlannedStep, target: Target, standing: Standing) -> tuple[Guard, ...]:
    """By law, and what the procedure adds."""
    if not isinstance(step, PlannedChange):
        return ()
    # An installation starts a dovecot that runs anew: for its users, that is a stop.
    anew = {Effect.STOP} if Effect.INSTALL in step.does and not (standing.stopped or standing.back) else set[Effect]()
    found = (*_by_law(step.does | anew, target, standing), *_own(step), *standing.shown)
    return tuple({guard.says: guard for guard in found}.values())


def _own(step: PlannedChange) -> Iterator[Guard]:
    if step.only_if:
        asked = (f"{one.probe} {' '.join(f'{key}={value}' for key, value in one.asks.items())}" for one in step.only_if)
        yield Guard(says=" ".join("; ".join(asked).split()), expects=step.only_if)


def _by_law(does: frozenset[Effect], target: Target, standing: Standing) -> Iterator[Guard]:
    if Effect.TAKES_VHOSTS in does:
        yield _whole(target)
    if Effect.DOWN in does:
        yield _somewhere(target)
    if does & {Effect.STOP, Effect.FLUSH}:
        yield from _disturbing(does, target, standing)
    if Effect.MASK in does or (standing.stopped and does & REPLACES):
        stopped = Expected(
            probe="unit", where=Where.BACKEND, asks={"name": "dovecot", "active": ["inactive", "failed"]}
        )
        yield Guard(says="dovecot is stopped", expects=(stopped,))
    if Effect.DELETE in does and target.ring.metacache:
        yield _still_flushed(target.ring.metacache.flush_unit, standing.flushed)
    if Effect.RESTORE in does:
        yield from _serving(target, standing)


def _disturbing(does: frozenset[Effect], target: Target, standing: Standing) -> Iterator[Guard]:
    if standing.back:
        yield Guard(
            says="vhosts 0 on the directors that answer, and nobody is mapped to it who could go nowhere else",
            expects=(_hosts(Where.ANSWERING_DIRECTORS, vhosts=0, stranded=0),),
        )
    elif standing.disturbed:
        if Effect.STOP in does:
            zero = _hosts(Where.ANSWERING_DIRECTORS, vhosts=0)
            yield Guard(says="vhosts 0 on the directors that answer", expects=(zero,))
        yield _somewhere(target)
    else:
        yield _whole(target)
        yield Guard(says="vhosts 0 on every director", expects=(_hosts(Where.EVERY_DIRECTOR, vhosts=0),))
        if target.ring.metacache:
            yield _flush_ready(target.ring.metacache.flush_unit)
    if Effect.STOP in does and standing.moved and not standing.back:
        yield Guard(says="users 0 on the directors that answer, or they are moved again", expects=(NOBODY_IS_MAPPED,))


def _whole(target: Target) -> Guard:
    needed = target.ring.usable_others
    ring = Expected(probe="director-ring", where=Where.EVERY_DIRECTOR, asks={"synced": True})
    hosts = _hosts(Where.EVERY_DIRECTOR, others="as usual", usable_others={"at_least": needed})
    return Guard(
        says=f"the ring is whole, every other backend is as usual, {needed} or more of them can be used",
        expects=(ring, hosts),
    )


def _somewhere(_target: Target) -> Guard:
    usable = _hosts(Where.ANSWERING_DIRECTORS, usable_others={"at_least": 1})
    return Guard(says="another backend can be used, on the directors that answer", expects=(usable,))


def _flush_ready(unit: str) -> Guard:
    ready = Expected(probe="metacache-flush", where=Where.BACKEND, asks={"unit": unit, "ready": True})
    return Guard(says=f"{unit} is active, so stopping dovecot flushes the metacache", expects=(ready,))


def _still_flushed(unit: str, flushed: str) -> Guard:
    """What a dovecot has written that was started since, no flush has seen, whoever has stopped it again."""
    asks: dict[str, Value] = {"unit": unit}
    if flushed:
        asks["invocation"] = flushed
    same = Expected(probe="metacache-flush", where=Where.BACKEND, asks=asks)
    return Guard(says="dovecot was not started since its stop flushed the metacache", expects=(same,))


WHO_THEY_ARE = Expected(probe="director-ring", where=Where.ANSWERING_DIRECTORS, asks={})
"""What a director says of itself, in the look before anything is sent to it."""


def own_row(host: str, seen: Sequence[Seen]) -> str | None:
    """Which director it says that it is; None where that was not read."""
    return next(
        (str(one.reading["self"]) for one in seen if one.host == host and one.reading and "self" in one.reading), None
    )


def is_itself(run: Run, host: str, seen: Sequence[Seen]) -> bool:
    """Whether a director's own row, on the connection of this look, is the one that it proved to be with.

    A run of an older version has no such proof: what it says of itself has to be enough there.
    """
    own = own_row(host, seen)
    return own is not None and (run.proved is None or own == run.proved.directors.get(host))


def _serving(target: Target, standing: Standing) -> Iterator[Guard]:
    active = Expected(probe="unit", where=Where.BACKEND, asks={"name": "dovecot", "active": "active"})
    ports = (target.ring.imap_port, target.ring.lmtp_port)
    greets = (Expected(probe="greeting", where=Where.BACKEND, asks={"port": port, "greets": True}) for port in ports)
    yield Guard(says="dovecot is active and greets on its IMAP and LMTP ports", expects=(active, *greets))
    yield Guard(says="its packages and its configuration are those that were verified", expects=as_verified(standing))


def as_verified(standing: Standing) -> tuple[Expected, ...]:
    """What is read of the backend when it is asked whether it gets users again, and held to be so until it does."""
    verified = standing.verified or {}
    tree: dict[str, Value] = {"path": CONFIGURATION}
    packages: dict[str, Value] = {}
    if "configuration" in verified:
        tree["digest"] = verified["configuration"]
    if "packages" in verified:
        packages["installed"] = verified["packages"]
    return (
        Expected(probe="tree", where=Where.BACKEND, asks=tree),
        Expected(probe="dovecot-packages", where=Where.BACKEND, asks=packages),
    )


def _hosts(where: Where, **asks: Value | dict[str, str | int]) -> Expected:
    return Expected(probe="director-hosts", where=where, asks=dict(asks))


def unflushed(run: Run, seen: Sequence[Seen] = ()) -> str:
    """Why nothing may be deleted on the backend, empty when it may be, or when the step at hand deletes nothing.

    `seen`: what was read of it right now.
    """
    metacache = run.request.target.ring.metacache
    if run.step is None or metacache is None or Effect.DELETE not in run.step.does:
        return ""
    return run.metacache.why_nothing_is_deleted(metacache.flush_unit, seen)
