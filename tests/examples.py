"""How much is tried: few examples while somebody works on the code, many where `CI=true`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import cycle, islice, product
from typing import TypeVar

One = TypeVar("One")
Other = TypeVar("Other")

MANY = os.environ.get("CI") == "true"


def pairs(ones: Sequence[One], others: Sequence[Other]) -> list[tuple[One, Other]]:
    """Each with each, where many are tried; else each of both once at least."""
    if MANY:
        return list(product(ones, others))
    return list(islice(zip(cycle(ones), cycle(others), strict=False), max(len(ones), len(others))))


def named(one: object) -> str | None:
    """What pytest calls a case: a function by its name, anything else as it does by itself."""
    return getattr(one, "__name__", None)
