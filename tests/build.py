"""Builds what many tests begin with: the real procedure, a ring, a plan, a run told fact by fact."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import ClassVar

from bot.core.decisions.approval import answered_already, approval_asked, felt
from bot.core.decisions.upnext import (
    Ask,
    BeginWait,
    MakeChange,
    Prove,
    Record,
    RunCheck,
    next_action,
)
from bot.core.hosts.inventory import Ring, Target
from bot.core.plans.effects import Effect
from bot.core.plans.fill import Order, make_plan
from bot.core.plans.plan import Plan, PlannedChange, PlannedStep
from bot.core.plans.procedure import Gate
from bot.core.plans.proposal import PackageChange, Proposal
from bot.core.readings.outputs import Reading
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Fact, RunRequested, Seen
from bot.core.runs.fold import apply, begin
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.library import Library, procedures_folder, read_library

REQUESTER, SECOND, THIRD = "U0ALICE", "U0BOB", "U0CAROL"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@cache
def library() -> Library:
    """The procedures that the product ships."""
    return read_library(procedures_folder())


def ring(*, metacache: bool = True, move_first: bool = False) -> Ring:
    """Two directors, three backends; its take-down is the usual one, or moves the users first."""
    table: dict[str, object] = {
        "take_down": "move-first" if move_first else None,
        "name": "main",
        "test_user": "probe@example.org",
        "directors": [{"name": "director-1"}, {"name": "director-2"}],
        "backends": [{"name": f"backend-{n}", "ip": f"192.0.2.{10 + n}"} for n in (1, 2, 3)],
    }
    return Ring.model_validate(table | ({"metacache": {}} if metacache else {}))


def target(*, metacache: bool = True, move_first: bool = False) -> Target:
    """backend-3 of that ring."""
    made = ring(metacache=metacache, move_first=move_first)
    return Target(ring=made, backend=made.backends[2])


def order(*, config: bool = True, packages: bool = True, metacache: bool = True, move_first: bool = False) -> Order:
    """An order for backend-3."""
    return Order(
        run="r2025a",
        target=target(metacache=metacache, move_first=move_first),
        proposal=Proposal(name="spring", digest="c0" * 32) if config else None,
        packages=(PackageChange(name="dovecot-core", version="1:2.3.19.1-2", before="1:2.3.19.1-1"),)
        if packages
        else (),
        drain=timedelta(minutes=15),
        approval_open=timedelta(hours=1),
    )


@cache
def plan(**given: bool) -> Plan:
    """The plan of the shipped procedure for that order."""
    return make_plan(library().procedures[0], order(**given))


PROVED = fact.HostsProved(
    backend="backend-3",
    by="an address of its interfaces",
    machine_id="0" * 32,
    boot_id="00000000-0000-4000-8000-000000000000",
    lock="/home/bot/.dovecot-bot-backend-3.lock",
    directors={"director-1": "192.0.2.1:9090", "director-2": "192.0.2.2:9090"},
)


def flush_reading(step: PlannedStep, *, ready: bool = False, flushed: bool = False) -> tuple[fact.Seen, ...]:
    """What is read of the metacache's flush around a stop of dovecot; nothing around any other step."""
    if Effect.STOP_DOVECOT not in step.does:
        return ()
    reading: Reading = {"ready": ready, "flushed": flushed, "said": "as it should be"}
    return (fact.Seen(host="backend-3", probe="metacache-flush", reading=reading),)


def heard(step: PlannedChange) -> tuple[fact.Ran, ...]:
    """The command of a change that ended well."""
    text, took = step.action.command.text, timedelta(seconds=1)
    ran = fact.Ran(host="somewhere", command=text, exit_status=0, took=took, output="", output_bytes=0, changes=True)
    return (ran,)


VERIFIED = {"configuration": "d" * 64, "packages": "dovecot-core=1"}
IN_PLACE = ".\td\t755\troot\troot\t\ndovecot.conf\tf\t644\troot\troot\t" + "d" * 32
STANDS = {
    "in_place": IN_PLACE,
    "installed": "dovecot-core=1:2.3.19.1-1",
    "downloaded": "none",
    "way_back": "there",
    "dovecot_load": "loaded",
    "dovecot_active": "active",
    "dovecot_enabled": "enabled",
}


def asked_for(made: Plan, at: datetime) -> Entry:
    """The first fact of a run of this plan."""
    request = RunRequested(
        procedure="dovecot-upgrade",
        target=target(),
        requester=REQUESTER,
        team="T0",
        channel="C0OPS",
        text="backend-3",
        plan=made,
        config="spring",
        reason="the security update of November",
        ticket="OPS-4711",
    )
    return Entry(run="r2025a", seq=1, at=at, fact=request)


