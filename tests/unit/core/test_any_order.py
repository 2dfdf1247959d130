"""Any order of commands, outcomes, crashes and clock jumps: the laws hold, the fold is the state, a refusal is nothing.

A hypothesis state machine over the core: the runner's part is played by its rules, people and accidents by others.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.core.decisions.approval import Person, answered_already, approval_asked, still_good
from bot.core.decisions.conclude import ATTEMPTS
from bot.core.decisions.decide import (
    AgreeToSkip,
    Approve,
    GoBack,
    Postpone,
    ProposeSkip,
    Retry,
    Steering,
    TakeOver,
    WaitLonger,
    decide,
)
from bot.core.decisions.goback import going_back, way_back_shown
from bot.core.decisions.guards import unflushed
from bot.core.decisions.upnext import (
    Ask,
    BeginWait,
    LookUp,
    MakeChange,
    Prove,
    Record,
    RunCheck,
    Sleep,
    Turn,
    next_action,
)
from bot.core.plans.effects import Effect, effects
from bot.core.plans.laws import gates_needed
from bot.core.plans.plan import PlannedApproval, PlannedChange, PlannedCheck, PlannedStep, PlannedWait
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Fact
from bot.core.runs.fold import apply, begin, fold
from bot.core.runs.run import Run
from bot.core.runs.transitions import TRANSITIONS, Status
from bot.errors import Illegal, Refused
from tests.build import PROVED, REQUESTER, SECOND, THIRD, Story, flush_reading, library, plan
from tests.examples import MANY

PEOPLE = {
    REQUESTER: Person(id=REQUESTER, may_ask=True, may_approve=True),
    SECOND: Person(id=SECOND, may_ask=True, may_approve=True),
    THIRD: Person(id=THIRD, may_ask=True, may_approve=True),
    "U0GUEST": Person(id="U0GUEST", may_ask=False, may_approve=False, barred="a guest"),
    "U0OTHER": Person(id="U0OTHER", may_ask=False, may_approve=False),
}


STARTS = [
    "one-backend-at-a-time",
    "set-vhosts-to-zero",
    "drain",
    "approve-flush",
    "stop-lmtp",
    "stop-dovecot",
    "director-down",
    "flush-users",
    "start-dovecot",
    "test-user-reads-mail",
    "approve-restore",
    "set-vhosts-back",
    "director-up",
    "users-come-back",
]


class AnyOrder(RuleBasedStateMachine):
    """One run, and everything that can come to it."""

    @initialize(whole=st.booleans(), start=st.sampled_from(STARTS))
    def ask(self, whole: bool, start: str) -> None:
        """Begin somewhere: from the request alone, chance would seldom get beyond the preflight."""
        story = Story(plan(config=whole, packages=whole)).until(start)
        self.entries = list(story.entries)
        self.now = story.at
        self.run_: Run = fold(self.entries) or begin(self.entries[0])
        self.sent: list[tuple[str, Run]] = []
        self.judged: tuple[int, str] | None = None
        self.in_doubt: set[str] = set()
        self.asked: list[int] = []
        self.holds: list[int] = [1]

    def tell(self, *facts: Fact) -> None:
        for told in facts:
            entry = Entry(run=self.run_.id, seq=self.run_.seq + 1, at=self.now, fact=told)
            self.run_ = apply(self.run_, entry)
            self.entries.append(entry)
            if isinstance(told, fact.ApprovalAsked | fact.SkipProposed):
                self.asked.append(entry.seq)
            if self.run_.held == entry.seq:
                self.holds.append(entry.seq)

    # the runner

    @rule(times=st.integers(1, 8))
    def all_goes_well(self, times: int) -> None:
        for _ in range(times):
            self.go_on("well")

    @rule(outcome=st.sampled_from(["fails", "unclear", "not run"]))
    def something_goes_wrong(self, outcome: str) -> None:
        self.go_on(outcome)

    def go_on(self, outcome: str) -> None:
        match next_action(self.run_, self.now, library().rules.harmless):
            case Record(fact=told):
                self.tell(told)
            case BeginWait(step=step, until=until):
                self.tell(fact.WaitBegan(step=step.name, until=until))
            case Prove():
                self.tell(PROVED if outcome == "well" else fact.RunHeld(reason="a host is another one"))
            case Ask(gate=gate):
                verified = {"configuration": "c", "packages": "p"}
                asked = approval_asked(self.run_, gate, self.now, (), verified if gate is Gate.RESTORE else {})
                self.tell(asked, *answered_already(asked))
            case RunCheck(step=step):
                self.see(step, outcome)
            case MakeChange(step=step):
                self.make(step, outcome)
            case LookUp(step=step):
                self.look_up(step, outcome)
            case Turn():
                self.turn()
            case Sleep():
                pass

    def see(self, step: PlannedCheck, outcome: str) -> None:
        if outcome != "well":
            self.tell(fact.StepFailed(step=step.name, reason=outcome))
            return
        remembered = dict.fromkeys(step.remember, "dovecot-core=1:2.3.19.1-1")
        self.tell(fact.StepDone(step=step.name, how=fact.How.RAN, reason="seen", remembered=remembered))

    def make(self, step: PlannedChange, outcome: str) -> None:
        if against := unflushed(self.run_):
            self.tell(fact.StepFailed(step=step.name, reason=against))
            return
        grant = self.run_.grant
        due = grant is not None and self.judged != (self.run_.judged_since, grant.digest)
        if grant and due and not self.run_.users_first:
            if still_good(self.run_, grant, PEOPLE[grant.by], self.now):
                self.tell(fact.ApprovalLapsed(gate=grant.gate, reason="not good any more", at=step.name))
                return
            self.judged = (self.run_.judged_since, grant.digest)
        text = step.action.command.text
        # What a host would be sent: only ever behind a look that said it is not done.
        assert step.name not in self.in_doubt, "sent again without having been looked up"
        attempt = self.run_.attempt + 1
        before = self.run_
        seen = flush_reading(step, ready=True)
        self.tell(fact.StepStarted(step=step.name, attempt=attempt, host="somewhere", command=text, seen=seen))
        self.sent.append((text, before))
        if gates_needed(text) and before.grant and not before.users_first:
            assert self.judged == (before.judged_since, before.grant.digest), "sent on an approval that was not judged"
        self.in_doubt.add(step.name)
        if outcome == "well":
            self.done(step, fact.How.RAN)
        elif outcome == "fails":
            self.in_doubt.discard(step.name)
            self.tell(fact.StepFailed(step=step.name, reason=outcome))
        elif outcome == "not run":
            self.in_doubt.discard(step.name)
            self.tell(fact.StepNotDone(step=step.name, reason=outcome))
        else:
            self.tell(fact.StepUnclear(step=step.name, reason=outcome))

    def done(self, step: PlannedStep, how: fact.How) -> None:
        self.in_doubt.discard(step.name)
        self.tell(fact.StepDone(step=step.name, how=how, reason="seen", seen=flush_reading(step, flushed=True)))

    def look_up(self, step: PlannedChange, outcome: str) -> None:
        self.in_doubt.discard(step.name)
        if outcome == "well":
            self.done(step, fact.How.LOOKED_UP)
        elif step.repeatable and self.run_.attempt < ATTEMPTS and outcome == "not run":
            self.tell(fact.StepNotDone(step=step.name, reason="looked up"))
        else:
            self.tell(fact.StepFailed(step=step.name, reason="nobody knows"))

    def turn(self) -> None:
        try:
            back = going_back(self.run_)
        except Refused as error:
            self.tell(fact.RunHeld(reason=str(error)))
            return
        nothing = fact.RunEnded(outcome=fact.Outcome.ABORTED)
        self.tell(fact.TurnedBack(plan=back) if back else nothing)

    # accidents

    @precondition(lambda self: self.run_.status is Status.BUSY)
    @rule()
    def crash_while_busy(self) -> None:
        assert self.run_.step is not None
        self.tell(fact.StepUnclear(step=self.run_.step.name, reason="the bot was stopped"))

    @rule()
    def restart(self) -> None:
        self.the_fold_is_the_state()
        self.run_ = fold(self.entries) or self.run_
        self.judged = None

    @precondition(lambda self: self.run_.status is not Status.ENDED and self.run_.boot_id)
    @rule(lost=st.booleans())
    def the_backend_boots(self, lost: bool) -> None:
        made = [step.name for step in self.run_.made if not self.run_.plan.back and step in self.run_.plan.steps]
        back_to = made[-1] if lost and made else ""
        self.tell(fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason="looked again", lost=back_to))

    @precondition(lambda self: fact.TakenOver in TRANSITIONS[self.run_.status])
    @rule(user=st.sampled_from(sorted(PEOPLE)), rarely=st.sampled_from([True, *[False] * 9]))
    def take_over(self, user: str, rarely: bool) -> None:
        if rarely:
            self.command(TakeOver(person=PEOPLE[user], reason="I know better"))

    @rule(minutes=st.sampled_from([1, 6, 16, 61, 500]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @precondition(lambda self: self.run_.enforced and self.run_.status is not Status.ENDED)
    @rule()
    def somebody_changes_the_ring(self) -> None:
        step = "set-vhosts-to-zero"
        self.tell(fact.RingDeviated(step=step, host="director-1", reason="vhosts is 100"))
        self.tell(fact.RingSetBack(step=step, holds=True, reason="vhosts 0"))

    # people

    def command(self, command: Steering) -> None:
        before, facts_before = self.run_, len(self.entries)
        try:
            facts = decide(self.run_, command, self.now)
        except Refused:
            assert self.run_ is before
            assert len(self.entries) == facts_before
            return
        self.tell(*facts)

    @rule(user=st.sampled_from(sorted(PEOPLE)), not_now=st.sampled_from([False, False, False, True]), old=st.booleans())
    def answer(self, user: str, not_now: bool, old: bool) -> None:
        if self.asked:
            ask = self.asked[0] if old else self.asked[-1]
            if not_now:
                self.command(Postpone(person=PEOPLE[user], ask=ask, reason="later", message="1.1"))
            else:
                self.command(Approve(person=PEOPLE[user], ask=ask, message="1.1"))

    @rule(user=st.sampled_from(sorted(PEOPLE)), old=st.booleans())
    def wait_longer(self, user: str, old: bool) -> None:
        if self.asked:
            ask = self.asked[0] if old else self.asked[-1]
            self.command(WaitLonger(person=PEOPLE[user], ask=ask, reason="", message="1.1"))

    @rule(user=st.sampled_from(sorted(PEOPLE)), old=st.booleans())
    def retry(self, user: str, old: bool) -> None:
        self.command(Retry(person=PEOPLE[user], held=self.holds[0] if old else self.holds[-1]))

    @rule(user=st.sampled_from(sorted(PEOPLE)), second=st.sampled_from(sorted(PEOPLE)))
    def skip(self, user: str, second: str) -> None:
        self.command(ProposeSkip(person=PEOPLE[user], held=self.holds[-1], reason="because"))
        if self.asked:
            self.command(AgreeToSkip(person=PEOPLE[second], ask=self.asked[-1]))

    @rule(
        user=st.sampled_from(sorted(PEOPLE)), rarely=st.sampled_from([True, False, False, False]), first=st.booleans()
    )
    def go_back(self, user: str, rarely: bool, first: bool) -> None:
        if rarely:
            start = first and self.run_.users_wait
            self.command(GoBack(person=PEOPLE[user], reason="abort", start_first=start, shown=self.shown(start)))

    def shown(self, start: bool) -> str:
        """What the form shows of the way back; whoever starts dovecot first, or types it, has seen none."""
        if start or self.run_.plan.back or len(self.entries) % 2:
            return ""
        try:
            return way_back_shown(going_back(self.run_))
        except Refused:
            return ""

    # what must hold, always

    def the_fold_is_the_state(self) -> None:
        """Each state is made of the one before it, so one that was not the fold would still show at the end."""
        assert fold(self.entries) == self.run_

    def teardown(self) -> None:
        self.the_fold_is_the_state()

    @invariant()
    def nothing_was_sent_without_its_approval(self) -> None:
        for text, before in self.sent[-1:]:
            given = {
                gate for entry in self.entries if isinstance(entry.fact, fact.Approved) for gate in [entry.fact.gate]
            }
            if before.plan.back and Gate.GO_BACK in given:
                given.add(Gate.FLUSH)
            assert gates_needed(text) <= given, text

    @invariant()
    def nothing_is_deleted_that_was_not_flushed(self) -> None:
        for text, before in self.sent[-1:]:
            assert before.metacache.flushed or Effect.DELETE not in effects(text), text

    @invariant()
    def every_approval_is_by_somebody_else_of_the_approvers(self) -> None:
        """Of two persons in any case: on the way back, somebody else than whoever asked for that."""
        for at, entry in enumerate(self.entries):
            if not isinstance(entry.fact, fact.Approved):
                continue
            before = [one.fact for one in self.entries[:at]]
            turned = any(isinstance(one, fact.TurnedBack) for one in before)
            asked = next((one for one in reversed(before) if isinstance(one, fact.GoBackAsked)), None)
            by_word = asked is not None and bool(asked.approves)
            first = asked.by if turned and asked and not by_word else REQUESTER
            assert entry.fact.by not in {first, "U0GUEST", "U0OTHER"}

    @invariant()
    def a_run_that_ended_left_the_ring_as_it_was_or_said_why_not(self) -> None:
        """Ended runs free their ring: then the backend must be back, or never have been out."""
        run = self.run_
        if run.status is not Status.ENDED:
            return
        if run.outcome is fact.Outcome.TAKEN_OVER:
            return
        out = [step for step in run.touched if step.name == "set-vhosts-to-zero"]
        done = {entry.fact.step for entry in self.entries if isinstance(entry.fact, fact.StepDone)}
        back = {"set-vhosts-back", "undo-set-vhosts-to-zero"}
        assert not out or back & done

    @invariant()
    def what_cannot_follow_is_refused(self) -> None:
        if self.run_.status is Status.ENDED:
            entry = Entry(run=self.run_.id, seq=self.run_.seq + 1, at=self.now, fact=fact.RetryChosen(by=SECOND))
            with pytest.raises(Illegal):
                apply(self.run_, entry)


AnyOrder.TestCase.settings = settings(
    stateful_step_count=50 if MANY else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestAnyOrder = AnyOrder.TestCase


def test_every_kind_of_step_is_in_the_plan_that_is_played() -> None:
    """The machine is only worth something if the plan has all that it is to meet."""
    assert {type(step) for step in plan().steps} == {PlannedCheck, PlannedChange, PlannedWait, PlannedApproval}
