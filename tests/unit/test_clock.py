"""Time goes on evenly, whatever somebody does to the machine's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.adapters.clock import SystemClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Machine:
    def __init__(self) -> None:
        self.wall = NOON
        self.steady = 500.0

    def pass_by(self, length: timedelta) -> None:
        self.wall += length
        self.steady += length.total_seconds()


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_drain_is_as_long_as_it_is_when_the_clock_is_set(jump: timedelta, caplog: pytest.LogCaptureFixture) -> None:
    """Put forward, the drain would be cut short and users moved who were about to leave; put back, it would not end."""
    machine = Machine()
    clock = SystemClock(lambda: machine.wall, lambda: machine.steady)
    began = clock.now()
    machine.pass_by(timedelta(minutes=5))
    machine.wall += jump
    machine.pass_by(timedelta(minutes=10))
    assert clock.now() - began == timedelta(minutes=15)
    clock.now()
    assert len(caplog.records) == 1
    assert "clock was set" in caplog.text


def test_it_is_the_machines_time_in_utc() -> None:
    machine = Machine()
    clock = SystemClock(lambda: machine.wall, lambda: machine.steady)
    machine.pass_by(timedelta(days=100))
    assert clock.now() == NOON + timedelta(days=100)
