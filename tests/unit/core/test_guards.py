"""What must be so right before a command, by law: each row of the table, whatever the procedure says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.decisions.guards import Standing, guards_now, guards_of, guards_planned
from bot.core.hosts.command import Command
from bot.core.plans.plan import Action, Expected, Plan, PlannedChange, PlannedCheck, PlannedStep
from bot.core.plans.procedure import Where
from bot.core.readings.expect import check_expectations
from bot.core.runs.metacache import flush_seen
from bot.errors import Misconfigured
from tests.build import Story, plan, target

EVERY, ANSWERING, BACKEND = Where.EVERY_DIRECTOR, Where.ANSWERING_DIRECTORS, Where.BACKEND

FORWARD = Standing(back=False, disturbed=False)
DISTURBED = Standing(back=False, disturbed=True)
BACK = Standing(back=True, disturbed=True)
MOVED = Standing(back=False, disturbed=False, moved=True)

ONE = {"at_least": 1}
WHOLE = [
    ("director-ring", EVERY, {"synced": True}),
    ("director-hosts", EVERY, {"others": "as usual", "usable_others": ONE}),
]
ZERO_ON_EVERY = ("director-hosts", EVERY, {"vhosts": 0})
ZERO_WHERE_ANSWERED = ("director-hosts", ANSWERING, {"vhosts": 0})
NOBODY = ("director-hosts", ANSWERING, {"users": 0})
SOMEWHERE = ("director-hosts", ANSWERING, {"usable_others": ONE})
FLUSHES = ("metacache-flush", BACKEND, {"unit": "dovecot-metacache-flush", "ready": True})
NOBODY_STRANDED = ("director-hosts", ANSWERING, {"vhosts": 0, "stranded": 0})
STOPPED = ("unit", BACKEND, {"name": "dovecot", "active": ["inactive", "failed"]})
SERVES = [
    ("unit", BACKEND, {"name": "dovecot", "active": "active"}),
    ("greeting", BACKEND, {"port": 143, "greets": True}),
    ("greeting", BACKEND, {"port": 24, "greets": True}),
    ("tree", BACKEND, {"path": "/etc/dovecot"}),
    ("dovecot-packages", BACKEND, {}),
]


def change(command: str, *only_if: Expected) -> PlannedChange:
    action = Action(command=Command(argv=tuple(command.split())), done_when=(), within=timedelta(0))
    return PlannedChange(name="x", says="", because="", where=Where.BACKEND, action=action, only_if=only_if)


def asked(
    step: PlannedStep, standing: Standing, *, metacache: bool = True
) -> list[tuple[str, Where, dict[str, object]]]:
    """All that is looked at before that command, in order."""
    guards = guards_of(step, target(metacache=metacache), standing)
    return [(one.probe, one.where, dict(one.asks)) for guard in guards for one in guard.expects]


STOP_LMTP, STOP, FLUSH = "doveadm service stop lmtp", "systemctl stop dovecot", "doveadm director flush 192.0.2.13"
TO_ZERO, DOWN = "doveadm director update 192.0.2.13 0", "doveadm director down 192.0.2.13"
UP, VHOSTS = "doveadm director up 192.0.2.13", "doveadm director update 192.0.2.13 100"


@pytest.mark.parametrize("standing", [FORWARD, DISTURBED, BACK])
def test_before_vhosts_0_the_ring_is_whole_the_others_as_usual_and_enough_of_them_usable(standing: Standing) -> None:
    assert asked(change(TO_ZERO), standing) == WHOLE


@pytest.mark.parametrize("first", [STOP_LMTP, STOP])
def test_before_the_first_command_that_disturbs_vhosts_are_0_everywhere_too(first: str) -> None:
    """And the stop will flush the metacache: later it is too late to mend that."""
    assert asked(change(first), FORWARD) == [*WHOLE, ZERO_ON_EVERY, FLUSHES]
    assert asked(change(first), FORWARD, metacache=False) == [*WHOLE, ZERO_ON_EVERY]


def test_a_flush_that_comes_first_moves_users_only_within_a_whole_ring() -> None:
    """Where users are moved before anything is stopped, the flush is the command that disturbs them; and what the stop
    after it needs is looked at while nobody is moved yet.
    """
    assert asked(change(FLUSH), FORWARD) == [*WHOLE, ZERO_ON_EVERY, FLUSHES]
    assert asked(change(FLUSH), FORWARD, metacache=False) == [*WHOLE, ZERO_ON_EVERY]


def test_once_lmtp_is_stopped_dovecot_is_with_one_usable_other_where_directors_answer() -> None:
    """A director that hangs now must not keep LMTP stopped for half an hour."""
    assert asked(change(STOP), DISTURBED) == [ZERO_WHERE_ANSWERED, SOMEWHERE]


@pytest.mark.parametrize("first", [STOP_LMTP, STOP])
def test_where_users_were_moved_first_nobody_is_mapped_as_anything_stops(first: str) -> None:
    """Between the move and the stop a director may have forgotten; LMTP that is stopped already changes nothing."""
    assert asked(change(first), MOVED) == [*WHOLE, ZERO_ON_EVERY, FLUSHES, NOBODY]
    assert asked(change(first), replace(MOVED, disturbed=True)) == [ZERO_WHERE_ANSWERED, SOMEWHERE, NOBODY]


@pytest.mark.parametrize(
    ("command", "standing"),
    [*((one, replace(BACK, moved=True)) for one in (STOP_LMTP, STOP)), (FLUSH, MOVED), (DOWN, MOVED)],
)
def test_nothing_but_a_stop_after_the_move_waits_until_nobody_is_mapped(command: str, standing: Standing) -> None:
    """The way back may be what helps those who are, and a flush is what moves them."""
    assert asked(change(command), standing) == asked(change(command), replace(standing, moved=False))
    assert NOBODY not in asked(change(command), standing)


@pytest.mark.parametrize("command", [DOWN, FLUSH])
def test_users_who_wait_are_moved_as_soon_as_one_other_can_take_them(command: str) -> None:
    assert asked(change(command), DISTURBED) == [SOMEWHERE]


def test_a_backend_is_said_down_only_while_another_can_take_its_users_however_early() -> None:
    assert asked(change(DOWN), FORWARD) == [SOMEWHERE]


def test_an_undos_stop_strands_nobody() -> None:
    """The way back needs no whole ring: it may be what mends it."""
    assert asked(change(STOP), BACK) == [NOBODY_STRANDED]


@pytest.mark.parametrize("standing", [FORWARD, DISTURBED])
def test_dovecot_is_masked_only_once_it_is_stopped(standing: Standing) -> None:
    """A masked unit forgets how it is stopped cleanly: its processes would be killed."""
    assert asked(change("systemctl mask --runtime dovecot"), standing) == [STOPPED]


@pytest.mark.parametrize("standing", [FORWARD, DISTURBED, BACK])
@pytest.mark.parametrize("command", [UP, VHOSTS])
def test_users_are_given_only_to_a_backend_that_serves_on_every_path(command: str, standing: Standing) -> None:
    assert asked(change(command), standing) == SERVES


def test_what_gets_users_is_what_was_verified() -> None:
    """Puppet or a colleague may have changed it back while the question was open."""
    verified = replace(DISTURBED, verified={"configuration": "d" * 64, "packages": "dovecot-core=1"})
    assert asked(change(UP), verified)[-2:] == [
        ("tree", BACKEND, {"path": "/etc/dovecot", "digest": "d" * 64}),
        ("dovecot-packages", BACKEND, {"installed": "dovecot-core=1"}),
    ]


@pytest.mark.parametrize("command", ["systemctl start dovecot", "systemctl unmask --runtime dovecot", "true"])
def test_what_takes_nothing_from_users_waits_for_nothing(command: str) -> None:
    """A start that waited for a whole ring would keep users of a stopped backend waiting."""
    assert asked(change(command), DISTURBED) == []


def test_the_ring_says_how_many_usable_others_it_needs() -> None:
    here = target()
    two = here.model_copy(update={"ring": here.ring.model_copy(update={"usable_others": 2})})
    (guard,) = guards_of(change(TO_ZERO), two, FORWARD)
    assert guard.expects[1].asks["usable_others"] == {"at_least": 2}


OWN = Expected(probe="director-hosts", where=EVERY, asks={"users": 0})


@pytest.mark.parametrize("command", [TO_ZERO, STOP, DOWN, FLUSH, UP, "systemctl mask --runtime dovecot", "true"])
@pytest.mark.parametrize("standing", [FORWARD, DISTURBED, BACK])
def test_only_if_adds_to_the_law_and_never_takes_away(command: str, standing: Standing) -> None:
    by_law = asked(change(command), standing)
    assert asked(change(command, OWN), standing) == [*by_law, ("director-hosts", EVERY, {"users": 0})]


def test_an_only_if_that_cannot_be_looked_at_makes_the_procedure_unusable() -> None:
    """Else it would be found out in the middle of the take-down."""
    odd = Expected(probe="no-such-probe", where=EVERY, asks={})
    made = plan()
    steps = tuple(
        replace(step, only_if=(odd,)) if isinstance(step, PlannedChange) and step.name == "stop-dovecot" else step
        for step in made.steps
    )
    stages = tuple(
        replace(stage, steps=tuple(step for step in steps if step.name in {one.name for one in stage.steps}))
        for stage in made.stages
    )
    with pytest.raises(Misconfigured, match="stop-dovecot: there is no probe 'no-such-probe'"):
        check_expectations(replace(made, stages=stages))


def test_every_guard_of_the_shipped_procedure_can_be_looked_at() -> None:
    made = plan()
    for step in made.steps:
        expects = tuple(one for guard in guards_planned(made, step, target()) for one in guard.expects)
        check_expectations(_with_check(made, expects))
    check_expectations(_with_check(made, flush_seen(target())))


def _with_check(made: Plan, expects: tuple[Expected, ...]) -> Plan:
    check = PlannedCheck(name="x", says="", because="", expect=expects)
    return replace(made, stages=(replace(made.stages[0], steps=(check,)),))


@pytest.mark.parametrize(("move_first", "stops"), [(False, []), (True, ["stop-lmtp", "stop-dovecot"])])
def test_the_plan_shows_the_guards_that_the_run_will_ask_for(move_first: bool, stops: list[str]) -> None:
    """Who approves has to see what protects users, and not something near it."""
    made = plan(move_first=move_first)
    story = Story(made)
    changes = made.changes
    assert len(changes) > 10
    for step in changes:
        story.until(step.name)
        now = [guard.says for guard in guards_now(story.run)]
        assert now == [guard.says for guard in guards_planned(made, step, target())]
        assert (step.name in stops) == any(says.startswith("users 0 on the directors that answer") for says in now)
