"""A procedure of somebody's own: what it remembers comes back in its undo, and sudo lets it run, without Python."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.decisions.goback import going_back
from bot.core.plans.fill import make_plan
from bot.core.plans.plan import PlannedCheck
from bot.core.plans.procedure import Procedure, Where
from bot.core.plans.proposal import PackageChange
from bot.core.runs import events as fact
from bot.core.setup.sudoers import sudoers
from bot.errors import Misconfigured
from bot.library import procedures_folder, read_library
from tests.build import THIRD, Story, library, order, target

OWN = """
procedure: tune
command: /tune
title: Tune {backend.name}
summary: Sets what the kernel swaps
stages:
  - stage: look
    says: Look at it
    steps:
      - step: swaps
        says: What it swaps now
        because: it is put back by that
        expect: {probe: unit, name: swap, active: active}
        remember: {swap_before: result}
  - stage: tune
    says: Change it
    steps:
      - step: swap-less
        says: Swap less
        because: mail is read from memory
        where: backend
        run: sysctl -w vm.swappiness=1
        done_when: {probe: unit, name: swap, result: less}
        undo:
          run: sysctl -w vm.swappiness={observed.swap_before}
          done_when: {probe: unit, name: swap, result: "{observed.swap_before}"}
"""


HARMLESS = """
  - harmless: swap-less
    exactly: sysctl -w vm\\.swappiness=[0-9]+
    because: it stops nothing
"""


def folder(tmp_path: Path, rules: str) -> Path:
    made = tmp_path / "procedures"
    made.mkdir()
    (made / "rules.yaml").write_text(rules)
    (made / "tune.yaml").write_text(OWN)
    return made


def shipped_rules() -> str:
    return (procedures_folder() / "rules.yaml").read_text()


def own(tmp_path: Path) -> Procedure:
    (procedure,) = read_library(folder(tmp_path, shipped_rules() + HARMLESS)).procedures
    return procedure


def test_a_command_of_ones_own_needs_the_flush_approval_until_the_rules_call_it_harmless(tmp_path: Path) -> None:
    """The list is the site's to lengthen, with a reason, and without Python."""
    with pytest.raises(Misconfigured, match=r"tune\.yaml: step swap-less: .* stands before the flush approval"):
        read_library(folder(tmp_path, shipped_rules()))


def test_rules_of_ones_own_that_list_nothing_harmless_have_the_shipped_list(tmp_path: Path) -> None:
    """A site that wrote its rules before there was a list goes on, and is held to it."""
    made = folder(tmp_path, shipped_rules().partition("\nharmless:")[0])
    (made / "tune.yaml").write_text((procedures_folder() / "dovecot-upgrade.yaml").read_text())
    assert read_library(made).rules.harmless == read_library(procedures_folder()).rules.harmless


def test_rules_that_say_that_nothing_is_harmless_are_taken_at_their_word(tmp_path: Path) -> None:
    made = folder(tmp_path, shipped_rules().partition("\nharmless:")[0] + "\nharmless: []\n")
    (made / "tune.yaml").write_text((procedures_folder() / "dovecot-upgrade.yaml").read_text())
    with pytest.raises(Misconfigured, match=r"download-packages|set-vhosts-to-zero"):
        read_library(made)


def test_what_was_remembered_is_filled_in_wherever_it_stands(tmp_path: Path) -> None:
    story = Story(make_plan(own(tmp_path), order(config=False, packages=False))).until("swaps")
    story.tell(fact.StepDone(step="swaps", how=fact.How.RAN, reason="so", remembered={"swap_before": "60"}))
    story.until("swap-less").tell(*story.well())
    started = fact.StepStarted(step="swap-less", attempt=1, host="backend-3", command="sysctl -w vm.swappiness=1")
    story.tell(started, fact.StepFailed(step="swap-less", reason="no"))
    back = going_back(story.tell(fact.GoBackAsked(by=THIRD, reason="no")).run)
    assert back is not None
    (undo,) = (step.action for step in back.changes)
    assert undo.command.text == "sysctl -w vm.swappiness=60"
    assert [one.asks["result"] for one in undo.done_when] == ["60"]


