"""Troubles of SSH and of hosts: connections cut, commands that hang or answer 75, hosts and directors away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

from bot.practice.machine.host import Host
from bot.practice.values import Fault
from tests.chaos.case import Trouble
from tests.chaos.facts import RunOver
from tests.chaos.play import Play


def command(
    part: str, *, when: Literal["before", "during", "after"], what: Literal["cut", "hang", "exit"], times: int = 1
) -> Trouble:
    """Something goes wrong with the next commands that contain this; see practice.values.Fault."""

    async def trouble(play: Play) -> None:
        fault = Fault(matches=part, when=when, what=what, times=times)
        play.ring.fault(fault)
        if when == "during":
            play.unheard.append(part)
        while armed := play.ring._faults._armed:
            play.struck = play.struck or armed.count(fault) < times
            play.facts.look()
            if play.facts.over:
                raise RunOver(part)
            await asyncio.sleep(0.01)
        play.struck = True

    return trouble


def unreachable_at(fact: str, host: str, seconds: float) -> Trouble:
    """No connection to this host for some seconds; those that stand are cut."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        play.interrupted.append(datetime.now(UTC))
        _host(play, host).unreachable = True
        try:
            await asyncio.sleep(seconds)
        finally:
            _host(play, host).unreachable = False

    return trouble


def _host(play: Play, name: str) -> Host:
    hosts: dict[str, Host] = {**play.ring.directors, **play.ring.backends}
    return hosts[name]


def director_away_at(fact: str, name: str, seconds: float) -> Trouble:
    """The director's process is stopped for some seconds; when it comes back it has forgotten all."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        play.ring.state.set_away(name, datetime.now(UTC), away=True)
        try:
            await asyncio.sleep(seconds)
        finally:
            play.ring.state.set_away(name, datetime.now(UTC), away=False)
        await asyncio.sleep(1.1)  # until it has heard the ring again: a retry before that would be a person's mistake

    return trouble
