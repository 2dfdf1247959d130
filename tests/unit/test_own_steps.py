"""What a site changes in the shipped procedure, in good faith, and what the laws say of it when it is loaded."""

from __future__ import annotations

import pytest

from bot.core.decisions.upnext import Sleep, next_action
from bot.core.plans.fill import make_plan
from bot.core.runs import events as fact
from bot.errors import Misconfigured
from tests.build import Story, order
from tests.own import Changed, Table, loaded, own_procedure, stops_another_service

UP = {"probe": "director-hosts", "where": "directors that answer", "state": "up"}


def vhosts_stay_away(table: Table) -> None:
    table.leave_out("set-vhosts-back", "director-up", "users-come-back")


def it_stays_down(table: Table) -> None:
    table.leave_out("director-up", "users-come-back")


def it_stays_down_without_metacache(table: Table) -> None:
    table.step("director-up")["needs"] = "metacache"


def they_are_given_back_too_early(table: Table) -> None:
    table.move_before("mask-dovecot", "approve-restore", "set-vhosts-back", "director-up")
    table.step("approve-restore")["evidence"] = []
    again = {**table.step("set-vhosts-to-zero"), "step": "away-again"}
    table.before("users-come-back", again)


@pytest.mark.parametrize(
    "change", [vhosts_stay_away, it_stays_down, it_stays_down_without_metacache, they_are_given_back_too_early]
)
def test_a_procedure_whose_run_would_end_with_the_backend_out_is_refused(change: Changed) -> None:
    """It would end as done, and nobody would watch what it left at vhost count 0, or down."""
    with pytest.raises(Misconfigured, match=r"backend out|behind the restore approval"):
        loaded(change)


@pytest.mark.parametrize("step", ["set-vhosts-to-zero", "director-down", "stop-dovecot", "mask-dovecot"])
def test_what_takes_a_backend_out_says_how_it_is_undone(step: str) -> None:
    """A way back without it ends as gone back, and leaves the backend out; or it starts a dovecot that is masked."""
    with pytest.raises(Misconfigured, match=rf"step {step}: its undo has to have `(doveadm|systemctl) .*go back"):
        loaded(lambda table: table.not_undone(step, "the restore does that"))


@pytest.mark.parametrize(
    ("step", "done_when", "wanted"),
    [
        ("set-vhosts-back", {**UP, "vhosts": 0}, "vhosts: 100"),
        ("set-vhosts-back", UP, "vhosts: 100"),
        (
            "set-vhosts-to-zero",
            {"probe": "director-hosts", "vhosts": "{backend.vhosts}"} | {"where": UP["where"]},
            "vhosts: 0",
        ),
        ("director-up", {**UP, "state": "down"}, "state: up"),
        ("director-down", UP, "state: down"),
        ("flush-users", UP, "users: 0"),
    ],
)
def test_what_directors_are_told_is_read_back_from_them(step: str, done_when: dict[str, object], wanted: str) -> None:
    """A proof that was copied from another step finds done what was never sent."""
    with pytest.raises(Misconfigured, match=f"step {step}: the done_when of .* has to look for {wanted}"):
        loaded(lambda table: table.step(step).update(done_when=done_when))


def test_an_exit_status_is_no_proof_of_what_directors_were_told() -> None:
    with pytest.raises(Misconfigured, match="has to look for state: up"):
        loaded(lambda table: table.step("director-up").update(done_when="exit 0", only_if=UP))


@pytest.mark.parametrize("step", ["stop-lmtp", "stop-dovecot", "mask-dovecot", "install-packages", "start-dovecot"])
def test_nothing_is_stopped_or_changed_on_a_director(step: str) -> None:
    """One word that was copied from the step before stops a director, and mail for everybody."""
    with pytest.raises(Misconfigured, match=rf"step {step}: .* would be done on a director"):
        loaded(lambda table: table.step(step).update(where="one director"))