class Story:
    """A run told fact by fact, a second apart."""

    made_before: ClassVar[dict[tuple[type[Story], int, datetime], tuple[object, list[Entry], Run]]] = {}
    """What came next where all had gone well, and the run then, by the identity of the plan, later of the run before.

    These are kept too, so that nothing else gets their identity.
    """

    def __init__(self, made: Plan | None = None, at: datetime = NOON) -> None:
        self.at, made = at, made or plan()
        key = (type(self), id(made), at)
        if key not in self.made_before:
            first = asked_for(made, at)
            self.made_before[key] = made, [first], begin(first)
        _, came, self.run = self.made_before[key]
        self.entries = [*came]
        self._went_well = True

    def tell(self, *facts: Fact) -> Story:
        """The run after these facts too."""
        self._went_well = False
        for told in facts:
            self.at += timedelta(seconds=1)
            entry = Entry(run=self.run.id, seq=self.run.seq + 1, at=self.at, fact=told)
            self.run = apply(self.run, entry)
            self.entries.append(entry)
        return self

    def until(self, step: str | None, *, on: Status | None = None) -> Story:
        """Everything goes well until that step is at hand (None: to the end), or has reached the status."""
        while not ((self.run.step.name if self.run.step else None) == step and (on is None or self.run.status is on)):
            if self.run.status is Status.ENDED:
                raise AssertionError(f"the run ended before {step}")
            self._go_on() if self._went_well else self.tell(*self.well())
        return self

    def _go_on(self) -> None:
        """As in the first story that came this way."""
        before, told, key = self.run, len(self.entries), (type(self), id(self.run), self.at)
        if key not in self.made_before:
            self.tell(*self.well())
            self.made_before[key] = before, self.entries[told:], self.run
        else:
            _, came, self.run = self.made_before[key]
            self.entries += came
            self.at = came[-1].at
        self._went_well = True

    def well(self) -> Iterable[Fact]:
        """The facts of the next thing, going well."""
        step = self.run.step
        if self.run.status is Status.ASKING:
            asked = self.run.asked.fact if self.run.asked else None
            assert isinstance(asked, fact.ApprovalAsked)
            by = next(one for one in (SECOND, THIRD) if one not in asked.not_by)
            return [fact.Approved(step=asked.step, gate=asked.gate, by=by, digest=asked.digest, message="1.1")]
        if self.run.status is Status.BUSY:
            assert isinstance(step, PlannedChange)
            seen = flush_reading(step, flushed=True)
            done = fact.StepDone(step=step.name, how=fact.How.RAN, ran=heard(step), reason="it is so", seen=seen)
            return [done]
        now = self.at + timedelta(days=self.run.status is Status.WAITING)
        action = next_action(self.run, now, library().rules.harmless)
        match action:
            case Record():
                return [action.fact]
            case Prove():
                return [PROVED]
            case BeginWait(step=wait, until=until):
                return [fact.WaitBegan(step=wait.name, until=until, clocks={"director-1": 1, "director-2": 2})]
            case Ask(gate=gate):
                verified = {Gate.RESTORE: VERIFIED, Gate.FLUSH: STANDS}.get(gate, {})
                counted = [
                    Seen(host=host, probe="director-hosts", reading={"users": users, "usable_others": 2})
                    for host, users in self.run.ring.users.items()
                ]
                tells = felt(self.run, counted) if gate is Gate.FLUSH and not self.run.may_have_disturbed else ()
                shown = ("as it should be", *tells)
                asked = approval_asked(self.run, gate, self.at, shown, verified, seen=counted)
                return [asked, *answered_already(asked)]
            case RunCheck(step=check):
                remembered = dict.fromkeys(check.remember or {}, "dovecot-core=1:2.3.19.1-1")
                good = "as it should be"
                return [fact.StepDone(step=check.name, how=fact.How.RAN, reason=good, remembered=remembered)]
            case MakeChange(step=change):
                assert change.action is not None
                text = change.action.command.text
                seen = flush_reading(change, ready=True)
                return [fact.StepStarted(step=change.name, attempt=1, host="somewhere", command=text, seen=seen)]
            case _:
                raise AssertionError(f"nothing goes well by itself here: {action}")

    def fail(self, reason: str = "it is not so") -> Story:
        """The step at hand fails."""
        assert self.run.step is not None
        if isinstance(self.run.step, PlannedChange) and self.run.status is Status.READY:
            self.tell(*self.well())
        return self.tell(fact.StepFailed(step=self.run.step.name, reason=reason))
