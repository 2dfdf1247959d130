"""What the form offers while a run holds the ring and after it, and what a run would bring: looked up, never kept."""

from __future__ import annotations

import pytest

from bot.engine.offering import Offered
from bot.engine.planning import Request
from bot.errors import Refused
from bot.practice.scene import CHANNEL
from bot.practice.site import CONFIG
from tests.build import REQUESTER
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN


def request(text: str = "") -> Request:
    return Request(command="/dovecot-upgrade", text=text, requester=REQUESTER, team="T0", channel=CHANNEL)


async def offered(play: Drill) -> dict[str, str]:
    assert play.service is not None
    offer = await play.service.offer(request())
    assert list(offer.configs) == [CONFIG]
    states: list[Offered] = [one for ring in offer.rings.values() for one in ring]
    return {one.backend: one.state for one in states}


@from_step("drain")
async def test_a_claimed_ring_says_by_which_run_and_a_free_one_how_its_backends_stand(play: Drill) -> None:
    assert set((await offered(play)).values()) == {f"its ring is claimed by run {RUN}"}
    assert await play.ends() == "done"
    assert (await offered(play))["backend-3"].startswith("up, vhosts 100, ")


@virtually
async def test_directors_that_do_not_answer_keep_nobody_waiting_for_the_form() -> None:
    async with a_run() as play:
        assert await play.ends() == "done"
        for view in play.ring.state.directors.values():
            view.hanging = True
        assert set((await offered(play)).values()) == {"not known now"}


@virtually
async def test_what_a_run_would_bring_is_said_before_it_is_asked_for() -> None:
    async with a_run() as play:
        assert play.service is not None
        lines = await play.service.brings(request(f"backend-2 config={CONFIG} packages=keep"))
        assert [line.partition(":")[0] for line in lines] == [CONFIG]
        with pytest.raises(Refused):
            await play.service.brings(request("backend-9"))
