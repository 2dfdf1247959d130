"""How long something takes, as people say it: one wording everywhere. Pure."""

from __future__ import annotations

from datetime import timedelta


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
