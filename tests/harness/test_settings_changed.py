"""The settings are edited while a run is open: hosts are reached as they say now, and all else is said and stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bot.core.hosts.inventory import Access
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.ring.state import BackendState, View
from tests.harness.branches import from_step
from tests.harness.drill import Drill
from tests.harness.test_wrong_host import changes_on, settings

Table = dict[str, Any]


async def restarted_with(play: Drill, change: Callable[[Table], object]) -> None:
    """The bot is stopped, its settings are edited, and it is started again."""
    play.stop_bot()
    play._catalogue = settings(lambda table: (change(table), None)[1])(play._catalogue)
    await asyncio.sleep(10)
    await play.start_bot()


def backend_3(**said: str) -> Callable[[Table], object]:
    return lambda table: table["backends"][2].update(said)


def said_of_the_settings(play: Drill) -> str:
    """The thread's last word on them."""
    return play.thread(fact.SettingsChanged)[-1]


def gets_new_names(play: Drill) -> None:
    """The directors, in the SSH config: the old names lead to nobody any more."""
    play.stop_bot()
    for name in ("director-1", "director-2"):
        gone = play.network.machines[f"gone-{name}"] = play.ring._made_director(f"gone-{name}", "192.0.2.99")
        play.network.away(gone.name, timedelta(days=3))
        play.network.reaches |= {f"{name}-new": name, name: gone.name}
        play.network.drop(name)


async def moves_on(play: Drill, seq: int) -> None:
    await play.until(lambda run: run.seq > seq)


# how hosts are reached: as the settings say now


@from_step("install-packages")
async def test_an_ssh_name_that_is_corrected_in_the_settings_as_the_hold_says_counts(play: Drill) -> None:
    """“What to do: correct `ssh` of backend-3”: done, restarted, Retry, and the same was said again."""
    play.network.reaches["backend-3"] = "backend-2"
    play.network.drop("backend-3")
    assert "What to do: correct `ssh` of backend-3" in (await play.held()).reason
    play.network.reaches["backend-3-mgmt"] = "backend-3"
    await restarted_with(play, backend_3(ssh="backend-3-mgmt"))
    assert "`backend-3`: `ssh backend-3-mgmt`, with sudo" in said_of_the_settings(play)
    await play.retry()
    assert await play.ends() == "done"
    assert changes_on(play, "backend-2") == []
    assert play.broken() == []


@from_step("install-packages")
async def test_a_machine_id_that_is_set_in_the_settings_as_the_hold_says_counts(play: Drill) -> None:
    """The backend's address is translated from today on: the hold has the very line for the settings."""
    play.backend.addresses = ["127.0.0.1", "10.9.8.7"]
    play.network.drop("backend-3")
    assert f'set `machine_id = "{play.backend.machine_id}"`' in (await play.held()).reason
    await restarted_with(play, backend_3(machine_id=play.backend.machine_id))
    await play.retry()
    assert await play.ends() == "done"


@from_step("start-dovecot")
async def test_the_settings_lead_an_open_run_to_no_other_machine(play: Drill) -> None:
    """Another `ssh` name and its own machine-id, which would prove it to a run that begins now."""
    play.network.reaches["elsewhere"] = "backend-2"
    other = play.ring.backends["backend-2"]
    await restarted_with(play, backend_3(ssh="elsewhere", machine_id=other.machine_id))
    assert "backend-3 is another machine" in (await play.held()).reason
    assert f"and this run is on the machine {play.backend.machine_id}" in said_of_the_settings(play)
    assert changes_on(play, "backend-2") == []


@pytest.mark.parametrize("told", [True, False], ids=["with its machine-id", "without one"])
@from_step("stop-lmtp")
async def test_the_settings_lead_an_open_run_to_no_replacement_that_has_the_address(play: Drill, told: bool) -> None:
    """The machine was replaced: the new one has its address, another ssh name and another machine-id."""
    other = play.ring.backends["backend-2"]
    other.addresses = list(play.backend.addresses)
    play.network.reaches["new-metal"] = "backend-2"
    await restarted_with(play, backend_3(ssh="new-metal", **({"machine_id": other.machine_id} if told else {})))
    run = await play.held()
    assert f"its machine-id is {other.machine_id}, and has to be {play.backend.machine_id}" in run.reason
    assert (f"and this run is on the machine {play.backend.machine_id}" in said_of_the_settings(play)) is told
    assert changes_on(play, "backend-2") == []


@from_step("director-down")
async def test_users_who_wait_are_moved_by_directors_that_have_new_ssh_names(play: Drill) -> None:
    """Dovecot is stopped. The site renames its hosts' ssh names, in the SSH config and in the settings."""
    gets_new_names(play)
    await restarted_with(play, lambda table: [one.update(ssh=f"{one['name']}-new") for one in table["directors"]])
    run = await play.until(lambda run: run.status is Status.HELD or "flush-users" in run.seen_done)
    assert "flush-users" in run.seen_done, run.reason


