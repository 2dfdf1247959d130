"""Troubles of the ring: directors that restart and forget, colleagues and health monitors that change it, two runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from bot.practice.scene import CHANNEL, THIRD
from bot.practice.values import Sent
from tests.chaos.case import Trouble
from tests.chaos.play import Play


def director_restarts_at(fact: str, name: str) -> Trouble:
    """One director is restarted: for a second it says vhosts 100 and up of everything."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        play.ring.restart_director(name)
        await asyncio.sleep(1.1)

    return trouble


def all_restart_at(fact: str) -> Trouble:
    """All directors are restarted at once: the ring forgets who was out."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        play.ring.restart_all_directors()
        await asyncio.sleep(1.1)

    return trouble


def somebody_says_at(fact: str, *, vhosts: int | None = None, up: bool | None = None) -> Trouble:
    """A colleague or a health monitor changes the vhosts or the state of the backend that is out."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        ip = play.ring.backends["backend-3"].ip
        play.ring.state.change(ip, now=datetime.now(UTC), vhosts=vhosts, up=up)

    return trouble


def somebody_starts_dovecot_at(fact: str) -> Trouble:
    """A colleague starts dovecot under the upgrade, and stops it when the run holds: nothing may be deleted."""

    async def trouble(play: Play) -> None:
        await play.facts.until(fact)
        play.struck = True
        backend = play.ring.backends["backend-3"]
        backend.dovecot_unit.start()
        await play.until(lambda: any(name.startswith("StepFailed") for name in play.facts.look()), within=10)
        await backend.run(("systemctl", "stop", "dovecot"), Sent())

    return trouble


def another_backend_is_asked_for(delay: float) -> Trouble:
    """A second engineer asks for another backend of the ring: one of the two must be refused."""

    async def trouble(play: Play) -> None:
        await asyncio.sleep(delay)
        play.struck = True
        before = len(play.scene.slack.ephemerals)
        await play.scene.slack.command(THIRD, CHANNEL, "/dovecot-upgrade", "backend-2")
        if not await play.until(lambda: _refused(play, before), within=20):
            play.remarks.append("of two requests for two backends of a ring none was refused")

    return trouble


def _refused(play: Play, since: int) -> bool:
    return any("is claimed by run" in one.text for one in play.scene.slack.ephemerals[since:])
