"""What comes of a change, by what was heard of its command and what was seen on the hosts: one table.

The law first. A change is done only when it was seen to be done; where nothing of it can be seen, the command's own yes
has to do. It is sent again only while there are attempts left, and only when it was never run, or when it does no harm,
was seen not to be done, and nothing of the earlier one can come any more. What nothing was heard of is in doubt until
it is looked up. All else is for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

ATTEMPTS = 3
"""How often a change is sent before a person is asked."""


class Heard(StrEnum):
    """What was heard of a change's command."""

    NEVER_RAN = "it was never run"
    NOTHING = "its end was not heard"
    YES = "exit 0"
    FORGOTTEN = "exit 0, and the directors have forgotten since"
    PERHAPS = "exit 75"
    """doveadm's answer to much: not done, or done and not confirmed. Only a look shows which."""
    NO = "another exit"
    OVER = "looked up afterwards, and nothing of it can come any more"
    MAY_RUN = "looked up afterwards, and it may still run there"


class Shown(StrEnum):
    """What was seen of it on the hosts."""

    DONE = "done"
    UNDONE = "not done"
    UNKNOWN = "not known"
    NEVER = "nothing of it can be seen"


class Conclusion(StrEnum):
    """The fact that it comes to."""

    DONE = "StepDone"
    AGAIN = "StepNotDone"
    DOUBT = "StepUnclear"
    FAILED = "StepFailed"


_D, _A, _U, _F = Conclusion.DONE, Conclusion.AGAIN, Conclusion.DOUBT, Conclusion.FAILED

TABLE: Mapping[Heard, Mapping[Shown, Conclusion]] = MappingProxyType(
    {
        heard: MappingProxyType(dict(zip(Shown, row, strict=True)))
        for heard, row in {
            #                 done undone unknown never
            Heard.NEVER_RAN: (_A, _A, _A, _A),
            Heard.NOTHING: (_D, _U, _U, _U),
            Heard.YES: (_D, _F, _F, _D),
            Heard.FORGOTTEN: (_D, _A, _F, _F),
            Heard.PERHAPS: (_D, _A, _F, _A),
            Heard.NO: (_D, _F, _F, _F),
            Heard.OVER: (_D, _A, _F, _A),
            Heard.MAY_RUN: (_D, _F, _F, _F),
        }.items()
    }
)


def shown(holds: bool | None, *, visible: bool) -> Shown:
    """`holds`: the verdict of a look; `visible`: whether the change has something that can be looked for."""
    if not visible:
        return Shown.NEVER
    return {True: Shown.DONE, False: Shown.UNDONE, None: Shown.UNKNOWN}[holds]


def may_repeat(*, repeatable: bool, attempt: int) -> bool:
    """Whether a change that was sent `attempt` times may be sent again."""
    return repeatable and attempt < ATTEMPTS


def conclude(heard: Heard, seen: Shown, *, repeatable: bool, attempt: int) -> Conclusion:
    """What it comes to; what was never run may be sent again whatever it is."""
    found = TABLE[heard][seen]
    again = may_repeat(repeatable=repeatable or heard is Heard.NEVER_RAN, attempt=attempt)
    return Conclusion.FAILED if found is Conclusion.AGAIN and not again else found
