"""Fixtures for tests that need a lab: `from tests.lab.fixtures import lab` in a test module or a conftest."""

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.lab import Lab, missing

FOR_AS_LONG_AS_IT_TAKES = timedelta(minutes=15)
"""Dovecot's own default: a user mapped by a test stays mapped in it, however slow the machine is."""


def skip_without_lab() -> None:
    """Skip where no lab can be had."""
    skip_because(missing())


def skip_because(reason: str | None) -> None:
    """Skip if there is a reason; but under CI=true nobody would read of it, so there it fails."""
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no lab: {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One ring for all tests of a module: each leaves it as it found it."""
    skip_without_lab()
    with Lab(user_expire=FOR_AS_LONG_AS_IT_TAKES) as ring:
        yield ring
