"""What a run without any trouble tells: its facts and its changes, at which everything is then caused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from tests.chaos.evidence import Evidence, bare


@dataclass(frozen=True, kw_only=True)
class Good:
    """A run that went well: the names of its facts, and of each change a part that no other command has.

    Without the counts of users: how often they change differs from run to run, and most are written with another fact.
    """

    facts: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    """(step, part)."""
    back: tuple[str, ...] = ()
    """The facts of a run that goes back, from where it turns round."""
    moving: tuple[str, ...] = ()
    """The facts of a run that moves first, from there to the end of its take-down."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The facts with which stages began, but for the first: what fails there ends the run, changing nothing."""
        return tuple(name for name in self.facts if name.startswith("StageBegan:"))[1:]

    def before_any_drain(self, step: str) -> bool:
        """Whether a change is part of the first stage, whose failure ends the run as refused."""
        return self.facts.index(f"StepStarted:{step}") < self.facts.index(self.stages[0])

    @property
    def in_move(self) -> tuple[str, ...]:
        """Those of the facts of a run that moves first that come before its take-down."""
        return tuple(takewhile(lambda name: name != "StageBegan:take-down", self.moving))

    @property
    def while_out(self) -> tuple[str, ...]:
        """The facts during which the backend is out: from vhosts 0 to the restore click, not included."""
        first = self.facts.index("StepDone:set-vhosts-to-zero")
        last = self.facts.index("Approved:approve-restore")
        return self.facts[first:last]


def good_run(facts: Iterable[str], seen: Evidence, back: Iterable[str] = (), moving: Iterable[str] = ()) -> Good:
    """What a good run's evidence tells for the cases; `back` and `moving`: the facts of one that did so."""
    run = seen.entries[0].run
    changes = []
    for step in seen.changes:
        if seen.ran(step.action.command.text):
            parts = re.split(rf"/etc/dovecot\.{run}|'", bare(step.action.command.text))
            changes.append((step.name, max(parts, key=len)))
    named, turned = (tuple(name for name in names if not name.startswith("UsersCounted")) for names in (facts, back))
    way = turned[turned.index("TurnedBack") :] if "TurnedBack" in turned else ()
    moves = tuple(name for name in moving if not name.startswith("UsersCounted"))
    between = moves[moves.index("StageBegan:move") : moves.index("StageBegan:upgrade")] if moves else ()
    return Good(facts=named, changes=tuple(changes), back=way, moving=between)
