"""How long something takes, as people say it and as files write it: one wording everywhere. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field


def length(took: timedelta) -> str:
    """A length of time: 12 ms, 1.4 s, 3 min 20 s, 1 h 15 min."""
    seconds = took.total_seconds()
    if 0 < seconds < 0.95:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{rest} s" if rest else "")
    return " ".join(part for part in parts[: 2 if hours else 3] if part) or "0 s"


def between(since: datetime, until: datetime) -> str:
    """How long it was from one date to another, by a clock that may have been set back meanwhile."""
    return length(until - since) if since <= until else "an unknown time (the bot's clock was set back)"


_UNITS = {"s": 1, "m": 60, "h": 3600}


def duration(value: object) -> timedelta:
    """A length of time written as people do: 10s, 15m, 1h."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,6})([smh])", value)):
        return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError("a length of time is a number and s, m or h, such as 10s, 15m or 1h")


def written(length: timedelta) -> str:
    """A length of time of whole seconds, as `duration` reads it."""
    seconds = int(length.total_seconds())
    unit = next(unit for unit in ("h", "m", "s") if seconds % _UNITS[unit] == 0) if seconds else "s"
    return f"{seconds // _UNITS[unit]}{unit}"


# `json_schema_input_type`: what stands in the file, for its JSON Schema (bot/schema.py).
Duration = Annotated[
    timedelta,
    BeforeValidator(duration, json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9]{1,6}[smh]$")]),
]
