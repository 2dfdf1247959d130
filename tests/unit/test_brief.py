"""The few lines that an approval is decided on: what is in them, what is an alarm, and that they fit a phone."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from shutil import which

import pytest

from bot.adapters.slack.messages.approval import approval
from bot.core.decisions.approval import felt
from bot.core.decisions.brief import Brief, brief
from bot.core.plans.procedure import Gate
from bot.core.readings.packages import is_older
from bot.core.runs import events as fact
from bot.core.runs.events import Seen
from bot.core.runs.ring_state import RingState
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.text.amount import named
from tests.build import SECOND, Story, plan
from tests.unit.messages import GROUP, as_read, last, seen
from tests.unit.stories import on_its_way_back

AT_GATE = Story().until("approve-flush", on=Status.ASKING)


def of(probe: str, **reading: str | int) -> Seen:
    return Seen(host="backend-3", probe=probe, reading=reading)


def directors(**reading: str | int) -> Seen:
    return of("director-hosts", **{"users": 14, "usable_others": 2, **reading})


def made(run: Run, *seen: Seen, gate: Gate = Gate.FLUSH, verified: Mapping[str, str] | None = None) -> Brief:
    return brief(run, gate, seen, verified or {}, run.at + timedelta(minutes=26))


def at_gate(order: str) -> Run:
    return Story(plan(move_first=order == "move-first")).until("approve-flush", on=Status.ASKING).run


@pytest.mark.parametrize(
    ("order", "alarms", "felt_first", "named"),
    [
        (
            "runbook",
            True,
            "backend-3 stops with 201 users mapped to it, and about as many fail a login until they are moved",
            "order runbook: directors send a waiting login to the stopped backend again",
        ),
        # 2 s for each 100 of them, one batch after the other.
        (
            "move-first",
            False,
            "201 users are moved while backend-3 still serves; their logins wait at the directors, 6 s at least",
            "order move-first",
        ),
    ],
)
def test_the_question_names_the_order_and_what_users_feel_of_it_and_that_is_an_alarm_where_logins_fail(
    order: str, alarms: bool, felt_first: str, named: str
) -> None:
    """What they feel comes first: where there is much to say, the end of each line is cut."""
    found = made(at_gate(order), directors(users=201))
    assert (found.alarms[0] if alarms else found.lines[0]) == f"{felt_first} ({named})"
    assert alarms or found.alarms == ()


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (
            "runbook",
            (
                "order runbook: backend-3 stops with 201 users mapped to it, and about as many fail a login until they",
                "one that meets a stopped backend is tried there again for 3 s, and sent nowhere else",
                "18 of 18, as measured",
            ),
        ),
        (
            "move-first",
            (
                "order move-first: 201 users are moved while backend-3 still serves",
                "their logins wait at the directors, 6 s at least (100 users at a time, 2 s for each 100)",
                "one that the backend is just answering may be cut, and is let in when tried again",
            ),
        ),
    ],
)
def test_all_commands_have_the_order_at_length_and_why(order: str, says: tuple[str, ...]) -> None:
    """No more than was measured."""
    (text,) = felt(at_gate(order), [directors(users=201)])
    assert [one for one in says if one not in text] == []


def test_one_user_is_one() -> None:
    one = directors(users=1)
    assert "backend-3 stops with 1 user mapped to it" in made(AT_GATE.run, one).alarms[0]
    assert made(at_gate("move-first"), one).lines[0].startswith("1 user is moved while backend-3 still serves;")


def test_users_whom_nobody_has_counted_are_not_said_to_be_none() -> None:
    """The count can be skipped: whoever approves is not to read a number that nobody has read."""
    assert not AT_GATE.run.ring.users
    found = made(AT_GATE.run)
    not_counted = "the users mapped to backend-3 were not counted for this question"
    assert found.alarms[0] == f"{not_counted} (order runbook)"
    assert not any("no user is mapped" in one for one in found.lines)
    assert felt(AT_GATE.run, ()) == (f"order runbook: {not_counted}",)


def test_all_commands_say_the_number_that_the_question_says() -> None:
    """What was read for the question, and not what was counted in the drain."""
    run = replace(AT_GATE.run, ring=RingState(users={"director-1": 40}))
    assert "backend-3 stops with 14 users mapped to it" in felt(run, [directors()])[0]


@pytest.mark.parametrize(
    ("seen", "verified", "alarm"),
    [
        (directors(usable_others=1), {}, "one other backend alone is usable"),
        (of("sessions", past_directors=3, who="ann, bob"), {}, "3 sessions came past the directors"),
        (of("package-lists", old="old package lists: 30 hours old"), {}, "old package lists: 30 hours old"),
        (of("config-difference", changed=1, added=0, removed=2, lines="+2 -9", newer="none"), {}, "2 files"),
        (
            of("config-difference", changed=1, added=0, removed=0, lines="+2 -9", newer="a, b"),
            {},
            "in the proposal: a, b",
        ),
        (
            directors(users=0),
            {"way_back": "no way back for the packages: x is not there"},
            "no way back for the packages",
        ),
        (directors(users=0), {"downloaded": "dovecot-core=2"}, "asked of the mirror: dovecot-core=2"),
        (directors(users=0), {"dovecot_active": "failed"}, "dovecot is failed now"),
    ],
)
def test_what_should_stop_a_click_is_an_alarm(seen: Seen, verified: dict[str, str], alarm: str) -> None:
    assert any(alarm in one for one in made(AT_GATE.run, seen, verified=verified).alarms)


def test_a_version_that_goes_down_is_an_alarm() -> None:
    down = replace(AT_GATE.run.request.plan, brings=("dovecot-core 1:2.3.21-1 → 1:2.3.19-1",))
    run = replace(AT_GATE.run, request=replace(AT_GATE.run.request, plan=down))
    assert made(run, directors(users=0)).alarms == ("dovecot-core: 1:2.3.21-1 → 1:2.3.19-1",)


def test_packages_of_one_change_are_one_line() -> None:
    names = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")
    up = replace(AT_GATE.run.request.plan, brings=tuple(f"{name} 2-1 → 2-10" for name in names))
    run = replace(AT_GATE.run, request=replace(AT_GATE.run.request, plan=up))
    assert "dovecot-core and 2 more: 2-1 → 2-10" in made(run).lines


def test_a_drain_that_was_skipped_is_an_alarm() -> None:
    story = Story().until("drain", on=Status.WAITING).tell(fact.RunHeld(reason="?"))
    story.tell(fact.SkipProposed(by=SECOND, step="drain", reason="nobody is there"))
    story.tell(fact.SkipAgreed(by="U0CAROL", step="drain")).until("approve-flush", on=Status.ASKING)
    assert any(one.startswith("1 step skipped: Wait for") for one in made(story.run, directors(users=0)).alarms)


def skipped(story: Story, step: str) -> Story:
    """The step fails, and two engineers leave it out."""
    story.until(step).fail().tell(fact.SkipProposed(by=SECOND, step=step, reason="it is done otherwise"))
    return story.tell(fact.SkipAgreed(by="U0CAROL", step=step))


@pytest.mark.parametrize(
    ("step", "says", "claimed"),
    [
        ("install-packages", "Install dovecot-core=1:2.3.19.1-2", "dovecot-core: 1:2.3.19.1-1 → 1:2.3.19.1-2"),
        ("install-config", "Put the proposed configuration spring in place", "configuration spring"),
        ("clean-metacache", "Empty the metacache directory", "the metacache was flushed, and is empty"),
    ],
)
def test_a_restore_claims_nothing_of_a_change_that_was_skipped(step: str, says: str, claimed: str) -> None:
    """The second engineer was once shown the new version of packages that nobody had installed."""
    whole = made(Story().until("approve-restore", on=Status.ASKING).run, gate=Gate.RESTORE)
    assert any(line.startswith(claimed) for line in whole.lines)
    left_out = made(skipped(Story(), step).until("approve-restore", on=Status.ASKING).run, gate=Gate.RESTORE)
    assert not any(line.startswith(claimed) for line in left_out.lines)
    assert any(one.startswith(f"1 step skipped: {says}") for one in left_out.alarms)


def test_many_skips_are_told_by_their_number_and_the_changes_among_them_by_whole_names() -> None:
    """Half of a dozen were once cut off on a phone, the packages among them."""
    checks = ("count-mapped-users", "stop-was-clean", "config-after-packages", "test-user-reads-mail")
    changes = ("director-down", "mask-dovecot", "install-packages", "unmask-dovecot")
    story = Story()
    for step in sorted((*checks, *changes), key=[one.name for one in story.run.plan.steps].index):
        skipped(story, step)
    question = last(story.until("approve-restore", on=Status.ASKING))
    says = [step.says for step in story.run.skipped if step.name in changes]
    assert f":warning: 8 steps skipped: {'; '.join(says[:3])}; and 5 more" in seen(question)
    assert all(f"• {step.says}" in question.files[0].content for step in story.run.skipped)


def test_of_long_names_as_many_are_told_whole_as_there_is_room_for() -> None:
    name = "x" * 110
    assert named([name] * 5) == f"{name}; {name}; and 3 more"
    assert named([name * 3, "y"]) == f"{(name * 3)[:239]}…; and 1 more"


@pytest.mark.parametrize("undoing", ["undo-install-packages", "undo-install-config"])
def test_what_was_not_undone_is_not_said_to_be_as_before(undoing: str) -> None:
    whole = made(on_its_way_back("test-user-reads-mail").until("approve-restore").run, gate=Gate.RESTORE)
    assert "packages and configuration as before the run" in whole.lines
    story = skipped(on_its_way_back("test-user-reads-mail"), undoing).until("approve-restore")
    left_out = made(story.run, gate=Gate.RESTORE)
    assert "packages and configuration as before the run" not in left_out.lines
    assert any(one.startswith("1 step skipped: Undo: ") for one in left_out.alarms)


def test_the_restore_says_what_the_test_user_read_and_how_long_the_backend_has_been_out() -> None:
    run = Story().until("approve-restore", on=Status.ASKING).run
    assert run.ring.out_since is not None
    mails = (of("mailbox-list", folders=3), of("mailbox-status", folders=3, messages=15))
    found = brief(run, Gate.RESTORE, mails, {}, run.ring.out_since + timedelta(minutes=26, seconds=9))
    assert f"the test user {run.request.target.ring.test_user} reads mail there: 3 folders, 15 mails" in found.lines
    assert f"without new users since {run.ring.out_since:%H:%M:%S} UTC, 26 min 9 s before this question" in found.lines
    assert any("the metacache was flushed, and is empty" in one for one in found.lines)
    assert len(found.lines) <= 5, "as many as are shown"


def test_a_restore_whose_proof_was_skipped_is_an_alarm() -> None:
    run = Story().until("approve-restore", on=Status.ASKING).run
    assert made(run, gate=Gate.RESTORE).alarms == ("nothing was read as the test user for this question",)


LONG = "x" * 80


@pytest.mark.parametrize("gate", list(Gate))
def test_a_question_fits_a_phone_whatever_is_in_it(gate: Gate) -> None:
    """Twelve lines and 900 characters: what is longer is scrolled past, and clicked."""
    run = AT_GATE.run
    assert run.asked is not None
    asked = run.asked.fact
    assert isinstance(asked, fact.ApprovalAsked)
    hostile = f"<!channel> \u202e😀 {LONG * 9} & `*_"
    worst = replace(asked, gate=gate, alarms=(hostile,) * 9, brief=(hostile,) * 9)
    backend = run.request.target.backend.model_copy(update={"name": LONG})
    target = run.request.target.model_copy(update={"backend": backend})
    request = replace(run.request, reason=hostile, ticket=LONG, target=target)
    out = replace(run, request=request, ring=RingState(out_since=run.at), longer_waits=3)
    message = approval(run.asked, worst, out, GROUP)
    text = as_read("\n".join(block["text"]["text"] for block in message.blocks if block["type"] == "section"))
    assert len(text.split("\n")) <= 12
    assert len(text) <= 900
    assert "more alarms" in text


VERSIONS = (
    "1.0",
    "1.0-0",
    "1.0-1",
    "1:0",
    "1.0~rc1",
    "1.0~",
    "1.0a",
    "1.0+dfsg",
    "1.0.1",
    "2-2.1+deb12u6",
    "2-2.1+deb12u10",
)


@pytest.mark.skipif(which("dpkg") is None, reason="no dpkg here")
def test_versions_are_ordered_as_dpkg_orders_them() -> None:
    for one, other in itertools.product(VERSIONS, VERSIONS):
        ran = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False)
        assert is_older(one, other) is (ran.returncode == 0), (one, other)
