"""The absolute laws and the rules, against literal commands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.decisions.goback import going_back
from bot.core.decisions.upnext import MakeChange, Record, next_action
from bot.core.hosts.command import Command
from bot.core.plans.laws import Harmless, check_rules, gates_needed
from bot.core.plans.plan import Plan, PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs.events import GoBackAsked, RunHeld, StepFailed, TurnedBack
from bot.core.runs.transitions import Status
from bot.errors import Misconfigured
from tests.build import THIRD, Story, library, plan

NEEDED: dict[str, set[Gate]] = {
    "doveadm director flush 192.0.2.13": {Gate.FLUSH},
    "doveadm -v director flush 192.0.2.13": {Gate.FLUSH},
    "systemctl stop dovecot": {Gate.FLUSH},
    "systemctl --no-block stop dovecot.service": {Gate.FLUSH},
    "doveadm service stop lmtp": {Gate.FLUSH},
    "doveadm stop": {Gate.FLUSH},
    "doveadm director up 192.0.2.13": {Gate.RESTORE},
    "doveadm director update 192.0.2.13 100": {Gate.RESTORE},
    "doveadm director update 192.0.2.13 1": {Gate.RESTORE},
    "doveadm director update 192.0.2.13 0": set(),
    "systemctl mask --now dovecot": {Gate.FLUSH},
    "dovecot stop": {Gate.FLUSH},
    "service dovecot stop": {Gate.FLUSH},
    "pkill dovecot": {Gate.FLUSH},
    "sh -c 'kill 1'": {Gate.FLUSH},
    "systemctl reboot": {Gate.FLUSH},
    "doveadm\ndirector\nflush 192.0.2.13": {Gate.FLUSH},
    "systemctl unmask --runtime dovecot": set(),
    "systemctl mask --runtime dovecot": set(),
    "doveadm director down 192.0.2.13": set(),
    "doveadm director status": set(),
    "systemctl start dovecot": set(),
    "systemctl show --property=ActiveState dovecot": set(),
}
"""Commands, and the approval that each needs."""


def test_a_command_is_known_by_what_it_says_whatever_procedure_it_stands_in() -> None:
    assert {command: gates_needed(command) for command in NEEDED} == NEEDED


def test_a_command_may_need_both_approvals() -> None:
    both = "sh -c 'doveadm director flush 192.0.2.13; doveadm director update 192.0.2.13 100'"
    assert gates_needed(both) == {Gate.FLUSH, Gate.RESTORE}


@pytest.mark.parametrize("step", [step.name for step in plan().changes])
def test_a_change_that_needs_an_approval_is_never_next_without_it(step: str) -> None:
    """Asked of the state itself, however it came to be: here by forgetting every approval."""
    story = Story().until(step)
    assert isinstance(story.run.step, PlannedChange)
    if gates_needed(story.run.step.action.command.text):
        forgotten = replace(story.run, grants=())
        action = next_action(forgotten, story.at)
        assert isinstance(action, Record)
        assert "approval, which was not given" in str(action.fact)


IP = "192.0.2.13"
STAGED = "/etc/dovecot.r2025a.proposed"
STAGES = f"mkdir -p -m 0700 {STAGED} && tar --extract --directory={STAGED} --same-owner --same-permissions --file=-"
STAGED_THEN = STAGES.replace("--same-owner --same-permissions", "--no-same-owner")
"""As older versions planned it."""


def with_command(text: str, at: str = "director-down") -> Plan:
    return with_argv(tuple(text.split(" ")), at)


def with_argv(argv: tuple[str, ...], at: str = "director-down") -> Plan:
    made = plan()
    stages = tuple(
        replace(
            stage,
            steps=tuple(
                replace(step, action=replace(step.action, command=Command(argv=argv)))
                if step.name == at and isinstance(step, PlannedChange)
                else step
                for step in stage.steps
            ),
        )
        for stage in made.stages
    )
    return replace(made, stages=stages)


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        ("doveadm director flush -F 192.0.2.13", "no-forced-flush"),
        ("doveadm director flush all", "no-flush-of-all"),
        ("doveadm director down backend-3", "literal-address-only"),
        ("doveadm director flush\tall", "no-flush-of-all"),
        ("doveadm director -a /run/x flush all", "no-flush-of-all"),
        ("doveadm director add 192.0.2.14", "plain-director-commands"),
        ("doveadm director remove 192.0.2.13", "plain-director-commands"),
        ("doveadm director move alice 192.0.2.13", "plain-director-commands"),
        ("doveadm director down 192.0.2.12", "which is not 192.0.2.13"),
        ("rm -f -r /var/dovecot/vmail", "no-recursive-rm"),
        ("rm /var/dovecot/vmail -rf", "no-recursive-rm"),
        ("rm -v -R /var/dovecot/vmail", "no-recursive-rm"),
        ("rm\t-rf /var/dovecot/vmail", "no-recursive-rm"),
        ("rm -rf /var/dovecot/vmail", "no-recursive-rm"),
        ("rm --recursive /var/dovecot/vmail", "no-recursive-rm"),
        ("rm -f /var/lib/dovecot/metacache/metacache-users1", "delete-only-while-stopped"),
        ("find /var/dovecot/vmail -xdev -mindepth 1 -delete", "delete-only-while-stopped"),
        ("systemctl restart dovecot", "no-restart"),
    ],
)
def test_a_command_that_breaks_a_rule_makes_the_procedure_unusable(command: str, rule: str) -> None:
    with pytest.raises(Misconfigured, match=rule):
        check_rules(with_command(command), library().rules, IP)


GUARD = 'test "$(systemctl show --property=ActiveState --value dovecot)" = inactive || exit 97; '


@pytest.mark.parametrize(
    ("script", "rule"),
    [
        ("find / -delete; echo ActiveState = inactive", "delete-only-while-stopped"),
        (GUARD + "find / -xdev -delete", "delete-in-dovecots-folders-only"),
        (GUARD + "find /var -xdev -mindepth 1 -delete", "delete-in-dovecots-folders-only"),
        (GUARD + "rm -f /etc/passwd", "delete-in-dovecots-folders-only"),
        (GUARD + "rm -f /var/lib/dovecot/metacache/x /etc/passwd", "delete-in-dovecots-folders-only"),
        (GUARD + "rm -rf /var/lib/dovecot/metacache", "no-recursive-rm"),
        ("doveadm director down 192.0.2.13 ; true", "no-director-in-a-script"),
    ],
)
def test_a_script_that_breaks_a_rule_makes_the_procedure_unusable(script: str, rule: str) -> None:
    with pytest.raises(Misconfigured, match=rule):
        check_rules(with_argv(("sh", "-c", script)), library().rules, IP)


def test_a_stop_before_the_flush_approval_makes_the_procedure_unusable() -> None:
    with pytest.raises(Misconfigured, match="stands before the flush approval"):
        check_rules(with_command("systemctl stop dovecot", at="set-vhosts-to-zero"), library().rules, IP)


ATTACKS = [
    "systemctl --now mask dovecot",
    "deb-systemd-invoke stop dovecot.service",
    "start-stop-daemon --stop --name dovecot",
    "systemctl rescue",
    "systemctl emergency",
    "systemctl freeze dovecot",
    "apt-get --yes remove dovecot-core",
    "systemctl mask --runtime dovecot",
    "doveadm director down 192.0.2.13",
    "sysctl -w vm.swappiness=1",
    "mkdir /etc/dovecot.r2025a.proposed/../dovecot",
    "doveadm director update 192.0.2.13 0 0",
]
SCRIPTS = [
    "sync; reboot",
    "doveadm director update 192.0.2.13 0",
    STAGES + "; reboot",
    STAGES + "\nreboot",
    STAGES.replace(" && ", " & reboot && "),
    STAGES.replace("--file=-", "--file=- --to-command=reboot"),
    STAGES.replace("--same-permissions", "--same-permissions --overwrite"),
    STAGES.replace(".proposed", ".proposed $(reboot)"),
]
NOT_HARMLESS = [*(tuple(text.split(" ")) for text in ATTACKS), *(("sh", "-c", script) for script in SCRIPTS)]


@pytest.mark.parametrize("at", ["stage-config", "set-vhosts-to-zero"])
def test_before_the_flush_approval_stands_only_what_is_known_to_be_harmless(at: str) -> None:
    """Whatever stops a service has a hundred spellings; a list of the bad ones is never whole."""
    for argv in NOT_HARMLESS:
        with pytest.raises(Misconfigured, match=r"stands before the (flush|restore) approval"):
            check_rules(with_argv(argv, at), library().rules, IP)
            pytest.fail(f"passed: {argv}")


@pytest.mark.parametrize("argv", NOT_HARMLESS, ids=str)
def test_a_stored_plan_that_says_otherwise_holds_before_it_is_sent(argv: tuple[str, ...]) -> None:
    """The law is asked of the state, too: an older version of the bot planned this, and was content."""
    story = Story(with_argv(argv, "set-vhosts-to-zero")).until("set-vhosts-to-zero")
    story.tell(*story.well())
    assert story.run.stage_begun == "drain"
    action = next_action(story.run, story.at, library().rules.harmless)
    assert isinstance(action, Record)
    assert isinstance(action.fact, RunHeld)
    assert "needs the flush approval, which was not given" in action.fact.reason


@pytest.mark.parametrize("script", [STAGES, STAGED_THEN])
def test_the_configuration_is_staged_before_anybody_is_asked(script: str) -> None:
    check_rules(with_argv(("sh", "-c", script), "stage-config"), library().rules, IP)


def test_without_a_list_nothing_is_harmless() -> None:
    story = Story().until("set-vhosts-to-zero")
    story.tell(*story.well())
    assert isinstance(next_action(story.run, story.at), Record)
    assert isinstance(next_action(story.run, story.at, library().rules.harmless), MakeChange)


def test_behind_the_flush_approval_a_procedure_says_what_it_likes() -> None:
    check_rules(with_command("sysctl -w vm.swappiness=1", at="director-down"), library().rules, IP)


def test_giving_the_vhosts_back_needs_no_flush_approval_on_the_way_back() -> None:
    """Nothing was flushed: the restore approval alone opens it, whatever list a site has."""
    story = Story().until("drain", on=Status.WAITING)
    story.tell(GoBackAsked(by=THIRD, reason="abort"))
    back = going_back(story.run)
    assert back is not None
    story.tell(TurnedBack(plan=back)).until("undo-set-vhosts-to-zero", on=Status.READY)
    while story.run.stage_begun != "back-restore":
        story.tell(*story.well())
    assert isinstance(next_action(story.run, story.at, ()), MakeChange)


def test_dovecot_is_started_first_on_the_word_of_whoever_asked_though_the_flush_approval_lapsed() -> None:
    """Users wait for it; a list of harmless commands must not stand between."""
    story = Story().until("stop-was-clean")
    story.tell(StepFailed(step="stop-was-clean", reason="no"), GoBackAsked(by=THIRD, reason="now", start_first=True))
    back = going_back(story.run)
    assert back is not None
    story.tell(TurnedBack(plan=back)).tell(*story.well())
    forgotten = replace(story.run, grants=())
    assert isinstance(next_action(forgotten, story.at, library().rules.harmless), MakeChange)


@pytest.mark.parametrize("pattern", ["sh -c 'mkdir .*'", r"mkdir \S+", "mkdir [^ ]+", r"mkdir\s\w+", r"mkdir \\.*"])
def test_a_harmless_command_says_which_characters_it_has(pattern: str) -> None:
    """`mkdir .*` is also `mkdir x; reboot`."""
    with pytest.raises(ValueError, match="which characters"):
        Harmless(harmless="any", exactly=pattern, because="no")


def test_the_shipped_procedure_keeps_all_rules_in_every_form() -> None:
    for config in (True, False):
        for packages in (True, False):
            for metacache in (True, False):
                check_rules(plan(config=config, packages=packages, metacache=metacache), library().rules, IP)
