"""The way back: from what was done, safely, and only as far as needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.decisions.goback import going_back
from bot.core.plans.effects import Effect
from bot.core.plans.laws import check_rules
from bot.core.plans.plan import Plan, PlannedApproval, PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import REQUESTER, SECOND, THIRD, Story, library, plan


def back_from(step: str | None, **given: bool) -> Plan | None:
    story = Story(plan(**given)).until(step).fail()
    return going_back(story.tell(fact.GoBackAsked(by=THIRD, reason="no")).run)


def commands(made: Plan | None) -> list[str]:
    assert made is not None
    return [step.action.command.text for step in made.changes]


def test_before_anything_is_changed_there_is_nothing_to_go_back_from() -> None:
    story = Story().until("set-vhosts-to-zero")
    assert going_back(story.run) is None


def test_from_the_drain_only_the_vhosts_go_back_behind_the_restore_approval() -> None:
    story = Story().until("approve-flush", on=Status.ASKING)
    story.tell(fact.Denied(step="approve-flush", gate=Gate.FLUSH, by=SECOND, message="1.1"))
    made = going_back(story.run)
    assert commands(made) == ["doveadm director update 192.0.2.13 100"]
    assert made is not None
    assert [step.gate for step in made.steps if isinstance(step, PlannedApproval)] == [Gate.RESTORE]


def test_on_the_way_back_too_the_ring_is_kept_until_the_first_step_that_gives_users_back() -> None:
    """A watch that went on after it would take the backend out again."""
    story = Story().until("approve-flush", on=Status.ASKING)
    story.tell(fact.Denied(step="approve-flush", gate=Gate.FLUSH, by=SECOND, message="1.1"))
    back = going_back(story.run)
    assert back is not None
    story.tell(fact.TurnedBack(plan=back))
    (restore,) = (step.name for step in back.changes)
    assert story.until("approve-restore", on=Status.ASKING).run.enforced == {Effect.TAKES_VHOSTS}
    assert story.until(restore).run.enforced == {Effect.TAKES_VHOSTS}
    assert story.until(restore, on=Status.BUSY).run.enforced == frozenset()
    assert story.until(back.steps[-1].name).run.enforced == frozenset()


def test_after_everything_it_undoes_the_last_first_and_restores_at_the_end() -> None:
    made = back_from("test-user-reads-mail")
    assert [command.split(" install ")[0] for command in commands(made)] == [
        "systemctl stop dovecot",
        "systemctl mask --runtime dovecot",
        (
            "sh -c 'test -d /etc/dovecot.r2025a.before || exit 96; test -e /etc/dovecot.r2025a.withdrawn || mv -T"
            " /etc/dovecot /etc/dovecot.r2025a.withdrawn; mv -T /etc/dovecot.r2025a.before /etc/dovecot'"
        ),
        (
            "sh -c 'mkdir -p /var/cache/dovecot-bot/r2025a/partial && exec env DEBIAN_FRONTEND=noninteractive"
            " NEEDRESTART_SUSPEND=1 apt-get --yes --allow-downgrades --no-remove"
            " -o Dir::Cache::archives=/var/cache/dovecot-bot/r2025a -o DPkg::Lock::Timeout=120"
            " -o Dpkg::Options::=--force-confold"
        ),
        "systemctl unmask --runtime dovecot",
        "systemctl start dovecot",
        "doveadm reload",
        "doveadm director up 192.0.2.13",
        "doveadm director update 192.0.2.13 100",
    ]


def test_a_healthy_backend_is_not_stopped_only_to_be_started_again() -> None:
    """With neither packages nor config, undoing start and stop comes to seeing that it runs, and can be started."""
    assert commands(back_from("test-user-reads-mail", config=False, packages=False)) == [
        "systemctl unmask --runtime dovecot",
        "systemctl start dovecot",
        "doveadm reload",
        "doveadm director up 192.0.2.13",
        "doveadm director update 192.0.2.13 100",
    ]


def test_a_backend_that_did_not_start_is_started_on_the_way_back() -> None:
    """Nothing cancels out that was not seen to be done."""
    assert commands(back_from("start-dovecot", config=False, packages=False))[:3] == [
        "systemctl stop dovecot",
        "systemctl unmask --runtime dovecot",
        "systemctl start dovecot",
    ]


def test_the_packages_go_back_to_what_was_seen_before() -> None:
    made = back_from("start-dovecot")
    assert any(text.endswith("install dovecot-core=1:2.3.19.1-1'") for text in commands(made))
    assert "observed" not in str(made)


def test_it_verifies_before_it_restores_and_a_second_engineer_opens_both_gates() -> None:
    made = back_from("test-user-reads-mail")
    assert made is not None
    kinds = [(step.name, getattr(step, "gate", None)) for step in made.steps if not isinstance(step, PlannedChange)]
    assert kinds == [
        ("approve-going-back", Gate.GO_BACK),
        ("test-user-reads-mail", None),
        ("approve-restore", Gate.RESTORE),
        ("ring-is-whole-for-the-restore", None),
        ("users-come-back", None),
    ]


@pytest.mark.parametrize(("move_first", "first"), [(False, "stop-lmtp"), (True, "upload-metacache")])
def test_no_restoring_command_stands_before_the_restore_approval_wherever_it_turns_round(
    move_first: bool, first: str
) -> None:
    steps = [step.name for step in plan(move_first=move_first).steps]
    for name in steps[steps.index(first) : steps.index("set-vhosts-back")]:
        story = Story(plan(move_first=move_first)).until(name)
        if isinstance(story.run.step, PlannedApproval):
            continue
        made = back_from(name, move_first=move_first)
        assert made is not None
        names = [step.name for step in made.steps]
        gate = names.index("approve-restore")
        for step in made.steps[:gate]:
            assert Effect.RESTORE not in step.does
        check_rules(made, library().rules, "192.0.2.13")


def test_what_is_not_undone_is_said_with_its_reason() -> None:
    made = back_from("start-dovecot")
    assert made is not None
    assert {left.step for left in made.left_out} >= {"flush-users", "remove-old-metacache-database", "clean-metacache"}


@pytest.mark.parametrize("move_first", [False, True])
def test_going_back_needs_what_was_seen_before_the_change(move_first: bool) -> None:
    story = Story(plan(move_first=move_first))
    while not (story.run.step and story.run.step.name == "start-dovecot"):
        told = [replace(one, remembered=None) if isinstance(one, fact.StepDone) else one for one in story.well()]
        story.tell(*told)
    with pytest.raises(Refused, match="did not see"):
        going_back(story.run)


def test_a_run_going_back_reaches_its_end() -> None:
    story = Story().until("test-user-reads-mail").fail().tell(fact.GoBackAsked(by=REQUESTER, reason="no"))
    made = going_back(story.run)
    assert made is not None
    story.tell(fact.TurnedBack(plan=made)).until(None, on=Status.ENDED)
    assert story.run.outcome is fact.Outcome.WENT_BACK


def started_first(step: str, *, first: bool = True) -> Plan:
    story = Story().until(step).fail("no other backend can be used")
    made = going_back(story.tell(fact.GoBackAsked(by=THIRD, reason="users wait", start_first=first)).run)
    assert made is not None
    return made


def test_where_users_wait_dovecot_is_started_before_anybody_is_asked() -> None:
    made = started_first("director-down")
    assert [stage.name for stage in made.stages] == ["back-start", "back-undo", "back-verify", "back-restore"]
    names = [step.name for step in made.steps]
    assert names[:3] == ["undo-stop-dovecot", "approve-going-back", "undo-stop-lmtp"]
    later = [step.name for step in started_first("director-down", first=False).steps]
    assert later[:3] == ["approve-going-back", "undo-stop-dovecot", "undo-stop-lmtp"], "the same, asked first"


def test_started_first_it_still_restores_behind_its_approval_and_verifies_before() -> None:
    made = started_first("flush-users")
    names = [step.name for step in made.steps]
    assert names.index("test-user-reads-mail") < names.index("approve-restore") < names.index("undo-director-down")
    check_rules(made, library().rules, "192.0.2.13")


def test_a_start_that_would_need_a_stop_before_it_is_asked_for() -> None:
    """Stopping is never done without a word, whoever waits."""
    made = started_first("test-user-reads-mail")
    assert made.steps[0].name == "approve-going-back"


def test_nothing_else_is_undone_unasked_because_users_wait() -> None:
    """The flush was left out, so they still do: the packages and the configuration are not changed on that alone."""
    story = Story().until("flush-users").fail()
    story.tell(fact.SkipProposed(by=THIRD, step="flush-users", reason="moved by hand"))
    story.tell(fact.SkipAgreed(by=SECOND, step="flush-users")).until("install-config", on=Status.BUSY).fail()
    assert story.run.users_wait
    made = going_back(story.tell(fact.GoBackAsked(by=THIRD, reason="they wait", start_first=True)).run)
    assert made is not None
    assert made.steps[0].name == "approve-going-back"


def test_of_pairs_inside_each_other_all_that_would_be_made_again_is_left_out() -> None:
    """Stop and start, and inside them mask and unmask: nothing is stopped, and what they bring back is looked for."""
    made = back_from("test-user-reads-mail", config=False, packages=False)
    assert made is not None
    names = [step.name for step in made.changes]
    assert {"undo-start-dovecot", "undo-unmask-dovecot"}.isdisjoint(names)
    assert names[:2] == ["undo-mask-dovecot", "undo-stop-dovecot"]


def test_a_pair_with_something_to_undo_between_is_undone_as_a_whole() -> None:
    """The configuration goes back under a dovecot that is stopped, and masked."""
    names = [step.name for step in (back_from("test-user-reads-mail", packages=False) or plan()).changes]
    order = ["undo-start-dovecot", "undo-unmask-dovecot", "undo-install-config", "undo-mask-dovecot"]
    assert names[:5] == [*order, "undo-stop-dovecot"]


@pytest.mark.parametrize("config", [True, False])
@pytest.mark.parametrize("packages", [True, False])
def test_wherever_it_turns_round_dovecot_is_unmasked_before_it_is_started(config: bool, packages: bool) -> None:
    """Else the way back ends with a backend that cannot be started."""
    steps = [step.name for step in plan(config=config, packages=packages).changes]
    for name in steps[steps.index("mask-dovecot") + 1 : steps.index("set-vhosts-back")]:
        texts = commands(back_from(name, config=config, packages=packages))
        last_start = len(texts) - 1 - texts[::-1].index("systemctl start dovecot")
        masks = [at for at, text in enumerate(texts) if " mask " in text]
        unmasks = [at for at, text in enumerate(texts) if " unmask " in text]
        assert unmasks, name
        assert max(masks, default=-1) < max(unmasks) < last_start, name
