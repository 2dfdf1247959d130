"""Tries a procedure out on a sample backend, in every form of its plans: its mistakes show here, not at night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import product

from bot.core.hosts.inventory import Ring, TakeDown, Target
from bot.core.plans.fill import Order, make_plan
from bot.core.plans.laws import Rules, check_rules
from bot.core.plans.observed import wanted
from bot.core.plans.plan import Plan, PlannedCheck
from bot.core.plans.procedure import Need, Procedure
from bot.core.plans.proposal import PackageChange, Proposal
from bot.core.readings.expect import check_expectations
from bot.core.readings.probes import PROBES
from bot.errors import Misconfigured

_WITHOUT = {
    Need.CONFIG: "in a run without config=",
    Need.PACKAGES: "in a run without packages=",
    Need.METACACHE: "on a site without metacache",
    Need.MOVE_FIRST: "on a ring whose take_down is runbook",
}


def lint_procedure(procedure: Procedure, rules: Rules) -> None:
    """Make each of its plans; raises Misconfigured, naming the step, for whatever would go wrong in one of them."""
    for has in _forms(procedure):
        order = _order(has)
        try:
            plan = make_plan(procedure, order)
        except Misconfigured as error:
            missing = [_WITHOUT[need] for need in _WITHOUT if need not in has and _may_have(procedure, need)]
            hint = f" ({' and '.join(missing)}; see `needs:`)" if missing else ""
            raise Misconfigured(f"{error}{hint}") from None
        check_expectations(plan)
        _check_observed(plan)
        check_rules(plan, rules, str(order.target.backend.ip))


def _may_have(procedure: Procedure, need: Need) -> bool:
    return need in {Need.METACACHE, Need.MOVE_FIRST} or need in procedure.takes


def _forms(procedure: Procedure) -> Iterator[frozenset[Need]]:
    """What a run can be given, and what a site can have; all of it first."""
    choices = ((True, False) if _may_have(procedure, need) else (False,) for need in _WITHOUT)
    for chosen in product(*choices):
        yield frozenset(need for need, there in zip(_WITHOUT, chosen, strict=True) if there)


def _order(has: frozenset[Need]) -> Order:
    table: dict[str, object] = {
        "name": "sample",
        "test_user": "sample",
        "directors": [{"name": "director-1"}],
        "backends": [{"name": "backend-1", "ip": "192.0.2.1"}, {"name": "backend-2", "ip": "192.0.2.2"}],
    }
    table["take_down"] = TakeDown.MOVE_FIRST if Need.MOVE_FIRST in has else TakeDown.RUNBOOK
    ring = Ring.model_validate(table | ({"metacache": {}} if Need.METACACHE in has else {}))
    return Order(
        run="sample",
        target=Target(ring=ring, backend=ring.backends[0]),
        proposal=Proposal(name="sample", digest="0" * 64) if Need.CONFIG in has else None,
        packages=(PackageChange(name="sample", version="1", before="1:1-1"),) if Need.PACKAGES in has else (),
        drain=timedelta(minutes=15),
        approval_open=timedelta(hours=1),
    )


def _check_observed(plan: Plan) -> None:
    """What an undo or a check is filled with was remembered by an earlier check, of something that its probes read."""
    known: set[str] = set()
    for step in plan.steps:
        for name in sorted(wanted(step) - known):
            there = ", ".join(sorted(known)) or "nothing"
            raise Misconfigured(f"step {step.name}: no earlier check remembers {name}; remembered is: {there}")
        if not isinstance(step, PlannedCheck):
            continue
        fields = {field for expected in step.expect for field in PROBES[expected.probe].fields}
        for name, field in step.remember.items():
            if field not in fields:
                raise Misconfigured(f"step {step.name}: {name} is to be {field}, which none of its probes reads")
            known.add(name)
