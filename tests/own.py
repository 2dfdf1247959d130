"""The shipped procedure with a site's own changes, as a mail engineer would write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import yaml

from bot.core.plans.procedure import Procedure
from bot.core.setup.lint import lint_procedure
from bot.engine.planning import Catalogue
from bot.library import procedures_folder
from tests.build import library


class Table:
    """The shipped procedure's file, to be changed."""

    def __init__(self) -> None:
        self.stages: list[dict[str, Any]] = []
        self.table: dict[str, Any] = yaml.safe_load((procedures_folder() / "dovecot-upgrade.yaml").read_text())
        self.stages = self.table["stages"]

    def stage(self, name: str) -> dict[str, Any]:
        return next(stage for stage in self.stages if stage["stage"] == name)

    def step(self, name: str) -> dict[str, Any]:
        return next(step for stage in self.stages for step in stage["steps"] if step["step"] == name)

    def leave_out(self, *names: str) -> None:
        for stage in self.stages:
            stage["steps"] = [step for step in stage["steps"] if step["step"] not in names]
        self.stages[:] = [stage for stage in self.stages if stage["steps"]]

    def before(self, name: str, *new: dict[str, Any]) -> None:
        (stage,) = (stage for stage in self.stages if self.step(name) in stage["steps"])
        at = stage["steps"].index(self.step(name))
        stage["steps"][at:at] = new

    def move_before(self, name: str, *moved: str) -> None:
        steps = [self.step(one) for one in moved]
        self.leave_out(*moved)
        self.before(name, *steps)

    def not_undone(self, name: str, because: str) -> None:
        step = self.step(name)
        del step["undo"]
        step["no_undo_because"] = because


Changed = Callable[[Table], object]


def own_procedure(change: Changed) -> Procedure:
    """The procedure with that change, held against nothing yet."""
    table = Table()
    change(table)
    return Procedure.model_validate(table.table)


def loaded(change: Changed) -> Procedure:
    """The same, as the bot reads it: it makes all of its plans."""
    procedure = own_procedure(change)
    lint_procedure(procedure, library().rules)
    return procedure


def with_own(procedure: Procedure) -> Callable[[Catalogue], Catalogue]:
    """A site that has this one."""
    return lambda catalogue: replace(catalogue, procedures=(procedure,))


def stops_another_service(table: Table, before: str) -> None:
    """Puppet is stopped for the time of the maintenance, as it would start dovecot."""
    puppet = {"probe": "unit", "name": "puppet"}
    step = {
        "step": "stop-puppet",
        "says": "Stop Puppet",
        "because": "it would start dovecot again",
        "where": "backend",
        "run": "systemctl stop puppet",
        "done_when": {**puppet, "active": ["inactive", "failed"]},
        "undo": {"run": "systemctl start puppet", "done_when": {**puppet, "active": "active"}},
    }
    table.before(before, step)
