"""A host is who it proves to be: nothing is changed over a connection that leads to another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.core.hosts.inventory import Ring
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue, Request
from tests.build import SECOND
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually

OF_THE_BACKEND = (
    "stage-config",
    "stop-lmtp",
    "stop-dovecot",
    "mask-dovecot",
    "install-packages",
    "install-config",
    "remove-old-metacache-database",
    "clean-metacache",
    "unmask-dovecot",
    "start-dovecot",
)


def settings(change: Callable[[dict[str, Any]], None]) -> Callable[[Catalogue], Catalogue]:
    """The catalogue with its ring's table changed."""

    def changed(catalogue: Catalogue) -> Catalogue:
        (ring,) = catalogue.inventory.rings
        table = ring.model_dump(mode="json")
        change(table)
        # Unchecked, as of a run that an older version allowed, or of claims that nobody could check.
        inventory = catalogue.inventory.model_copy(update={"rings": (Ring.model_validate(table),)})
        return replace(catalogue, inventory=inventory)

    return changed


def backend_3(**said: str) -> Callable[[Catalogue], Catalogue]:
    return settings(lambda table: table["backends"][2].update(said))


def changes_on(play: Drill, host: str) -> list[str]:
    """What was sent there to change something."""
    return [one.text for one in play.watching.begun if one.ran.host == host and one.ran.not_after is not None]


def proof(play: Drill) -> str:
    """What the thread says of who the hosts proved to be."""
    return next(one for one in play.thread() if "Every host is the one that the settings mean" in one)


async def refused(play: Drill) -> str:
    run = await play.until(lambda run: run.status is Status.ENDED)
    assert str(run.outcome) == "refused"
    assert [one.text for one in play.watching.begun if one.ran.not_after is not None] == []
    return run.reason


@virtually
async def test_a_name_that_leads_to_another_backend_is_refused_before_anything_is_changed() -> None:
    """Seen: it moved 13's users, stopped dovecot on backend-2 with all its users, and said done."""
    async with a_run() as play:
        play.network.reaches["backend-3"] = "backend-2"
        play.network.drop("backend-3")
        reason = await refused(play)
        assert "192.0.2.12" in reason, "what it said"
        assert "192.0.2.13" in reason, "what was expected"
        assert "correct `ssh` of backend-3" in reason
        assert "set `machine_id =" in reason
        (told,) = play.thread(fact.StepFailed)
        assert "does not prove to be backend-3" in told


@virtually
async def test_a_plan_shows_that_a_name_leads_to_another_backend() -> None:
    """Before anybody asks for a run, and without one."""
    async with a_run() as play:
        play.network.reaches["backend-3"] = "backend-2"
        play.network.drop("backend-3")
        await refused(play)
        assert play.service is not None
        request = Request(
            command="/dovecot-upgrade", text="backend-3 restart=yes", requester=SECOND, team="T0", channel="C0"
        )
        dry_run = await play.service.dry_run(request)
        assert any(not holds and "does not prove to be backend-3" in reason for _, holds, reason in dry_run.checks)


@virtually
async def test_a_host_that_proves_nothing_by_an_address_proves_it_by_its_machine_id() -> None:
    """Translated addresses: the directors' one is on none of its interfaces, and sshd saw another."""
    async with a_run() as play:
        play.backend.addresses = ["127.0.0.1", "10.9.8.7"]
        reason = await refused(play)
        assert play.backend.machine_id in reason, "it says what to write into the settings"
    play_id = play.backend.machine_id
    async with a_run(backend_3(machine_id=play_id)) as play:
        play.backend.addresses = ["127.0.0.1", "10.9.8.7"]
        assert await play.ends() == "done"
        assert "its machine-id" in proof(play)


@virtually
async def test_a_machine_id_in_the_settings_counts_even_where_an_address_would_prove_it() -> None:
    """Never guessed: what the settings say is held to, and a wrong one is refused with both ids."""
    async with a_run(backend_3(machine_id="f" * 32)) as play:
        reason = await refused(play)
        assert "f" * 32 in reason
        assert play.backend.machine_id in reason


