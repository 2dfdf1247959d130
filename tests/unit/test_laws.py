"""The absolute laws and the rules, against literal commands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.command import Command
from bot.core.laws import gates_needed, hold_against
from bot.core.plan import Plan
from bot.core.procedure import Gate
from bot.core.upnext import Tell, next_action
from bot.errors import Misconfigured
from tests.build import Story, library, plan


@pytest.mark.parametrize(
    ("command", "gate"),
    [
        ("doveadm director flush 192.0.2.13", Gate.FLUSH),
        ("doveadm -v director flush 192.0.2.13", Gate.FLUSH),
        ("systemctl stop dovecot", Gate.FLUSH),
        ("systemctl --no-block stop dovecot.service", Gate.FLUSH),
        ("doveadm service stop lmtp", Gate.FLUSH),
        ("doveadm stop", Gate.FLUSH),
        ("doveadm director up 192.0.2.13", Gate.RESTORE),
        ("doveadm director update 192.0.2.13 100", Gate.RESTORE),
        ("doveadm director update 192.0.2.13 1", Gate.RESTORE),
        ("doveadm director update 192.0.2.13 0", None),
        ("systemctl mask --now dovecot", Gate.FLUSH),
        ("dovecot stop", Gate.FLUSH),
        ("service dovecot stop", Gate.FLUSH),
        ("pkill dovecot", Gate.FLUSH),
        ("sh -c 'kill 1'", Gate.FLUSH),
        ("systemctl reboot", Gate.FLUSH),
        ("doveadm\ndirector\nflush 192.0.2.13", Gate.FLUSH),
        ("systemctl unmask --runtime dovecot", None),
        ("systemctl mask --runtime dovecot", None),
        ("doveadm director down 192.0.2.13", None),
        ("doveadm director status", None),
        ("systemctl start dovecot", None),
        ("systemctl show --property=ActiveState dovecot", None),
    ],
)
def test_a_command_is_known_by_what_it_says_whatever_procedure_it_stands_in(command: str, gate: Gate | None) -> None:
    assert gates_needed(command) == ({gate} if gate else set())


def test_a_command_may_need_both_approvals() -> None:
    both = "sh -c 'doveadm director flush 192.0.2.13; doveadm director update 192.0.2.13 100'"
    assert gates_needed(both) == {Gate.FLUSH, Gate.RESTORE}


@pytest.mark.parametrize("step", [step.name for step in plan().steps if step.action])
def test_a_change_that_needs_an_approval_is_never_next_without_it(step: str) -> None:
    """Asked of the state itself, however it came to be: here by forgetting every approval."""
    story = Story().until(step)
    assert story.run.step is not None
    assert story.run.step.action is not None
    if gates_needed(story.run.step.action.command.text):
        forgotten = replace(story.run, grants=())
        action = next_action(forgotten, story.at)
        assert isinstance(action, Tell)
        assert "approval, which was not given" in str(action.fact)


IP = "192.0.2.13"


def with_command(text: str, at: str = "director-down") -> Plan:
    return with_argv(tuple(text.split(" ")), at)


def with_argv(argv: tuple[str, ...], at: str = "director-down") -> Plan:
    made = plan()
    stages = tuple(
        replace(
            stage,
            steps=tuple(
                replace(step, action=replace(step.action, command=Command(argv=argv)))
                if step.name == at and step.action
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
        hold_against(with_command(command), library().rules, IP)


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
        hold_against(with_argv(("sh", "-c", script)), library().rules, IP)


def test_a_stop_before_the_flush_approval_makes_the_procedure_unusable() -> None:
    with pytest.raises(Misconfigured, match="stands before the flush approval"):
        hold_against(with_command("systemctl stop dovecot", at="set-vhosts-to-zero"), library().rules, IP)


def test_the_shipped_procedure_keeps_all_rules_in_every_form() -> None:
    for config in (True, False):
        for packages in (True, False):
            for metacache in (True, False):
                hold_against(plan(config=config, packages=packages, metacache=metacache), library().rules, IP)
