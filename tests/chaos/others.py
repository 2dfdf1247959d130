"""Troubles that others make: colleagues, health monitors, hosts that fail; for a while, and what they did is undone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

from bot.practice.ring.hosts import FLUSH_UNIT, Backend
from bot.practice.values import Fault
from tests.chaos.case import Trouble
from tests.chaos.facts import RunOver
from tests.chaos.play import Play

OTHERS = ("backend-1", "backend-2")

Doing = Callable[[Play], AbstractContextManager[None]]
"""What others do, and undo at its end."""


def at(name: str, doing: Doing, *, lasts: float, killed: bool = False) -> Trouble:
    """From a fact on others do something for so many seconds; or the bot is killed there, and they do it while it is
    dead, and go on when it lives again.
    """

    async def trouble(play: Play) -> None:
        await play.facts.until(name)
        play.struck = True
        if killed:
            await play.kill()
        with doing(play):
            if killed:
                await play.start()
            await asyncio.sleep(lasts)

    return trouble


def late(part: str, *, delay: timedelta, killed: bool = False) -> Trouble:
    """The next command that contains this lies in the network, and arrives so late; its sender hears of nothing."""

    async def trouble(play: Play) -> None:
        play.ring.fault(Fault(matches=part, when="late", what="cut", delay=delay))
        while play.ring._faults._armed:
            play.facts.look()
            if play.facts.over:
                raise RunOver(part)
            await asyncio.sleep(0.01)
        play.struck = True
        play.interrupted.append(datetime.now(UTC))
        if killed:
            await play.kill_and_start()
        await asyncio.sleep(delay.total_seconds() + 1)

    return trouble


def _change(play: Play, name: str, *, vhosts: int | None = None, up: bool | None = None) -> None:
    play.ring.state.change(play.ring.backends[name].ip, now=datetime.now(UTC), vhosts=vhosts, up=up)


def _backend(play: Play) -> Backend:
    return play.ring.backends["backend-3"]


@contextmanager
def others_out(play: Play) -> Iterator[None]:
    """A colleague takes the other backends out."""
    for name in OTHERS:
        _change(play, name, vhosts=0)
    try:
        yield
    finally:
        for name in OTHERS:
            _change(play, name, vhosts=100, up=True)


def fail(*names: str) -> Doing:
    """Other backends fail, and a monitor tells the directors."""

    @contextmanager
    def failing(play: Play) -> Iterator[None]:
        for name in names:
            unit = play.ring.backends[name].dovecot_unit
            unit.active, unit.sub = "failed", "failed"
            _change(play, name, up=False)
        try:
            yield
        finally:
            for name in names:
                play.ring.backends[name].dovecot_unit.start()
                _change(play, name, up=True)

    return failing


@contextmanager
def given_back(play: Play) -> Iterator[None]:
    """A colleague puts the backend back into the ring, and goes away."""
    _change(play, "backend-3", vhosts=100, up=True)
    yield


@contextmanager
def taken_over(play: Play) -> Iterator[None]:
    """A colleague puts the backend back into the ring, and takes the others out for a while."""
    with given_back(play), others_out(play):
        yield


@contextmanager
def monitor_says_up(play: Play) -> Iterator[None]:
    """A health monitor sees that it answers, and says up; its vhosts stay as they are."""
    _change(play, "backend-3", up=True)
    yield


def hangs(name: str) -> Doing:
    """A director's process is stopped, as by SIGSTOP."""

    @contextmanager
    def hanging(play: Play) -> Iterator[None]:
        play.ring.directors[name].hanging = True
        try:
            yield
        finally:
            play.ring.directors[name].hanging = False

    return hanging


@contextmanager
def reboots(play: Play) -> Iterator[None]:
    """A hard reset of the backend."""
    now = datetime.now(UTC)
    play.reboots.append(now)
    play.interrupted.append(now)
    _backend(play).reboot()
    yield


@contextmanager
def flush_unit_disabled(play: Play) -> Iterator[None]:
    """Somebody disables the service that flushes the metacache, and leaves it so."""
    _backend(play).metacache_flush = "disabled"
    yield


@contextmanager
def flush_unit_fails(play: Play) -> Iterator[None]:
    """The service that flushes the metacache will fail when it is stopped."""
    _backend(play).units[FLUSH_UNIT].stop_result = "exit-code"
    yield


@contextmanager
def leads_elsewhere(play: Play) -> Iterator[None]:
    """The backend's SSH name leads to another backend, until somebody corrects that."""
    config, other = play.ring.ssh_config, play.ring.backends["backend-2"]
    right = config.read_text()
    config.write_text(right.replace(f"Port {_backend(play).port}\n", f"Port {other.port}\n"))
    play.interrupted.append(datetime.now(UTC))
    _backend(play).drop_connections()
    try:
        yield
    finally:
        config.write_text(right)
        play.interrupted.append(datetime.now(UTC))
        other.drop_connections()
