"""Facts that move nothing starve nothing, a procedure adds guards and takes none away, and strangers change no ring."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.core.plans.procedure import Change, Expectation
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue
from bot.practice.ring.ring import PracticeRing
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN, now

TAKE_DOWN = ("stop-lmtp", "stop-dovecot", "director-down", "flush-users", "mask-dovecot")


@pytest.mark.parametrize(
    "told",
    [
        lambda number: fact.UsersCounted(users={"director-1": number}),
        lambda number: fact.RingDeviated(step="set-vhosts-to-zero", host="director-2", reason=f"vhosts {number}"),
        lambda number: fact.OthersCounted(usable=number % 2, needed=1, reason="flapping"),
        lambda _number: fact.MonitorSaysUp(host="director-2", reason="state is up"),
    ],
    ids=["UsersCounted", "RingDeviated", "OthersCounted", "MonitorSaysUp"],
)
@from_step("stop-lmtp")
async def test_what_only_tells_something_between_look_and_change_starves_no_take_down(play: Drill, told: Any) -> None:
    """A flapping director would else keep the users of a stopped dovecot waiting for as long as it flaps."""
    number = 0

    async def tell() -> None:
        nonlocal number
        number += 1
        runlog = play._services[-1]._live[RUN].runlog
        if number <= 2 or not isinstance(told(0), fact.RingDeviated):
            await runlog.record(told(number))

    hook = play.before("hosts.run", tell, always=True)
    began = now()
    await play.reaches("stop-was-clean")
    assert number >= 2
    assert now() - began < timedelta(seconds=3)
    play.points.hooks.remove(hook)
    for step in TAKE_DOWN:
        assert len(play.sent(step)) == 1, step
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("stop-dovecot")
async def test_a_director_that_restarts_all_the_time_starves_no_take_down(play: Drill) -> None:
    """Each time it says 100 and up of everything for a second; those that know are right again at once."""
    restarting = asyncio.ensure_future(_restarts(play))
    began = now()
    while play.ring.users_on("backend-3"):
        await asyncio.sleep(0.1)
    assert now() - began < timedelta(seconds=10)
    restarting.cancel()
    await asyncio.sleep(5)
    while (run := await play.until(lambda run: run.status in _STANDS)).status is not Status.ENDED:
        await (play.approve() if run.status is Status.ASKING else play.retry())
    assert str(run.outcome) == "done"
    assert play.broken() == []


async def _restarts(play: Drill) -> None:
    while True:
        await asyncio.sleep(2)
        play.ring.restart_director("director-2")


_STANDS = {Status.HELD, Status.ENDED, Status.ASKING}


def only_if_two_others(catalogue: Catalogue) -> Catalogue:
    """The shipped procedure, of which a site wants two usable others before a stop."""
    wanted = Expectation.model_validate(
        {"probe": "director-hosts", "where": "directors that answer", "usable_others": {"at_least": 2}}
    )
    (procedure,) = catalogue.procedures
    stages = [
        stage.model_copy(
            update={
                "steps": tuple(
                    step.model_copy(update={"only_if": (wanted,)})
                    if isinstance(step, Change) and step.step == "stop-dovecot"
                    else step
                    for step in stage.steps
                )
            }
        )
        for stage in procedure.stages
    ]
    return replace(catalogue, procedures=(procedure.model_copy(update={"stages": tuple(stages)}),))


@pytest.mark.parametrize("lost", [("backend-1",), ("backend-1", "backend-2")])
@virtually
async def test_a_procedure_of_ones_own_adds_to_the_guards_and_takes_none_away(lost: tuple[str, ...]) -> None:
    """`only_if` is looked at in the same look; the laws hold beside it."""
    async with a_run(only_if_two_others) as play:
        await play.reaches("stop-dovecot")
        play.others_out(*lost)
        run = await play.held()
        assert f"usable others is {2 - len(lost)}, expected at least 2" in run.reason
        assert play.sent("stop-dovecot") == []
        play.others_back()
        await play.retry()
        assert await play.ends() == "done"
        assert play.broken() == []


@pytest.mark.parametrize(
    "step", ["set-vhosts-to-zero", "director-down", "flush-users", "set-vhosts-back", "director-up"]
)
@from_step()
async def test_a_directors_name_that_leads_into_another_ring_changes_nothing_there(play: Drill) -> None:
    """A ring that knows the same addresses, as a copy of the site does: who was proved is not who is there now."""
    _another_ring(play)
    await play.until(lambda run: run.status in _STANDS)
    assert [one.text for one in play.watching.begun if one.ran.host.startswith("other") and one.ran.not_after] == []


@pytest.mark.parametrize("step", ["set-vhosts-back", "director-up"])
@from_step()
async def test_what_another_ring_says_is_never_found_done(play: Drill) -> None:
    """It says 100 and up, as every ring does of a backend; the true one would have been forgotten at 0."""
    _another_ring(play)
    run = await play.held()
    assert "is another director" in run.reason
    for name in play.ring.directors:
        del play.network.reaches[name]
        play.network.drop(f"other-{name}")
    await play.retry()
    assert await play.ends() == "done"
    ip = play.ring.backends["backend-3"].ip
    assert [view.backends[ip].usable for view in play.ring.state.directors.values()] == [True, True]


def _another_ring(play: Drill) -> None:
    """Both directors' names lead into it from now on."""
    other = PracticeRing(users=0, now=now)
    other.hostlog.ran = play.watching
    for name, host in other.directors.items():
        host.name = f"other-{name}"
        play.network.machines[host.name] = host
        play.network.reaches[name] = host.name
        play.network.drop(name)
    for number, view in enumerate(other.state.directors.values(), 1):
        view.ip = f"198.51.100.{number}"
