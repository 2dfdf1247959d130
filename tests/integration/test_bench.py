"""The bench's arithmetic and its table; that it starts, and that its rows are those it is to have, in order."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bot.core.runs.events import WaitBegan
from bot.core.runs.fold import fold
from bot.core.runs.transitions import Status
from bot.practice.slack.server import LocalSlack
from tests.bench.__main__ import PAGES
from tests.bench.past import open_runs, opened, settings, write
from tests.bench.row import By, Mark, Measured, NotMeasured, Outcome, Row, Verdict, number, play, reported, times
from tests.bench.rows import ROWS
from tests.bench.table import BEGIN, END, Made, as_data, as_text, file_system, in_full, in_short, put_between, whole

ROOT = Path(__file__).parents[2]
MADE = Made(command="tests/run bench", date="2026-03-01 12:00 UTC", machine="two cores")
PAIRS = Measured(ours=(2.0, 6.0, 1.0), theirs=(4.0, 4.0, 4.0), unit="s", bound="The disk.", beside=("fsync: 1 ms",))

EXPECTED = """
whole-playbook ≤ 0.4 ×|whole-shell ≤ 1.5 ×|packages ≤ 0.4 ×|take-down ≤ 1.2 ×|first-command ≤ 0.3 s|hanging ≤ 4 s more
failed-logins ≤ 0|without-users ≤ 1 ×
ack-slash ≤ 0.05 ×|ack-click ≤ 0.05 ×|reply reported|posts reported|start ≤ 1.5 ×|alarms ≤ 1 s
draining-memory ≤ 200 MB|draining-cpu ≤ 0.15 core|draining-commands reported|ssh-memory reported
runs ≤ 2 ×|list ≤ 2 ×|help ≤ 12 ×|journal-facts ≥ 0.5 ×|journal-bytes ≤ 1.5 ×
"""


def row(mark: Mark, measured: Measured | Exception = PAIRS) -> Row:
    async def measure(runs: int) -> Measured:
        assert runs == 3
        if isinstance(measured, Exception):
            raise measured
        return measured

    return Row(name="one", what="a thing", against="another", mark=mark, runs=3, measure=measure)


async def played(mark: Mark, measured: Measured | Exception = PAIRS) -> Outcome:
    return await play(row(mark, measured))


def test_the_rows_are_those_of_the_table_in_its_order_with_its_marks() -> None:
    found = [f"{one.name} {one.mark.text}" for one in ROWS]
    assert found == EXPECTED.strip().replace("\n", "|").split("|")


def test_the_bench_starts_and_names_its_rows() -> None:
    said_there = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--list"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert [line.partition(":")[0] for line in said_there.stdout.splitlines()] == [one.name for one in ROWS]


def test_the_pages_have_a_place_for_the_table() -> None:
    for page in PAGES:
        assert put_between(page.read_text(), "new").count("new\n" + END) == 1


@pytest.mark.parametrize(
    ("mark", "verdict", "figures"),
    [
        (times(most=0.5), Verdict.MET, (0.25, 0.5, 1.5)),
        (times(most=0.49), Verdict.MISSED, (0.25, 0.5, 1.5)),
        (times(least=0.5), Verdict.MET, (0.25, 0.5, 1.5)),
        (times(least=0.51), Verdict.MISSED, (0.25, 0.5, 1.5)),
        (times(most=1, every=True), Verdict.MISSED, (0.25, 0.5, 1.5)),
        (times(least=0.3, every=True), Verdict.MISSED, (0.25, 0.5, 1.5)),
        (Mark(by=By.MORE, unit="s", most=-2), Verdict.MET, (-3, -2, 2)),
        (Mark(by=By.VALUE, unit="s", most=2), Verdict.MET, (1, 2, 6)),
        (reported("s"), Verdict.REPORTED, (1, 2, 6)),
    ],
)
async def test_pairs_are_compared_one_by_one(mark: Mark, verdict: Verdict, figures: tuple[float, float, float]) -> None:
    """The median of the ratios is no ratio of the medians: what slows a run down slows both of its halves."""
    outcome = await played(mark)
    found = outcome.compared
    assert found is not None
    assert (outcome.verdict, (found.minimum, found.median, found.maximum)) == (verdict, figures)


async def test_what_cannot_be_measured_or_breaks_is_an_outcome_too() -> None:
    no_root, broken = await played(reported(), NotMeasured("no root")), await played(reported(), OSError("gone"))
    assert (no_root.verdict, no_root.why) == (Verdict.NOT_MEASURED, "no root")
    assert (broken.verdict, broken.why) == (Verdict.BROKEN, "OSError: gone")
    alone = await played(times(most=1), Measured(ours=(1.0,), unit="s", bound="x"))
    assert (alone.verdict, alone.why) == (Verdict.BROKEN, "ValueError: nothing was measured beside it")


@pytest.mark.parametrize(("ours", "theirs"), [((), ()), ((1.0,), (1.0, 2.0))])
def test_figures_that_are_no_pairs_are_none(ours: tuple[float, ...], theirs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        Measured(ours=ours, theirs=theirs, unit="s", bound="x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7850.2, "7,850"),
        (156.4, "156"),
        (99.96, "100"),
        (12, "12"),
        (2.5, "2.5"),
        (1.2345, "1.23"),
        (0.55, "0.55"),
        (0.01234, "0.0123"),
        (0.0001, "0.0001"),
        (-1.5, "-1.5"),
    ],
)
def test_a_number_has_three_digits(value: float, text: str) -> None:
    assert number(value) == text


async def test_the_table_in_each_of_its_forms() -> None:
    outcomes = [await played(times(most=0.4)), await played(reported("s"), NotMeasured("no root | no ring"))]
    assert as_text(outcomes[0]).splitlines() == [
        "one: a thing against another; ≤ 0.4 ×; runs: 3",
        "    missed: 0.25 / 0.5 / 1.5 ×",
        "    ours 1 / 2 / 6 s",
        "    theirs 4 / 4 / 4 s",
        "    bounded by: The disk.",
        "    fsync: 1 ms",
    ]
    assert whole(outcomes, MADE).splitlines() == [
        "`tests/run bench`, 2026-03-01 12:00 UTC.",
        "Two cores.",
        "",
        "row  mark      runs  verdict       minimum / median / maximum",
        "one  ≤ 0.4 ×   3     missed        0.25 / 0.5 / 1.5 ×",
        "one  reported  3     not measured  no root | no ring",
    ]
    short, full = in_short(outcomes, MADE), in_full(outcomes, MADE)
    assert short.splitlines()[5:] == [
        "| a thing | another | ≤ 0.4 × | 0.25 / 0.5 / 1.5 × | *missed* |",
        "| a thing | another | reported | – | *not measured: no root &#124; no ring* |",
    ]
    assert full.splitlines()[5:] == [
        "| `one` a thing | another | ≤ 0.4 × | 3 | 1 / 2 / 6 s | 4 / 4 / 4 s | 0.25 / 0.5 / 1.5 × | *missed* |",
        "| `one` a thing | another | reported | 3 | – | – | – | *not measured: no root &#124; no ring* |",
        "",
        "- `one` is bounded by this: The disk.",
        "  fsync: 1 ms",
    ]
    data = json.loads(json.dumps(as_data(outcomes, MADE)))
    assert [data["command"], data["date"], data["machine"]] == [MADE.command, MADE.date, MADE.machine]
    first, second = data["rows"]
    assert (first["ours"], first["theirs"], first["verdict"]) == ([2, 6, 1], [4, 4, 4], "missed")
    assert first["compared"] == {"minimum": 0.25, "median": 0.5, "maximum": 1.5}
    assert (second["verdict"], second["why"]) == ("not measured", "no root | no ring")


def test_a_table_takes_the_place_of_the_one_before_it() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put_between(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert put_between(put_between(page, "new"), "old") == page
    for lacking in (page.replace(BEGIN, ""), page.replace(END, "")):
        with pytest.raises(ValueError, match="there is no"):
            put_between(lacking, "new")


def test_the_file_system_is_that_of_the_innermost_mount() -> None:
    assert file_system(Path("/proc/self")) == "proc"


async def test_the_runs_of_a_made_journal_are_sound_and_each_its_own(tmp_path: Path) -> None:
    """Most are copies of rows: what the rows of the table measure must be what the bot would have written."""
    await write(tmp_path / "journal.db", 3)  # raises where they are not
    await open_runs(tmp_path / "journal.db", 3, WaitBegan, LocalSlack())
    async with opened(tmp_path / "journal.db") as journal:
        names = await journal.open_runs()
        runs = [fold(await journal.entries(run)) for run in names]
        assert [await journal.examine(run) for run in names] == [None] * 3
        assert (await journal.listed()).count == 3
    targets = [run.request.target for run in runs if run and run.status is Status.WAITING]
    assert [target.ring.name for target in targets] == ["ring-0", "ring-1", "ring-2"]
    assert [str(target.backend.ip) for target in targets] == ["10.0.0.13", "10.0.1.13", "10.0.2.13"]
    found = tomllib.loads(settings(3))["rings"]
    assert [ring["directors"][1]["name"] for ring in found] == [target.ring.directors[1].name for target in targets]