@from_step("director-down")
async def test_one_name_that_another_run_claims_keeps_no_other_host_from_being_reached(play: Drill) -> None:
    """As above, and one of the new names was that of another ring's director until now."""
    gets_new_names(play)
    play.journal.claims["ssh director-1-new"] = "r2026other"
    await restarted_with(play, lambda table: [one.update(ssh=f"{one['name']}-new") for one in table["directors"]])
    told = said_of_the_settings(play)
    assert "`director-2`: `ssh director-2-new`" in told
    assert "director-1 is reached as before, as ssh director-1-new is claimed by run r2026other" in told
    run = await play.until(lambda run: run.status is Status.HELD or "flush-users" in run.seen_done)
    assert "flush-users" in run.seen_done, run.reason


@from_step("ring-is-whole-for-the-restore")
async def test_a_director_whose_new_ssh_name_leads_to_another_one_is_told_nothing(play: Drill) -> None:
    """Which member of the ring it is was proved when the run began, and holds over every name."""
    play.network.reaches |= {"one": "director-2", "two": "director-1"}
    swapped = {"director-1": "one", "director-2": "two"}
    await restarted_with(play, lambda table: [one.update(ssh=swapped[one["name"]]) for one in table["directors"]])
    before = len(changes_on(play, "director-1")), len(changes_on(play, "director-2"))
    assert "is another director" in (await play.held()).reason
    assert (len(changes_on(play, "director-1")), len(changes_on(play, "director-2"))) == before


@from_step("approve-flush")
async def test_what_is_corrected_is_said_once_and_that_it_is_as_before_again(play: Drill) -> None:
    """A restart with the same settings says nothing, however often."""
    play.network.reaches["backend-3-mgmt"] = "backend-3"
    for name in ("backend-3-mgmt", "backend-3-mgmt", "", ""):
        await restarted_with(play, backend_3(ssh=name))
    access = Access(ssh="backend-3-mgmt", sudo=True, machine_id=play.backend.machine_id)
    assert [one.backends for one in play.facts(fact.SettingsChanged)] == [{"backend-3": access}, {}]
    assert "The settings are again as when this run was asked for" in said_of_the_settings(play)
    assert await play.ends() == "done"


# who belongs to the ring, and what it needs: as when the run was asked for, and said


def a_director_joins(play: Drill) -> Callable[[Table], object]:
    """It has the ring's state."""
    known = play.ring.state.knowing()
    assert known is not None
    play.ring.state.directors["director-3"] = View(ip="192.0.2.3", backends=dict(known.backends))
    made = play.ring._made_director("director-3", "192.0.2.3")
    play.network.machines["director-3"] = play.ring.directors["director-3"] = made
    return lambda table: table["directors"].append({"name": "director-3", "sudo": True})


def a_backend_joins(play: Drill) -> Callable[[Table], object]:
    for view in play.ring.state.directors.values():
        view.backends["192.0.2.14"] = BackendState()
    return lambda table: table["backends"].append({"name": "backend-4", "ip": "192.0.2.14", "sudo": True})


def a_director_retires(play: Drill) -> Callable[[Table], object]:
    del play.ring.state.directors["director-2"]
    play.network.away("director-2", timedelta(days=30))
    return lambda table: table["directors"].pop()


@pytest.mark.parametrize(
    ("change", "step", "differs"),
    [
        (a_director_joins, "approve-flush", "director-3 was added to the directors"),
        (a_director_joins, "approve-restore", "director-3 was added to the directors"),
        (a_backend_joins, "approve-flush", "backend-4 was added to the backends"),
        (a_director_retires, "approve-flush", "director-2 was taken out of the directors"),
        (a_director_retires, "approve-restore", "director-2 was taken out of the directors"),
    ],
)
@from_step()
async def test_an_open_run_takes_up_no_member_of_the_ring_and_says_what_helps(
    play: Drill, change: Callable[[Drill], Callable[[Table], object]], differs: str
) -> None:
    """It was approved for its hosts. “no director of the settings answers as it” was said of one that did."""
    await restarted_with(play, change(play))
    told = said_of_the_settings(play)
    assert differs in told
    assert "It goes on with what it was asked for with: the directors director-1, director-2" in told
    while (run := await play.until(lambda run: run.status in {Status.HELD, Status.ASKING})).status is Status.ASKING:
        await play.approve()
    assert "inventory" not in run.reason
    hold = play.thread()[-1]
    assert differs in hold
    assert "no edit of the settings helps" in hold
    await play.go_back()
    while (run := await play.until(lambda run: run.status is not Status.READY)).status is not Status.ENDED:
        if run.status is Status.HELD:
            await play.skip()  # a check of the way back, which meets the same
        elif run.status is Status.ASKING:
            await play.approve()
        await moves_on(play, run.seq)
    assert str(run.outcome) == "went back"


@from_step("approve-restore")
async def test_what_else_differs_is_said_and_counts_for_runs_that_are_asked_for_from_then_on(play: Drill) -> None:
    """Whoever has edited them and started the bot anew believes that they hold."""

    def change(table: Table) -> None:
        table.update(name="renamed", test_user="another@example.org", usable_others=2)
        table["backends"][2].update(vhosts=50)

    await restarted_with(play, change)
    told = said_of_the_settings(play)
    for differs in (
        "the ring is named renamed, and practice for this run",
        "test_user is another@example.org, and ",
        "usable_others is 2, and 1 for this run",
        "vhosts of backend-3 is 50, and 100 for this run",
    ):
        assert differs in told
    assert await play.ends() == "done"
