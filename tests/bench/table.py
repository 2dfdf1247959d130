"""The table as text, as Markdown (in full and in short) and as JSON, and what it was made on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.row import Measured, Outcome, Row, Spread, Verdict, number, spread

SCRATCH = Path("/var/tmp")
"""Where the rows keep their journals: on a disk, where /tmp may be memory."""

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


@dataclass(frozen=True, kw_only=True)
class Made:
    """`date` is in UTC."""

    command: str
    date: str
    machine: str


def machine() -> str:
    """What the figures were taken on, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {_cpu()}, {memory:.0f} GiB of memory, Linux {platform.release()}, "
        f"Python {platform.python_version()}, journals on {file_system(SCRATCH)}"
    )


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def file_system(path: Path) -> str:
    """The kind of file system that a path is on."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    around = [(len(at), kind) for _, at, kind, *_ in mounts if path.resolve().is_relative_to(at)]
    return max(around, key=lambda found: found[0])[1]


# one row


def heading(row: Row) -> str:
    against = f" against {row.against}" if row.against else ""
    return f"{row.name}: {row.what}{against}; {row.mark.text}; runs: {row.runs}"


def result(outcome: Outcome) -> str:
    """The verdict, with the figures that it comes from."""
    if outcome.compared is None:
        return f"{outcome.verdict.value}: {outcome.why}"
    return f"{outcome.verdict.value}: {_compared(outcome)}"


def as_text(outcome: Outcome) -> str:
    """One row, as it is printed when it has been played."""
    lines = [heading(outcome.row), result(outcome)]
    if measured := outcome.measured:
        lines += [f"ours {_figures(measured.ours, measured.unit)}"]
        lines += [f"theirs {_figures(measured.theirs, measured.unit)}"] if measured.theirs else []
        lines += [f"bounded by: {measured.bound}", *measured.beside]
    return "\n    ".join(lines)


def _compared(outcome: Outcome) -> str:
    found = outcome.compared
    assert found is not None
    return f"{_three(found)}{outcome.row.mark.suffix}"


def _both(measured: Measured | None) -> tuple[str, str]:
    if measured is None:
        return "–", "–"
    return _figures(measured.ours, measured.unit), _figures(measured.theirs, measured.unit)


def _figures(figures: tuple[float, ...], unit: str) -> str:
    return f"{_three(spread(figures))} {unit}" if figures else "–"


def _three(found: Spread) -> str:
    return f"{number(found.minimum)} / {number(found.median)} / {number(found.maximum)}"


# the whole


def whole(outcomes: Sequence[Outcome], made: Made) -> str:
    """The table for a terminal."""
    rows = [("row", "mark", "runs", "minimum / median / maximum", "verdict")]
    for one in outcomes:
        figures = _compared(one) if one.measured else one.why
        rows.append((one.row.name, one.row.mark.text, str(one.row.runs), figures, one.verdict.value))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[4].ljust(12), row[3]])
        for row in rows
    ]
    return "\n".join([*_where(made), "", *lines])


def in_full(outcomes: Sequence[Outcome], made: Made) -> str:
    """For tests/bench/README.md: every figure, what bounds each row, and what is said beside."""
    head = ("row", "against", "mark", "runs", "ours", "theirs", "compared", "")
    cells = [
        (
            f"`{one.row.name}` {one.row.what}",
            one.row.against or "–",
            one.row.mark.text,
            str(one.row.runs),
            *_both(one.measured),
            _compared(one) if one.measured else "–",
            _verdict(one),
        )
        for one in outcomes
    ]
    return "\n".join([*_where(made), "", *_table(head, cells), "", *_said(outcomes)]).rstrip()


def in_short(outcomes: Sequence[Outcome], made: Made) -> str:
    """For README.md."""
    head = ("what", "against", "mark", "minimum / median / maximum", "")
    cells = [
        (
            one.row.what,
            one.row.against or "–",
            one.row.mark.text,
            _compared(one) if one.measured else "–",
            _verdict(one),
        )
        for one in outcomes
    ]
    return "\n".join([*_where(made), "", *_table(head, cells)])


def _where(made: Made) -> tuple[str, str]:
    return f"`{made.command}`, {made.date}.", f"{made.machine[:1].upper()}{made.machine[1:]}."


def _verdict(outcome: Outcome) -> str:
    match outcome.verdict:
        case Verdict.MISSED:
            return "*missed*"
        case Verdict.NOT_MEASURED | Verdict.BROKEN:
            return f"*{outcome.verdict.value}: {outcome.why}*"
        case Verdict.MET | Verdict.REPORTED:
            return str(outcome.verdict.value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in lines]


def _said(outcomes: Iterable[Outcome]) -> list[str]:
    lines = []
    for one in outcomes:
        if one.measured:
            lines.append(f"- `{one.row.name}` is bounded by this: {one.measured.bound}")
            lines += [f"  {line}" for line in one.measured.beside]
    return lines


def as_data(outcomes: Sequence[Outcome], made: Made) -> dict[str, object]:
    """For --json: all figures of all runs."""
    return asdict(made) | {"rows": [_row_data(one) for one in outcomes]}


def _row_data(outcome: Outcome) -> dict[str, object]:
    row, measured = outcome.row, outcome.measured
    data: dict[str, object] = {
        "name": row.name,
        "what": row.what,
        "against": row.against,
        "mark": row.mark.text,
        "runs": row.runs,
        "verdict": outcome.verdict.value,
        "why": outcome.why,
    }
    if measured is None or outcome.compared is None:
        return data
    return data | asdict(measured) | {"compared": asdict(outcome.compared)}


def put_between(page: str, table: str) -> str:
    """The page with this table between its two markers; raises ValueError where they are not."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