@pytest.mark.parametrize(
    "before", ["stop-lmtp", "director-down", "mask-dovecot", "install-packages", "clean-metacache"]
)
def test_the_restore_is_approved_once_nothing_more_is_done_to_the_backend(before: str) -> None:
    """Both approvals asked for at once would let users to a backend that nobody has seen since it was changed."""

    def at_once(table: Table) -> None:
        table.move_before(before, "approve-restore")
        table.step("approve-restore")["evidence"] = []

    with pytest.raises(Misconfigured, match=r"stands behind the restore approval"):
        loaded(at_once)


DELETIONS = {
    "find /var/dovecot/vmail -type f -print0 | xargs -0 rm": "delete-in-dovecots-folders-only",
    "find /var/mail -mtime +30 | xargs rm -f": "delete-in-dovecots-folders-only",
    "find /var/dovecot/vmail /srv/vmail -xdev -mindepth 1 -delete": "delete-in-dovecots-folders-only",
    "find /var/dovecot/vmail -xdev -mindepth 1 -delete &": "nothing-in-the-background",
    "find /var/dovecot/vmail -xdev -mindepth 1 -delete >/dev/null 2>&1&": "nothing-in-the-background",
    "screen -dm find /var/dovecot/vmail -xdev -mindepth 1 -delete": "nothing-in-the-background",
    "nohup find /var/dovecot/vmail -xdev -mindepth 1 -delete": "nothing-in-the-background",
    "systemd-run find /var/dovecot/vmail -xdev -mindepth 1 -delete": "nothing-in-the-background",
}


@pytest.mark.parametrize("script", DELETIONS)
def test_a_deletion_that_cannot_be_followed_or_lies_elsewhere_is_refused(script: str) -> None:
    """What runs on in the background deletes under the dovecot that the next step starts."""
    with pytest.raises(Misconfigured, match=DELETIONS[script]):
        loaded(lambda table: table.step("clean-metacache").update(shell=script))


@pytest.mark.parametrize(
    "script", ["mv /var/dovecot/vmail /var/dovecot/vmail.before", "truncate -s 0 /var/lib/dovecot/metacache/x"]
)
def test_what_moves_the_metacache_away_is_held_as_a_deletion_is(script: str) -> None:
    """It is quicker, and as wrong where it was not flushed."""

    def changed(table: Table) -> None:
        table.step("clean-metacache").update(shell=script)

    loaded(changed)

    def at_any_time(table: Table) -> None:
        changed(table)
        del table.step("clean-metacache")["while_stopped"]

    with pytest.raises(Misconfigured, match="delete-only-while-stopped"):
        loaded(at_any_time)


@pytest.mark.parametrize("script", ["cp x /etc/y 2>&1", "true && true", "echo x > /root/log 2>&1 || exit 1"])
def test_a_script_that_waits_for_all_of_it_is_not_taken_for_one_in_the_background(script: str) -> None:
    loaded(lambda table: table.step("clean-metacache").update(shell=script))


def vhosts_in_a_stage_of_their_own(table: Table) -> None:
    """With what is seen then, and no undo: an older version took that."""
    table.not_undone("set-vhosts-to-zero", "the restore gives them back")
    drain = table.stage("drain")
    seen = {"probe": "director-hosts", "where": "every director", "others": "as usual"}
    check = {"step": "others-are-there", "says": "The others are there", "because": "they carry on", "expect": seen}
    steps = [drain["steps"].pop(0), check]
    table.stages.insert(table.stages.index(drain), {"stage": "away", "says": "No new users", "steps": steps})


def test_a_run_that_took_the_vhosts_away_is_never_refused_as_one_that_changed_nothing() -> None:
    """It would end with the backend at vhost count 0, and nobody would watch it."""
    story = Story(make_plan(own_procedure(vhosts_in_a_stage_of_their_own), order())).until("others-are-there")
    story.tell(fact.StepFailed(step="others-are-there", reason="backend-1 is out"))
    assert story.run.waits_for_people
    assert next_action(story.run, story.at) == Sleep(until=None)


def test_a_step_of_ones_own_that_stops_another_service_is_taken() -> None:
    plan = make_plan(loaded(lambda table: stops_another_service(table, "ring-is-still-whole")), order())
    (step,) = (one for one in plan.changes if one.name == "stop-puppet")
    assert not step.disturbs
