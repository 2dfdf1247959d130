"""Fixtures that give a test first the practice ring and then the real one, as a tests.contract.rings.EitherRing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.rings import EitherRing, Practice, Real, practising
from tests.lab import Lab


@pytest.fixture
async def practice() -> AsyncIterator[Practice]:
    """A practice ring of the test's own."""
    async with practising() as ring:
        yield ring


@pytest.fixture
async def real(lab: Lab) -> AsyncIterator[Real]:
    """The real ring that the module's tests share, put back after the test, but for the version of its packages."""
    ring = Real(lab)
    await ring.keep()
    yield ring
    await ring.put_back()
    await ring.hosts.close()


@pytest.fixture(params=["practice", "real"])
def ring(request: pytest.FixtureRequest) -> EitherRing:
    """Each of the two."""
    found: EitherRing = request.getfixturevalue(request.param)
    return found
