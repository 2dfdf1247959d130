"""What was posted of each run, as it is kept: the port of whoever shows runs, which the journal's database implements.

It decides nothing and holds no fact; lost, it can only make the thread say something twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, kw_only=True)
class Post:
    """A message of a run: `part` counts those of a fact, `ts` is Slack's name for it or the id of a file.

    Without a `ts` it is *sending*; *marked* is sent as a possible repeat.
    """

    run: str
    seq: int
    part: int
    channel: str
    ts: str | None
    state: Literal["sending", "sent", "marked"]


class Posts(Protocol):
    """Keeps what was posted, for good; every method raises JournalError when it cannot."""

    async def begin(self, run: str, seq: int, part: int, channel: str) -> None:
        """Commit a row as *sending* before it returns; one that is there already stays as it is."""

    async def sent(self, run: str, seq: int, part: int, ts: str, *, marked: bool = False) -> None:
        """The row is *sent*, or *marked*, from now on, with this ts; also when it was before, with another one."""

    async def of(self, run: str) -> Sequence[Post]:
        """All rows of a run."""

    async def cursor(self, run: str) -> int:
        """The last fact that was posted whole; 0 at first."""

    async def advance(self, run: str, seq: int) -> None:
        """Everything up to this fact was posted; 0 notes that this run is shown from now on."""

    async def behind(self) -> Sequence[str]:
        """The runs that have ended and have a cursor that is before their last fact."""
