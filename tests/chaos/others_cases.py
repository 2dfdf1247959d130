"""The cases of the kind *others act*: what they do between two facts of a run, and how the run may then end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from tests.chaos import others
from tests.chaos.case import Case
from tests.chaos.good import Good

_DONE = frozenset({"done"})
_REFUSED = _DONE | {"refused"}
_WENT_BACK = frozenset({"went back"})

_SHORT, _LONG = 4.0, 20.0
"""Shorter, and longer, than the engine waits for what passes by itself before it calls people."""


@dataclass(frozen=True, kw_only=True)
class _Act:
    """What others do, its name, how long it lasts, and whether it takes the other backends away."""

    name: str
    doing: others.Doing
    lasts: float = _SHORT
    disturbs: bool = True
    others_gone: bool = False


_ANYWHERE = (
    _Act(name="others-out", doing=others.others_out, others_gone=True),
    _Act(name="one-fails", doing=others.fail("backend-2"), others_gone=True),
    _Act(name="others-fail", doing=others.fail(*others.OTHERS), others_gone=True),
    _Act(name="hangs-director-1", doing=others.hangs("director-1")),
    _Act(name="hangs-director-2", doing=others.hangs("director-2")),
    _Act(name="reboot", doing=others.reboots, lasts=0.0, disturbs=False),
    _Act(name="elsewhere", doing=others.leads_elsewhere, disturbs=False),
)
_WHILE_OUT = (
    _Act(name="given-back", doing=others.given_back, lasts=0.0),
    _Act(name="taken-over", doing=others.taken_over, others_gone=True),
    _Act(name="monitor-up", doing=others.monitor_says_up, lasts=0.0),
)


def of_others(good: Good) -> Iterator[Case]:
    """All of them."""
    for act in _ANYWHERE:
        yield from _cases(act, good.facts, good)
    for act in _WHILE_OUT:
        yield from _cases(act, good.while_out, good)
    for act in (*_ANYWHERE[:5], _WHILE_OUT[1]):
        long = replace(act, name=f"{act.name}-long", lasts=_LONG)
        yield from _cases(long, _in_take_down(good), good)
    yield from _unflushed(good)
    yield from _late(good)


def _in_take_down(good: Good) -> Sequence[str]:
    first, last = (good.facts.index(name) for name in ("Approved:approve-flush", "StepDone:flush-users"))
    return good.facts[first:last]


def _cases(act: _Act, facts: Sequence[str], good: Good) -> Iterator[Case]:
    """At each of these facts, with and without a bot that is killed there."""
    begins = good.facts.index(good.stages[0])
    for name in facts:
        for killed in (False, True):
            yield Case(
                name=f"{act.name}{'-killed' * killed}/{name}",
                kind="others",
                family=act.name,
                trouble=others.at(name, act.doing, lasts=act.lasts, killed=killed),
                # What is not as it must be before anything was changed ends the run.
                may_end=_REFUSED if good.facts.index(name) < begins else _DONE,
                disturbs_ring=act.disturbs,
                others_gone=act.others_gone,
                retries=4,
                # At a gate people are slow, so that the watch has to see it and not a step.
                slow=8.0 if name.startswith("ApprovalAsked") else 0.5,
            )


def _unflushed(good: Good) -> Iterator[Case]:
    """Without a flush that was seen nothing is deleted: people go back, or agree to leave the deletions out."""
    at = good.facts.index
    for family, doing in (("flush-disabled", others.flush_unit_disabled), ("flush-fails", others.flush_unit_fails)):
        for name in good.facts:
            for killed in (False, True):
                for then in ("go_back", "skip"):
                    way = _unflushed_end(at(name), family, good) if then == "go_back" else None
                    if way is None and (at(name) < at("StepDone:stop-lmtp") or at(name) >= at("StepDone:stop-dovecot")):
                        continue  # what may not be skipped there, or nothing to be skipped
                    yield Case(
                        name=f"{family}{'-killed' * killed}{'-skip' * (then == 'skip')}/{name}",
                        kind="others",
                        family=f"{family}-{then}",
                        trouble=others.at(name, doing, lasts=0.0, killed=killed),
                        may_end=way or _DONE,
                        retries=1,
                        then=then,
                    )


def _unflushed_end(number: int, family: str, good: Good) -> frozenset[str]:
    at = good.facts.index
    if number >= at("StepDone:stop-dovecot"):
        return _DONE  # it was flushed
    if number >= at("StepStarted:stop-dovecot"):
        return _DONE | _WENT_BACK  # the stop is under way: it may be over already
    if number < at(good.stages[0]) and family == "flush-disabled":
        return _WENT_BACK | {"refused"}
    return _WENT_BACK


def _late(good: Good) -> Iterator[Case]:
    """Within its fence a late command still runs, after that its host refuses it."""
    for step, part in good.changes:
        for seconds in (2, 5, 12):
            for killed in (False, True):
                yield Case(
                    name=f"late-{seconds}s{'-killed' * killed}/{step}",
                    kind="others",
                    family="late" if seconds < 10 else "too-late",
                    trouble=others.late(part, delay=timedelta(seconds=seconds), killed=killed),
                    retries=4,
                )
