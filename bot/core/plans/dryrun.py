"""A dry run: what a run would do, and how its first checks look now."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.hosts.inventory import Target
from bot.core.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a run would do: the plan, and each check that could be looked at now, with its verdict in words."""

    plan: Plan
    target: Target
    checks: tuple[tuple[str, bool | None, str], ...]
    """(the text of the step, whether it holds: yes, no or not known, the reason)."""

    later: tuple[str, ...] = ()
    """The checks of the first stage that need what an earlier step of the run makes."""