@virtually
async def test_sshds_own_address_of_the_connection_proves_a_host_without_ip() -> None:
    """SSH_CONNECTION's third field: no interface need be listed, as where `ip` is not installed."""
    async with a_run() as play:
        del play.backend.programs["ip"]
        play.backend.environment["SSH_CONNECTION"] = "192.0.2.200 50022 192.0.2.13 22"
        assert await play.ends() == "done"
        assert "its own address of this SSH connection" in proof(play)


@pytest.mark.parametrize("step", OF_THE_BACKEND)
@from_step()
async def test_a_reconnect_to_another_host_changes_nothing_there_and_the_run_goes_on_once_it_is_mended(
    play: Drill,
    step: str,
) -> None:
    """The identity is the connection's: none escapes it between the look and the change."""
    play.network.reaches["backend-3"] = "backend-2"
    play.network.drop("backend-3")
    if step == "stage-config":
        assert "does not prove to be backend-3" in await _ended(play)
        return
    run = await play.held()
    assert "does not prove to be backend-3" in run.reason
    assert changes_on(play, "backend-2") == []
    del play.network.reaches["backend-3"]
    play.network.drop("backend-2")
    await play.retry()
    assert await play.ends() == "done"
    assert play.broken() == []


async def _ended(play: Drill) -> str:
    run = await play.until(lambda run: run.status is Status.ENDED)
    assert changes_on(play, "backend-2") == []
    return run.reason


@pytest.mark.parametrize("step", ["stop-lmtp", "stop-dovecot", "mask-dovecot", "clean-metacache", "start-dovecot"])
@from_step()
async def test_a_reconnect_between_the_look_and_the_change_sends_nothing(play: Drill, step: str) -> None:
    """The very last moment: the clock of its fence was read over a connection that is gone."""

    def elsewhere() -> None:
        play.network.reaches["backend-3"] = "backend-2"
        play.network.drop("backend-3")

    play.before(f"StepStarted:{step}", elsewhere)
    run = await play.held()
    assert changes_on(play, "backend-2") == []
    assert play.sent(step) == []
    assert run.step is not None
    assert run.step.name == step
    del play.network.reaches["backend-3"]
    play.network.drop("backend-2")
    await play.retry()
    assert await play.ends() == "done"
    assert play.broken() == []


@pytest.mark.parametrize("number", range(4))
@from_step("unmask-dovecot")
async def test_an_undo_goes_to_no_other_host_either(play: Drill, number: int) -> None:
    """The way back is made of changes like any other."""
    play.fails("unmask-dovecot")
    await play.held()
    await play.go_back()
    await play.until(lambda run: run.plan.back)
    undos = [one.name for one in play.run_now.plan.steps if one.name.startswith("undo-") and "director" not in one.name]
    of_the_backend = [name for name in undos if "vhosts" not in name]
    await play.reaches(of_the_backend[min(number, len(of_the_backend) - 1)])
    play.network.reaches["backend-3"] = "backend-2"
    play.network.drop("backend-3")
    run = await play.held()
    assert "does not prove to be backend-3" in run.reason
    assert changes_on(play, "backend-2") == []
    del play.network.reaches["backend-3"]
    play.network.drop("backend-2")
    await play.retry()
    assert await play.ends() == "went back"
    assert play.broken() == []


@from_step("approve-restore")
async def test_a_set_back_of_the_watch_goes_over_the_connection_that_was_looked_at(play: Drill) -> None:
    """A director's name that leads elsewhere between the look and the set-back changes nothing there."""
    await play.asks()
    play.colleague_gives()

    def elsewhere() -> None:
        play.network.reaches["director-1"] = "backend-2"
        play.network.drop("director-1")

    play.before("RingDeviated", elsewhere)
    await play.until(lambda run: run.ring.deviations > 0)
    await asyncio.sleep(100)
    assert changes_on(play, "backend-2") == []
    (came, *_) = play.facts(fact.RingSetBack)
    assert not came.holds
    assert "director-1" in play.thread(fact.RingSetBack)[0]
    # The next round sees to it over the director that answers.
    assert not play.ring.state.usable(play.backend.ip)
