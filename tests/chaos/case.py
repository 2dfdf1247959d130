"""One thing that is caused, by name: what it is, when it may end otherwise than done, how long it may take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.chaos.play import Play

Kind = Literal["kills", "cuts", "slack", "ring", "others"]
KINDS: tuple[Kind, ...] = ("kills", "cuts", "slack", "ring", "others")

Trouble = Callable[[Play], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case. `family` groups those that differ only in where they strike; `slow`: seconds before people approve.
    `turns_at`: the gate at which they go back, when it is asked for the first time. `retries`: how
    often they click Retry; `then` what they choose where that does not help (`go_back` or `skip`; nothing: they wait).

    `disturbs_ring`: somebody else changes the ring, and logins may fail. `others_gone`: the other backends are taken
    away. `take_down`: the ring's setting, where it is not the usual one.

    `within`: seconds that the whole scene may take, on a loaded machine too. `seldom`: only with --all.
    """

    name: str
    kind: Kind
    family: str
    trouble: Trouble
    may_end: frozenset[str] = frozenset({"done"})
    disturbs_ring: bool = False
    slow: float = 0.0
    turns_at: str = ""
    take_down: str = ""
    retries: int = 2
    then: str = ""
    others_gone: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    within: float = 240.0
    seldom: bool = False
