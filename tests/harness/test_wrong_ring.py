"""The directors are the ones that the settings mean, all of them, and no two backends of theirs are ever out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Request
from bot.engine.service import Service
from bot.errors import Refused
from tests.build import SECOND
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN
from tests.harness.test_wrong_host import refused, settings


@virtually
async def test_two_directors_behind_one_name_are_one_and_preflight_says_so() -> None:
    """Seen: director-1, director-2: synced yes; and director-2 was never asked."""
    async with a_run() as play:
        play.network.reaches["director-2"] = "director-1"
        reason = await refused(play)
        assert "director-1 and director-2 are one and the same director" in reason


@virtually
async def test_a_director_of_another_ring_is_refused_with_the_members_that_each_names() -> None:
    """Both are synced, each with a ring of its own."""
    async with a_run() as play:
        play.ring.directors["director-2"].programs["doveadm"] = _stranger(play)
        reason = await refused(play)
        assert "the directors name different members" in reason


def _stranger(play: Drill) -> Any:
    usual = play.ring.directors["director-2"].programs["doveadm"]

    async def doveadm(call: Any) -> Any:
        answer = usual(call)
        answer = answer if not hasattr(answer, "__await__") else await answer
        if call.args[-2:] == ("ring", "status"):
            return replace(answer, out=answer.out.replace(b"192.0.2.1\t", b"198.51.100.1\t"))
        return answer

    return doveadm


@virtually
async def test_a_director_that_is_missing_from_the_settings_is_named() -> None:
    """Whoever is not asked would not be set to 0 in a look, and the ring would have another opinion."""
    async with a_run(settings(lambda table: table["directors"].pop())) as play:
        reason = await refused(play)
        assert (
            "192.0.2.2:9090 is a member of the ring, and no director that the settings had when this was asked for"
            in reason
        )


@virtually
async def test_a_backend_of_the_ring_and_tag_that_is_not_in_the_settings_is_refused() -> None:
    """It would be counted as somewhere to go, and nobody knows what it is."""
    async with a_run(settings(lambda table: table["backends"].pop(0))) as play:
        reason = await refused(play)
        assert "192.0.2.11 is on the list but was not in the settings" in reason


@pytest.mark.parametrize("names", ["the same", "others"])
@from_step("drain")
async def test_two_rings_of_the_same_directors_never_have_two_backends_out(play: Drill, names: str) -> None:
    """Seen: two rings put two backends of one ring to 0; where the ssh names differ, the directors' own rows tell."""
    await play.until(lambda run: run.status is Status.WAITING)
    told = await second_ring(play, names)
    assert RUN in told
    assert play.began("director update 192.0.2.12 0") == []
    assert await play.ends() == "done"


async def second_ring(play: Drill, names: str) -> str:
    """Somebody asks for backend-2, which the settings put into a ring of its own; what that comes to."""

    def rename(table: dict[str, Any]) -> None:
        table["name"] = "another"
        if names == "others":
            for director in table["directors"]:
                play.network.reaches[f"{director['name']}-alias"] = director["name"]
                director["ssh"] = f"{director['name']}-alias"

    catalogue = settings(rename)(play._catalogue)
    service = Service(play.world, catalogue, lambda: "r2026i")
    play._services.append(service)
    request = Request(
        command="/dovecot-upgrade", text="backend-2 restart=yes", requester=SECOND, team="T0", channel="C0"
    )
    try:
        await service.request(request)
    except Refused as error:
        return str(error)
    await asyncio.sleep(timedelta(seconds=30).total_seconds())
    ended = [one.fact for one in play.journal.facts["r2026i"] if isinstance(one.fact, fact.RunEnded)]
    assert [str(one.outcome) for one in ended] == ["refused"]
    return ended[0].reason
