"""What a run knows of its backend's metacache: whether what it alone holds was uploaded before anything of it goes.

Stopping dovecot uploads it where the flush unit is active right before, and then both stop well: that stop is a flush.
Where dovecot served since, mail was written that no flush has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from bot.core.hosts.inventory import Target
from bot.core.plans.effects import GUARD_REFUSED, Effect
from bot.core.plans.plan import Expected, PlannedApproval, PlannedChange, PlannedCheck, PlannedStep, PlannedWait, Value
from bot.core.plans.procedure import Where
from bot.core.runs import events as fact


@dataclass(frozen=True, kw_only=True)
class MetacacheState:
    """The metacache as its run saw it."""

    unit_ready: bool = False
    """Whether the flush unit was seen active right before dovecot was stopped."""
    invocation: str = ""
    """Systemd's id of the dovecot whose stop it was, or is to be; empty where it was not read."""
    flushed: bool = False
    """Whether that stop was then seen to be a flush: nothing may be deleted otherwise."""
    emptied: frozenset[str] = frozenset()
    """The deletions that were made after such a flush."""

    def stop_sent(self, started: fact.StepStarted) -> MetacacheState:
        """Dovecot is about to be stopped.

        A stop that is sent again may find the flush over already: what the first one was preceded by counts, where
        dovecot is seen not to have served on.
        """
        before = _read(started.seen)
        stopped = bool(before) and not any(one.get("dovecot") == "active" for one in before)
        earlier = self.unit_ready and stopped and not self.served_since(started.seen)
        invocation = next((str(one["invocation"]) for one in before if "invocation" in one), "")
        return replace(self, unit_ready=earlier or any(one["ready"] for one in before), invocation=invocation)

    def done(self, step: PlannedStep, done: fact.StepDone) -> MetacacheState:
        """A step was seen done."""
        state = replace(self, flushed=self._flushed_by(step, done))
        if Effect.DELETE not in step.does:
            return state
        before = done.how is fact.How.FOUND and step.name in self.emptied  # this run had deleted it already
        others = self.emptied - {step.name}
        return replace(state, emptied=others | {step.name} if state.flushed or before else others)

    def _flushed_by(self, step: PlannedStep, done: fact.StepDone) -> bool:
        if Effect.START_DOVECOT in step.does:
            return False
        if Effect.STOP_DOVECOT not in step.does:
            return self.flushed
        flushed = any(one["flushed"] for one in _read(done.seen))
        return self.unit_ready and flushed and not self.served_since(done.seen)

    def not_done(self, step: PlannedStep | None, new: fact.StepNotDone | fact.StepFailed) -> MetacacheState:
        """A stop that did not happen had nothing right before it; once dovecot was seen to run, nothing is flushed."""
        if step is None:
            return self
        states = {str(one.reading["active"]) for one in new.seen if one.probe == "unit" and one.reading}
        never_sent = bool(new.ran) and not new.seen and not any(one.changes for one in new.ran)
        failed = any(one.changes and one.exit_status for one in new.ran) and not states & {"inactive", "failed"}
        if Effect.STOP_DOVECOT in step.does and (never_sent or failed or "active" in states):
            return replace(self, unit_ready=False)
        refused = any(one.changes and one.exit_status == GUARD_REFUSED for one in new.ran)
        runs = _looks_at_dovecot(step) and states - {"inactive", "failed"}
        return replace(self, flushed=False) if refused or runs or self.served_since(new.seen) else self

    def served_since(self, seen: Sequence[fact.Seen]) -> bool:
        """Whether dovecot was started since it was the one whose stop this is about: each start has its own id."""
        ids = {one["invocation"] for one in _read(seen) if "invocation" in one}
        return bool(self.invocation) and bool(ids - {self.invocation})

    def why_nothing_is_deleted(self, flush_unit: str, seen: Sequence[fact.Seen]) -> str:
        """Why a deletion is not sent, with what to do; empty where it may be. `seen`: what was read right now."""
        if not self.flushed:
            why = (
                "the metacache was not seen to be flushed. That needs a stop of dovecot by this run with"
                f" {flush_unit} active right before it, inactive after it, and both stopped with success"
            )
        elif any(one.get("invocation") == "" for one in _read(seen)):
            why = "systemd does not say which start of dovecot was the last, so it may have written since its flush"
        elif self.served_since(seen):
            why = "dovecot was started since its stop flushed the metacache, and no flush has seen what it wrote since"
        else:
            return ""
        return (
            f"nothing is deleted: {why}. What to do: go back, which starts dovecot on the metacache as it is; or see by"
            " hand that all of it is in the object storage, and let a second engineer agree to skip this step"
        )

    def booted(self) -> MetacacheState:
        """A stop before the boot says nothing of what was written since."""
        return replace(self, unit_ready=False, flushed=False)


def flush_seen(target: Target) -> tuple[Expected, ...]:
    """What is read of the metacache's flush, right before dovecot is stopped and right after; nothing without one."""
    if target.ring.metacache is None:
        return ()
    asks: dict[str, Value] = {"unit": target.ring.metacache.flush_unit}
    return (Expected(probe="metacache-flush", where=Where.BACKEND, asks=asks),)


def _read(seen: Sequence[fact.Seen]) -> list[Mapping[str, str | int | bool]]:
    return [one.reading for one in seen if one.probe == "metacache-flush" and one.reading]


def _looks_at_dovecot(step: PlannedStep) -> bool:
    """Whether the units that this step looks at are dovecot alone."""
    looks: tuple[Expected, ...] = ()
    match step:
        case PlannedCheck():
            looks = step.expect
        case PlannedChange():
            looks = (*step.only_if, *step.action.done_when)
        case PlannedWait() | PlannedApproval():
            pass
        case _:
            assert_never(step)
    return {look.asks["name"] for look in looks if look.probe == "unit"} == {"dovecot"}
