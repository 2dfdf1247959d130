"""How much of a wait has passed while no bot was there to see it: what the hosts' own clocks agree to, and no more.

The clock of the bot's machine may have been set meanwhile, and so may one host's: the least that any of them says
counts. It does not know how clocks are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bot.core.plans.plan import PlannedWait
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.text.duration import length

_UNKNOWN = (
    "the bot was away, and no host's clock was read both when the wait began and now, so nobody knows how much of it"
    " has passed: the whole length is waited again"
)


def waited(run: Run, clocks: Mapping[str, int], now: datetime) -> fact.StepDone | fact.WaitGoesOn:
    """What the hosts' clocks now, in seconds since 1970 by the hosts' names, say of the wait at hand."""
    assert isinstance(run.step, PlannedWait)
    assert run.until is not None
    whole, names = run.step.length, [host for host in run.clocks if host in clocks]
    if not names:
        anew = {} if run.clocks else clocks
        return fact.WaitGoesOn(step=run.step.name, until=now + whole, reason=_UNKNOWN, clocks=anew)
    # They say whole seconds: two of them prove a second less than lies between them.
    passed = timedelta(seconds=max(min(clocks[host] - run.clocks[host] for host in names) - 1, 0))
    if passed >= whole:
        reason = f"{length(whole)} have passed by {_clocks_of(names)}, as the bot was away"
        return fact.StepDone(step=run.step.name, how=fact.How.RAN, reason=reason)
    own = whole - (run.until - now)
    by_itself = f"{_about(own)} have passed" if own >= timedelta(0) else "none has, as it was set back"
    reason = (
        f"the bot was away; by its own clock {by_itself}, by {_clocks_of(names)} {_about(passed)} of {length(whole)}:"
        " the rest is waited"
    )
    return fact.WaitGoesOn(step=run.step.name, until=now + whole - passed, reason=reason)


def _clocks_of(names: Sequence[str]) -> str:
    *first, last = names
    return f"the clocks of {', '.join(first)} and {last}" if first else f"the clock of {last}"


def _about(time: timedelta) -> str:
    """In whole minutes, from two on."""
    seconds = int(time.total_seconds())
    return length(timedelta(seconds=seconds if seconds < 120 else seconds // 60 * 60))
