"""One row of the table: what is measured against what, its mark, and what came of it. Pure: it measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum


class By(Enum):
    """What of a pair of figures is looked at."""

    VALUE = "the figure itself"
    RATIO = "ours divided by theirs"
    MORE = "ours less theirs"


class Verdict(Enum):
    MET = "met"
    MISSED = "missed"
    REPORTED = "reported"
    NOT_MEASURED = "not measured"
    BROKEN = "broken"


class NotMeasured(Exception):
    """The row cannot be measured on this machine; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What is to be reached: by the median of the runs, or `every` one of them. Without a bound it is only reported."""

    by: By
    unit: str = ""
    most: float | None = None
    least: float | None = None
    every: bool = False

    @property
    def text(self) -> str:
        bounds = [
            f"{sign} {number(bound)}" for sign, bound in (("≤", self.most), ("≥", self.least)) if bound is not None
        ]
        return ", ".join(f"{bound}{self.suffix}" for bound in bounds) or "reported"

    @property
    def suffix(self) -> str:
        """What stands behind a figure that is compared."""
        match self.by:
            case By.RATIO:
                return " ×"
            case By.MORE:
                return f" {self.unit} more".replace("  ", " ")
            case By.VALUE:
                return f" {self.unit}".rstrip()

    def reached(self, spread: Spread) -> bool:
        most, least = (spread.maximum, spread.minimum) if self.every else (spread.median, spread.median)
        return (self.most is None or most <= self.most) and (self.least is None or least >= self.least)


def reported(unit: str = "") -> Mark:
    """No mark: the figure itself is reported."""
    return Mark(by=By.VALUE, unit=unit)


def times(*, most: float | None = None, least: float | None = None, every: bool = False) -> Mark:
    """So many times theirs."""
    return Mark(by=By.RATIO, most=most, least=least, every=every)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures of one row: one of ours in each run, and theirs of the same run where there are others.

    `unit` is of both; `bound` says in a sentence what bounds ours now; `beside` are lines that are printed beside it.
    """

    ours: tuple[float, ...]
    theirs: tuple[float, ...] = ()
    unit: str
    bound: str
    beside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.ours or (self.theirs and len(self.theirs) != len(self.ours)):
            raise ValueError(f"{len(self.ours)} figures of ours and {len(self.theirs)} of theirs are no pairs")


@dataclass(frozen=True, kw_only=True)
class Row:
    """`name` is for --only; `what` and `against` are the table's text; `runs` is how many runs it needs."""

    name: str
    what: str
    against: str = ""
    mark: Mark
    runs: int = 1
    measure: Callable[[int], Awaitable[Measured]]


@dataclass(frozen=True)
class Spread:
    minimum: float
    median: float
    maximum: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A row that was played; `why` says why there is nothing measured."""

    row: Row
    verdict: Verdict
    measured: Measured | None = None
    why: str = ""

    @property
    def compared(self) -> Spread | None:
        """What the mark is for: ratios or differences pair by pair, or the figures themselves."""
        return None if self.measured is None else spread(compared(self.row.mark.by, self.measured))


async def play(row: Row) -> Outcome:
    """Measure it; what cannot be measured, and what breaks, is an outcome too."""
    try:
        measured = await row.measure(row.runs)
        return Outcome(row=row, verdict=judged(row.mark, measured), measured=measured)
    except NotMeasured as error:
        return Outcome(row=row, verdict=Verdict.NOT_MEASURED, why=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the rows behind it are measured
        return Outcome(row=row, verdict=Verdict.BROKEN, why=f"{type(error).__name__}: {error}")


def judged(mark: Mark, measured: Measured) -> Verdict:
    found = spread(compared(mark.by, measured))
    if mark.most is None and mark.least is None:
        return Verdict.REPORTED
    return Verdict.MET if mark.reached(found) else Verdict.MISSED


def compared(by: By, measured: Measured) -> tuple[float, ...]:
    """Raises ValueError where there is nothing to compare with."""
    match by:
        case By.VALUE:
            return measured.ours
        case By.RATIO:
            return tuple(ours / theirs for ours, theirs in _pairs(measured))
        case By.MORE:
            return tuple(ours - theirs for ours, theirs in _pairs(measured))


def _pairs(measured: Measured) -> zip[tuple[float, float]]:
    if not measured.theirs:
        raise ValueError("nothing was measured beside it")
    return zip(measured.ours, measured.theirs, strict=True)


def spread(figures: tuple[float, ...]) -> Spread:
    return Spread(min(figures), statistics.median(figures), max(figures))


def number(value: float) -> str:
    """As people read it: three digits, never with an exponent, thousands with a comma."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = next((places for places in range(8) if abs(value) >= 10 ** (1 - places)), 8) + 1
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
