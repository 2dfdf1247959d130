"""How many there are of something, and which, in a line that may be cut where it is shown: the number comes first."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 3
"""Names in a line; of more than these, only the number."""

_ROOM = 240
"""Characters of these names: about half of what a question has for all its lines."""


def plural(number: int, what: str) -> str:
    """So many of something."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def named(names: Sequence[str]) -> str:
    """The first of them, whole as far as there is room, and how many more there are."""
    shown = list(names[:NAMED])
    while len(shown) > 1 and len("; ".join(shown)) > _ROOM:
        shown.pop()
    text, more = "; ".join(shown), len(names) - len(shown)
    text = text if len(text) <= _ROOM else f"{text[: _ROOM - 1]}…"
    return text + (f"; and {more} more" if more else "")
