"""A bot killed in the drain and started again on a machine whose clock was set, on the practice ring over real SSH."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.adapters.alarms import ApsAlarms
from bot.adapters.clock import SystemClock
from bot.core.hosts.inventory import Inventory
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue
from bot.engine.recovery import recover
from bot.engine.service import Service
from tests.build import library
from tests.integration.place import QUICK, RUN, Place, a_place

DRAIN = timedelta(seconds=4)


async def started_again(place: Place, jump: timedelta) -> tuple[Service, ApsAlarms]:
    """A bot that reads the machine's clock for the first time after it was set."""
    clock = SystemClock(lambda: datetime.now(UTC) + jump)
    alarms = ApsAlarms(clock)
    alarms.start()
    world = replace(place.world, clock=clock, alarms=alarms)
    catalogue = Catalogue(
        inventory=Inventory(rings=(place.inventory,)), procedures=library().procedures, rules=library().rules
    )
    service = Service(world, catalogue, lambda: RUN)
    await recover(world, service)
    return service, alarms


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
async def test_the_drain_takes_its_length_by_the_ssh_hosts_own_clocks(jump: timedelta) -> None:
    async with a_place(replace(QUICK, drain=DRAIN)) as place:
        await place.until(lambda run: run.status is Status.WAITING)
        zero = min(ran.at for ran in place.ring.ran("director update"))
        await place.service.close(timedelta(0))
        service, alarms = await started_again(place, jump)
        try:
            again = replace(place, service=service)
            await again.at("approve-flush")
            assert timedelta(0) <= datetime.now(UTC) - zero - DRAIN < timedelta(seconds=6)
            (went_on,) = await again.facts(fact.WaitGoesOn)
            assert isinstance(went_on, fact.WaitGoesOn)
            assert "by the clocks of director-1, director-2 and backend-3" in went_on.reason
        finally:
            await service.close(timedelta(0))
            await alarms.stop()
