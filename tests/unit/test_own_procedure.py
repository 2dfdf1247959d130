"""A procedure of somebody's own: what it remembers comes back in its undo, and sudo lets it run, without Python."""

from __future__ import annotations

import re
from pathlib import Path

from bot.config import procedures_folder, read_library
from bot.core import events as fact
from bot.core.goback import going_back
from bot.core.plan import make_plan
from bot.core.procedure import Procedure
from bot.core.sudoers import sudoers
from tests.build import THIRD, Story, order, target

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


def own(tmp_path: Path) -> Procedure:
    folder = tmp_path / "procedures"
    folder.mkdir()
    (folder / "rules.yaml").write_text((procedures_folder() / "rules.yaml").read_text())
    (folder / "tune.yaml").write_text(OWN)
    (procedure,) = read_library(folder).procedures
    return procedure


def test_what_was_remembered_is_filled_in_wherever_it_stands(tmp_path: Path) -> None:
    story = Story(make_plan(own(tmp_path), order(config=False, packages=False))).until("swaps")
    story.tell(fact.StepDone(step="swaps", how=fact.How.RAN, reason="so", remembered={"swap_before": "60"}))
    story.until("swap-less").tell(*story.well()).fail()
    back = going_back(story.tell(fact.GoBackAsked(by=THIRD, reason="no")).run)
    assert back is not None
    (undo,) = (step.action for step in back.steps if step.action)
    assert undo.command.text == "sysctl -w vm.swappiness=60"
    assert [one.asks["result"] for one in undo.done_when] == ["60"]


def test_sudo_lets_it_run_wherever_the_host_has_the_command_and_nothing_wider(tmp_path: Path) -> None:
    backend = target().backend
    rules = [line.partition(": ")[2] for line in sudoers([own(tmp_path)], target().ring, backend, "bot").splitlines()]
    undos = [rule.partition(" ") for rule in rules if "observed" not in rule and "0-9A-Za-z" in rule]
    assert {path for path, _, _ in undos} == {"/usr/bin/sysctl", "/usr/sbin/sysctl"}
    for _, _, pattern in undos:
        assert re.match(pattern, "-w vm.swappiness=60")
        assert not re.match(pattern, "-w vm.swappiness=60 kernel.sysrq=1")
    assert not any("observed" in rule for rule in rules)
