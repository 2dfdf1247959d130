"""Dates as people read them: in UTC, one wording everywhere. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def clock(at: datetime) -> str:
    """The time of day: 14:22:07 UTC."""
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def stamp(at: datetime) -> str:
    """Date and time: 2026-11-23 14:22:07 UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
