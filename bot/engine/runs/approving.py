"""Approvals of one run: put to people with what is seen now, and judged again before they are acted on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bot.core.decisions.approval import Person, answered_already, approval_asked, felt, still_good
from bot.core.decisions.as_shown import as_left, ring_is_past, to_read
from bot.core.decisions.as_shown import evidence as standing
from bot.core.decisions.guards import Standing, as_verified, to_be_shown
from bot.core.plans.effects import Effect
from bot.core.plans.observed import expected_of
from bot.core.plans.plan import Expected, PlannedCheck
from bot.core.plans.procedure import Gate, Where
from bot.core.readings.expect import counts_only
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.text.dates import clock
from bot.engine.looks.beside import beside
from bot.engine.looks.looking import Looking
from bot.engine.looks.observation import Observation, users_counted
from bot.engine.ports import People, Ports
from bot.engine.runs.runlog import RunLog, fields

log = logging.getLogger(__name__)


_UNSURE = timedelta(minutes=5)
"""How long it is waited for to know whether who approved still may; then it is asked for again, and people see it."""


class Approvals:
    """Asks, and judges. What was judged is remembered in this process alone: a restart judges again."""

    def __init__(self, ports: Ports, runlog: RunLog, looking: Looking) -> None:
        self._ports = ports
        self._runlog = runlog
        self._looking = looking
        self._judged: tuple[int, str] | None = None
        self._unsure: tuple[tuple[int, str], datetime] | None = None

    async def ask(self, gate: Gate, run: Run) -> None:
        """Look at what the approvers are to be shown, and record the question; the run holds where it is not so."""
        assert run.step is not None
        # Before all others: what is changed in between lets the approval lapse, and is no part of it.
        verified = await self._verified(gate, run)
        if verified is None:
            return
        shown = await self._shown(gate, run)
        if shown is None:
            return
        evidence, seen, not_so = shown
        evidence += standing(verified, run.observed.get("packages_before", "")) if gate is Gate.FLUSH else ()
        evidence += felt(run, seen) if gate is Gate.FLUSH and not run.may_have_disturbed else ()
        not_so |= await self._not_left_so(run) if gate is Gate.RESTORE else {}
        requester = await asked_by(run, self._ports.people)
        now = self._ports.clock.now()
        asked = approval_asked(run, gate, now, tuple(evidence), verified, seen=seen, not_so=not_so, requester=requester)
        # The dialog that opens at a click has the last count, and is to say no other number than the question.
        counted = users_counted(run, seen)
        await self._runlog.record(*counted, asked, *answered_already(asked), only_after=run.last_decisive)

    async def _shown(self, gate: Gate, run: Run) -> tuple[list[str], list[fact.Seen], dict[str, str]] | None:
        """What the checks see now, in words, what they read, and by check what is not so; None where it holds."""
        checks = self._evidence(gate, run)
        words = {check.name: run.looks.get(check.name) for check in checks}
        seen: list[fact.Seen] = []
        not_so = {}
        anew = [check for check in checks if _is_due(gate, check, run)]
        asked_again = run.lapsed is not None and run.lapsed.gate is gate
        async with beside(*(self._looked(gate, check, run) for check in anew)) as looks:
            for check, looking in zip(anew, looks, strict=True):
                observation = await looking
                holds, reason = observation.verdict.holds, observation.verdict.reason
                # Where it is asked for again, for what is left, people are shown what is so now, and decide.
                shown_so = asked_again and (holds is False or not _of_use(gate, check, run))
                if not counts_only(check) and not holds and not shown_so:
                    await self._failed(run, f"what the approval is to show is not so: {reason}", observation)
                    return None
                if not holds and not counts_only(check):
                    how = "not so any more" if holds is False else "cannot be read now"
                    not_so[check.name] = f"{how}: {reason.rstrip('.')}"
                # Once dovecot is stopped nothing can be counted there: what was counted last is shown.
                if holds or not counts_only(check):
                    words[check.name] = reason
                seen += observation.seen
        return [word for word in words.values() if word is not None], seen, not_so

    async def _looked(self, gate: Gate, check: PlannedCheck, run: Run) -> Observation:
        wanted = _of_use(gate, check, run)
        if counts_only(check) or not wanted:
            return await self._looking.look(check.expect)
        return await self._until_seen(run, wanted, check.within)

    async def _verified(self, gate: Gate, run: Run) -> Mapping[str, str] | None:
        """What the backend is now, as far as the approval is for that; None where it cannot be read, and it holds."""
        if gate is Gate.RESTORE:
            wanted = as_verified(Standing(back=run.plan.back, disturbed=True))
            names = {"configuration": "digest", "packages": "installed"}
        else:
            wanted, names = to_read(to_be_shown(run) if gate is Gate.FLUSH else frozenset(), run.plan)
        if not wanted:
            return {}
        observation = await self._until_seen(run, wanted)
        if not observation.verdict.holds:
            await self._failed(run, f"what is there now cannot be read: {observation.verdict.reason}", observation)
            return None
        return observation.remembered(names)

    async def _not_left_so(self, run: Run) -> dict[str, str]:
        """By step, what is not seen to be as it left packages and configuration, in words."""
        found = {}
        for step, looks in as_left(run):
            verdict = (await self._until_seen(run, looks)).verdict
            if not verdict.holds:
                how = "not as it was left" if verdict.holds is False else "not seen to be as it was left"
                found[step.name] = f"{how}: {verdict.reason}"
        return found

    async def _until_seen(
        self, run: Run, expectations: Sequence[Expected], within: timedelta = timedelta(0)
    ) -> Observation:
        """Look until it is so; no longer once a person has done something, as nothing of it is written then."""
        timings, clock = self._ports.timings, self._ports.clock
        patience = max(within, timings.patience)
        give_up = clock.now() + patience

        def decides(observation: Observation) -> bool:
            holds = observation.verdict.holds
            passed = holds is False and clock.now() >= give_up  # what cannot be read is waited for longer
            return holds is True or passed or self._runlog.run.last_decisive != run.last_decisive

        return await self._looking.until(decides, expectations, max(patience, timings.patience_with(run)))

    async def _failed(self, run: Run, reason: str, observation: Observation) -> None:
        assert run.step is not None
        failed = fact.StepFailed(step=run.step.name, reason=reason, ran=observation.ran, seen=observation.seen)
        await self._runlog.record(failed, only_after=run.last_decisive)

    @staticmethod
    def _evidence(gate: Gate, run: Run) -> tuple[PlannedCheck, ...]:
        """The checks whose readings a gate shows; on the way back, as far as it has them."""
        at = run.plan.approval(gate)
        names = at.evidence if at else ()
        return tuple(step for step in run.plan.steps if isinstance(step, PlannedCheck) and step.name in names)

    async def judged(self, run: Run) -> str | fact.ApprovalLapsed | timedelta:
        """Whether the approval that the step at hand stands behind may be acted on now.

        The answer is a remark for the record where it was not judged, as users wait (empty where it was good), or why
        it has lapsed, or after how long to try again, as it cannot be known now whether somebody may approve.
        """
        if run.grant is None or run.step is None:
            waits = run.users_first and run.lapsed
            return _unjudged(run.lapsed, "has lapsed") if waits and run.lapsed else ""
        due = self._judged != (run.judged_since, run.grant.digest)
        if run.users_first:
            return _unjudged(run.grant, "was not judged again") if due else ""
        if not due:
            return ""
        person, now = await self._ports.people.person(run.grant.by), self._ports.clock.now()
        judged = (run.judged_since, run.grant.digest)
        if not person.may_yet_approve or self._unsure is None or self._unsure[0] != judged:
            self._unsure = (judged, now) if person.may_yet_approve else None
        if self._unsure and now - self._unsure[1] < _UNSURE:
            why = person.barred or person.approve_unknown
            log.warning("waits: who approved cannot be looked up now: %s", why, extra=fields(run))
            return self._ports.timings.shown_within
        requester = await asked_by(run, self._ports.people)
        against = still_good(run, run.grant, person, now, requester) or await self._not_so(run, run.grant)
        if against:
            return fact.ApprovalLapsed(gate=run.grant.gate, reason=against, at=run.step.name)
        self._judged = (run.judged_since, run.grant.digest)
        return ""

    def judge_again(self) -> None:
        """What was judged before is old, as the run has waited since."""
        self._judged = None

    async def _not_so(self, run: Run, grant: fact.Grant) -> str:
        """What the approval showed and is not so any more; counts that move by themselves are not judged."""
        assert run.step is not None
        if Effect.RESTORE in run.step.does and "configuration" not in run.verified:
            return "it does not say which configuration and packages were verified"
        evidence = [check for check in self._evidence(grant.gate, run) if _is_due(grant.gate, check, run)]
        judged = [one for one in evidence if not counts_only(one) and _of_use(grant.gate, one, run)]
        async with beside(*(self._looked(grant.gate, check, run) for check in judged)) as looks:
            for looking in looks:
                verdict = (await looking).verdict
                if not verdict.holds and verdict.reason not in grant.evidence:
                    how = "is not so any more" if verdict.holds is False else "cannot be read"
                    return f"what it showed {how}: {verdict.reason}"
        return ""


async def asked_by(run: Run, people: People) -> Person | None:
    """Whoever asked for the run, as Slack knows them now; None once its users were disturbed: it needs no more word."""
    if run.plan.back or run.disturbed or run.may_have_disturbed:
        return None
    return await people.person(run.request.requester)


def _is_due(gate: Gate, check: PlannedCheck, run: Run) -> bool:
    """Whether what a check sees is looked at anew."""
    return check.name in run.seen_done and not _is_past(gate, check, run)


def _is_past(gate: Gate, check: PlannedCheck, run: Run) -> bool:
    """Whether it saw the backend as it was before this run changed its packages or its configuration.

    A proposed configuration that was put in place stands no longer where it was looked at: had that to be so still,
    nobody could approve what is left.
    """
    of_backend = any(expected.where is Where.BACKEND for expected in check.expect)
    return gate is Gate.FLUSH and run.reconfigured and of_backend


def _of_use(gate: Gate, check: PlannedCheck, run: Run) -> tuple[Expected, ...]:
    """What of a check is judged: not what it asks directors, once they have nothing to do with what is left.

    A director that is gone then keeps no dovecot stopped; what the check expects of the backend counts as before.
    """
    past = gate is Gate.FLUSH and ring_is_past(run)
    return tuple(one for one in expected_of(check, run.observed) if one.where is Where.BACKEND or not past)


def _unjudged(grant: fact.Grant, how: str) -> str:
    return (
        f"users wait, so this is sent at once, with the {grant.gate} approval of <@{grant.by}>,"
        f" {clock(grant.given)}, which {how}"
    )
