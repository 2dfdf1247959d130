"""What comes of a change, by how its command ended and what was seen on the hosts: one table.

The law first. A change is done only when it was seen to be done; where nothing of it can be seen, its exit status 0
has to do. It is sent again only while there are attempts left, and only when it was never run, or when it does no harm,
was seen not to be done, and nothing of the earlier one can come any more. What ended unheard, or cannot be read, is
in doubt until it is looked up. All else is for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

ATTEMPTS = 3
"""How often a change is sent before a person is asked."""


class CommandEnd(StrEnum):
    """How a change's command ended, as far as it is known."""

    NEVER_RAN = "it was never run"
    NOT_HEARD = "its end was not heard"
    EXIT_0 = "exit 0"
    FORGOTTEN = "exit 0, and the directors have forgotten since"
    EXIT_75 = "exit 75"
    """doveadm's answer to much: not done, or done and not confirmed. Only a look shows which."""
    OTHER_EXIT = "another exit"
    OVER = "looked up afterwards, and nothing of it can come any more"
    MAY_RUN = "looked up afterwards, and it may still run there"


class OnHosts(StrEnum):
    """What was seen of it on the hosts."""

    DONE = "done"
    UNDONE = "not done"
    UNKNOWN = "not known"
    INVISIBLE = "nothing of it can be seen"


class Conclusion(StrEnum):
    """The fact that it comes to."""

    DONE = "StepDone"
    AGAIN = "StepNotDone"
    DOUBT = "StepUnclear"
    FAILED = "StepFailed"


_D, _A, _U, _F = Conclusion.DONE, Conclusion.AGAIN, Conclusion.DOUBT, Conclusion.FAILED

TABLE: Mapping[CommandEnd, Mapping[OnHosts, Conclusion]] = MappingProxyType(
    {
        end: MappingProxyType(dict(zip(OnHosts, row, strict=True)))
        for end, row in {
            #                 done undone unknown invisible
            CommandEnd.NEVER_RAN: (_A, _A, _A, _A),
            CommandEnd.NOT_HEARD: (_D, _U, _U, _U),
            CommandEnd.EXIT_0: (_D, _F, _U, _D),
            CommandEnd.FORGOTTEN: (_D, _A, _U, _F),
            CommandEnd.EXIT_75: (_D, _A, _U, _A),
            CommandEnd.OTHER_EXIT: (_D, _F, _F, _F),
            CommandEnd.OVER: (_D, _A, _F, _A),
            CommandEnd.MAY_RUN: (_D, _F, _F, _F),
        }.items()
    }
)


def on_hosts(holds: bool | None, *, visible: bool) -> OnHosts:
    """`holds`: the verdict of a look; `visible`: whether the change has something that can be looked for."""
    if not visible:
        return OnHosts.INVISIBLE
    return {True: OnHosts.DONE, False: OnHosts.UNDONE, None: OnHosts.UNKNOWN}[holds]


def may_repeat(*, repeatable: bool, attempt: int) -> bool:
    """Whether a change that was sent `attempt` times may be sent again."""
    return repeatable and attempt < ATTEMPTS


def conclude(end: CommandEnd, seen: OnHosts, *, repeatable: bool, attempt: int) -> Conclusion:
    """What it comes to; what was never run may be sent again whatever it is."""
    found = TABLE[end][seen]
    again = may_repeat(repeatable=repeatable or end is CommandEnd.NEVER_RAN, attempt=attempt)
    return Conclusion.FAILED if found is Conclusion.AGAIN and not again else found
