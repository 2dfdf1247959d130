"""The tests that branch off a good run: their order, and how they are played."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples import MANY
from tests.harness.branches import Place, begins_at, branched


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those of a file in the order of the run that they branch off, as it goes forward only."""
    places = [place for place, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[place] for place in places), key=lambda item: (item.path, _order(item)))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _order(item: pytest.Item) -> tuple[()] | Place:
    at = begins_at(item) if isinstance(item, pytest.Function) else None
    return () if at is None else at


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Play it as a branch, where it is one; by itself where many examples are tried."""
    if MANY or begins_at(pyfuncitem) is None:
        return None
    branched(pyfuncitem)
    return True
