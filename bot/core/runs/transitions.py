"""Which fact may follow what: the law of a run, its table, and what is read from that.

- A run is in one status at a time. It begins *ready*, with its request, and *ended* is its last.
- A fact is either in the table, and may then change the status, or in `EVERYWHERE`: it reports something, and may come
  until the run has ended. No kind of fact is both. After a few of these, too, what is next is decided anew: a boot, a
  ring that forgets too often (`Run.last_decisive`, set in remember.py).
- A fact that the table does not have for a status is Illegal there: it is never written, and changes nothing.
- A run is *busy* from before a host hears of a change until the outcome is known. An outcome that nobody knows is *in
  doubt*, which only a look ends. In both, nothing is asked and no wait begins.
- A person may take the run over unless a change is under way, and may ask to go back until it is taken over: it turns
  round at the next safe point. After *taken over* comes *ended*, and no other status.

How the facts make the state is in fold.py; the picture is in bot/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from bot.core.runs import events as fact


class Status(StrEnum):
    """Where a run stands."""

    READY = "ready"
    BUSY = "busy"
    DOUBT = "in doubt"
    WAITING = "waiting"
    ASKING = "asking"
    HELD = "held"
    TAKEN = "taken over"
    ENDED = "ended"


_R, _B, _D, _W, _A, _H = (
    Status.READY,
    Status.BUSY,
    Status.DOUBT,
    Status.WAITING,
    Status.ASKING,
    Status.HELD,
)

EVERYWHERE = frozenset(
    {
        fact.UsersCounted,
        fact.ApprovalRefused,
        fact.RingDeviated,
        fact.RingSetBack,
        fact.HostsProved,
        fact.BackendRebooted,
        fact.OthersCounted,
        fact.MonitorSaysUp,
        fact.SettingsChanged,
    }
)
"""Facts that report something and leave the status as it is; they may come until the run has ended."""

TRANSITIONS: Mapping[Status, Mapping[type[Any], Status]] = MappingProxyType(
    {
        _R: {
            fact.StageBegan: _R,
            fact.StepStarted: _B,
            fact.StepDone: _R,
            fact.StepFailed: _H,
            fact.UsersCameBack: _R,
            fact.WaitBegan: _W,
            fact.ApprovalAsked: _A,
            fact.ApprovalLapsed: _R,
            fact.RunHeld: _H,
            fact.GoBackAsked: _R,
            fact.TakenOver: Status.TAKEN,
            fact.TurnedBack: _R,
            fact.RunEnded: Status.ENDED,
        },
        _B: {
            fact.StepDone: _R,
            fact.StepUnclear: _D,
            fact.StepNotDone: _R,
            fact.StepFailed: _H,
            fact.GoBackAsked: _B,
        },
        _D: {
            fact.StepDone: _R,
            fact.StepNotDone: _R,
            fact.StepFailed: _H,
            fact.GoBackAsked: _D,
        },
        _W: {
            fact.StepDone: _R,
            fact.WaitGoesOn: _W,
            fact.GoBackAsked: _R,
            fact.RunHeld: _H,
            fact.TakenOver: Status.TAKEN,
        },
        _A: {
            fact.Approved: _R,
            fact.Postponed: _H,
            fact.LongerWaitChosen: _R,
            fact.Denied: _R,
            fact.ApprovalRepeated: _A,
            fact.ApprovalExpired: _H,
            fact.RunHeld: _H,
            fact.GoBackAsked: _R,
            fact.TakenOver: Status.TAKEN,
        },
        _H: {
            fact.TurnedBack: _R,
            fact.RunHeld: _H,
            fact.RetryChosen: _R,
            fact.SkipProposed: _H,
            fact.SkipAgreed: _R,
            fact.GoBackAsked: _R,
            fact.TakenOver: Status.TAKEN,
            fact.RunEnded: Status.ENDED,
        },
        Status.TAKEN: {
            fact.SeenOut: Status.TAKEN,
            fact.RunEnded: Status.ENDED,
        },
        Status.ENDED: {},
    }
)


def status_after(status: Status, kind: type[Any]) -> Status | None:
    """The status after a fact of this kind; None where it cannot be."""
    if kind in EVERYWHERE and status is not Status.ENDED:
        return status
    return TRANSITIONS[status].get(kind)