HOPES = """
        hopes: {within: 2m, expect: {probe: PROBE, path: /swap}}
        remember"""


def hoping(tmp_path: Path, probe: str) -> Procedure:
    """The procedure, whose check hopes for something, too."""
    made = folder(tmp_path, shipped_rules() + HARMLESS)
    text = OWN.replace("\n        remember", HOPES.replace("PROBE", probe))
    (made / "tune.yaml").write_text(text)
    (procedure,) = read_library(made).procedures
    return procedure


def test_what_a_check_hopes_for_is_in_the_plan_that_is_approved_and_in_the_sudo_rules(tmp_path: Path) -> None:
    """It is looked at on hosts as all else is."""
    procedure = hoping(tmp_path, "files")
    plan = make_plan(procedure, order(config=False, packages=False))
    first = plan.steps[0]
    assert isinstance(first, PlannedCheck)
    hopes = first.hopes
    assert hopes is not None
    assert (hopes.within, [one.probe for one in hopes.expect]) == (timedelta(minutes=2), ["files"])
    without = replace(first, hopes=None)
    stages = (replace(plan.stages[0], steps=(without,)), *plan.stages[1:])
    assert replace(plan, stages=stages).digest != plan.digest
    assert "find" in sudoers([procedure], target().ring, target().backend, "bot")


def test_a_hope_that_cannot_be_looked_at_makes_the_procedure_unusable(tmp_path: Path) -> None:
    """Its mistakes show when it is read, not at night."""
    with pytest.raises(Misconfigured, match="step swaps: there is no probe 'fils'"):
        hoping(tmp_path, "fils")


def test_sudo_lets_it_run_wherever_the_host_has_the_command_and_nothing_wider(tmp_path: Path) -> None:
    backend = target().backend
    rules = [line.partition(": ")[2] for line in sudoers([own(tmp_path)], target().ring, backend, "bot").splitlines()]
    undos = [rule.partition(" ") for rule in rules if "observed" not in rule and "0-9A-Za-z" in rule]
    assert {path for path, _, _ in undos} == {"/usr/bin/sysctl", "/usr/sbin/sysctl"}
    for _, _, pattern in undos:
        assert re.match(pattern, "-w vm.swappiness=60")
        assert not re.match(pattern, "-w vm.swappiness=60 kernel.sysrq=1")
    assert not any("observed" in rule for rule in rules)


def test_sudo_lets_the_configuration_be_looked_at_that_stays_as_well_as_one_that_comes() -> None:
    """A run has the one look or the other; the rules are for all runs."""
    rules = sudoers(library().procedures, target().ring, target().backend, "bot")
    assert "exec doveconf -x -n -c /etc/dovecot/dovecot\\.conf >/dev/null" in rules
    assert "mount --bind" in rules


def lets(rules: str, argv: tuple[str, ...]) -> bool:
    """As sudo does: the arguments, joined by spaces, held against the whole expression."""
    for rule in rules.splitlines()[1:]:
        path, _, pattern = rule.partition("NOPASSWD: ")[2].partition(" ")
        if path.rpartition("/")[2] == argv[0] and re.search(pattern.replace(r"\#", "#"), " ".join(argv[1:])):
            return True
    return False


@pytest.mark.parametrize("before", ["1:2.3.19.1-1", "2:2.3.20-1~bookworm1"])
@pytest.mark.parametrize("version", ["1:2.3.19.1-2", "2:2.3.21-4~bookworm1"])
def test_sudo_lets_every_change_through_whatever_the_versions_look_like(version: str, before: str) -> None:
    """One with a tilde, as backports have it, is quoted in the script that is sent."""
    rules = sudoers(library().procedures, target().ring, target().backend, "bot")
    changes = (PackageChange(name="dovecot-core", version=version, before=before),)
    plan = make_plan(library().procedures[0], replace(order(), run="r2025ab", packages=changes))
    changed = (step for step in plan.changes if step.where is Where.BACKEND)
    refused = {step.name for step in changed for action in step.actions if not lets(rules, action.command.argv)}
    assert refused == set()
