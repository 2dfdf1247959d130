"""Journals that an older version wrote: a run that was begun before an update of the bot goes on after it.

`stored/` holds whole runs as commit 2251971 wrote them, one fact per line, with what that version made of it (`then`):
before the guards, the fence and the proof of hosts; an approval that lapsed went back to its gate.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bot.core.decisions.guards import guards_now, unflushed
from bot.core.decisions.upnext import MakeChange, next_action
from bot.core.plans.plan import PLAN, PlannedChange
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, fact_from
from bot.core.runs.fold import apply, begin, fold
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from tests.build import library

STORED = Path(__file__).parent / "stored"
RUNS = pytest.mark.parametrize("name", ["whole", "went-back", "lapsed"])


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (STORED / f"{name}.jsonl").read_text().splitlines()]


def entries(name: str) -> list[Entry]:
    return [
        Entry(
            run="r2025a",
            seq=seq,
            at=datetime.fromisoformat(row["at"]),
            fact=fact_from(row["kind"], json.dumps(row["body"])),
        )
        for seq, row in enumerate(rows(name), 1)
    ]


def essentials(run: Run) -> dict[str, object]:
    """What that version wrote down of a state."""
    return {
        "status": run.status.value,
        "position": run.position,
        "outcome": run.outcome and run.outcome.value,
        "touched": [step.name for step in run.touched],
        "granted": sorted(run.granted),
        "plan": run.plan.digest,
    }


@RUNS
def test_a_stored_journal_folds_to_what_it_meant_at_every_fact(name: str) -> None:
    """The digest of its plan, too: an approval that was given is for that."""
    run: Run | None = None
    for row, entry in zip(rows(name), entries(name), strict=True):
        run = begin(entry) if run is None else apply(run, entry)
        assert essentials(run) == row["then"]


@RUNS
def test_a_plan_that_is_read_and_written_again_says_all_that_the_older_version_wrote(name: str) -> None:
    """Every step with the fields of all kinds: what people approved is the digest of that."""
    plans = [row["body"]["plan"] for row in rows(name) if "plan" in row["body"]]
    assert plans
    for old in plans:
        new = PLAN.dump_python(PLAN.validate_python(old), mode="json")
        steps = [[step for stage in plan["stages"] for step in stage["steps"]] for plan in (old, new)]
        for was, now in zip(*steps, strict=True):
            assert was.keys() <= now.keys()
            assert all(now[key] == value for key, value in was.items() if key not in {"action", "undo"})
            assert now.keys() == steps[1][0].keys()


def test_an_approval_that_lapsed_the_old_way_is_among_them() -> None:
    lapsed = [entry.fact for entry in entries("lapsed") if isinstance(entry.fact, fact.ApprovalLapsed)]
    assert [one.at for one in lapsed] == ["", ""]


def until(step: str) -> Run:
    """The run that the old version left right before that step."""
    told = entries("whole")
    run = fold(told[:1])
    for entry in told[1:]:
        assert run is not None
        if run.status is Status.READY and run.step and run.step.name == step and run.stage_begun == _stage(run):
            return run
        run = apply(run, entry)
    raise AssertionError(f"it never stood before {step}")


def _stage(run: Run) -> str:
    assert run.stage is not None
    return run.stage.name


@pytest.mark.parametrize(
    ("step", "guards"),
    [
        ("set-vhosts-to-zero", 1),
        ("stop-lmtp", 3),
        ("stop-dovecot", 2),
        ("director-down", 1),
        ("flush-users", 1),
        ("mask-dovecot", 1),
        ("set-vhosts-back", 2),
        ("director-up", 2),
    ],
)
def test_a_stored_plan_that_knows_no_guards_has_them(step: str, guards: int) -> None:
    run = until(step)
    assert isinstance(run.step, PlannedChange)
    assert run.step.only_if == ()
    assert len(guards_now(run)) == guards
    assert isinstance(next_action(run, run.at, library().rules.harmless), MakeChange)


def test_a_run_whose_stop_an_older_version_did_not_judge_holds_before_it_deletes() -> None:
    assert "was not seen to be flushed" in unflushed(until("remove-old-metacache-database"))
