"""The bot stopped and started again, as systemd does it and as a power cut does: a run goes on where it was.

The scenes of this module play at the same time: what they do most is wait for the bot's start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from bot.core.runs import events as fact
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import SECOND, Scene
from bot.practice.slack.socket import SlackTimeout
from bot.practice.slack.workspace import Message
from tests.acceptance import practice
from tests.acceptance.practice import BOTH, Said, at_gate, changed, cli, ended, facts, facts_of, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

GATES = ["flush", "restore"]

Stop = Callable[[Scene], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Tale:
    """What there is to see once a run is over that was interrupted three times."""

    until: datetime
    """When the drain was to end, as it was first written down."""

    changed: list[tuple[str, str]]
    entries: tuple[fact.Entry, ...]
    outcome: str
    asked: list[str]
    """The gates that the thread asks at, a message each."""


async def told_to_stop(scene: Scene) -> None:
    """SIGTERM; it leaves within 10 seconds and says that all is well."""
    assert await scene.stop_bot(within=10) == 0


async def again(scene: Scene, stop: Stop) -> None:
    await stop(scene)
    await scene.start_bot()


async def clicks_until_heard(scene: Scene, message: Message) -> None:
    """Somebody who clicks, and clicks again where Slack says that it came to nothing."""
    heard = False
    while not heard:
        with suppress(SlackTimeout):
            await scene.slack.click(SECOND, message, "approve")
            heard = True


async def interrupted(stop: Stop) -> Tale:
    """A run whose bot is stopped in the drain, while it asks, and while a package is being installed."""
    async with staged(drain=3) as (ring, scene):
        ring.backends["backend-3"].packages.takes = timedelta(seconds=2)
        await scene.ask(BOTH)
        await practice.drains(scene)
        (begun,) = await facts_of(scene, fact.WaitBegan)
        assert isinstance(begun, fact.WaitBegan)
        await again(scene, stop)

        asked = await at_gate(scene, "flush")
        await stop(scene)
        clicking = asyncio.create_task(clicks_until_heard(scene, asked))
        await scene.start_bot()
        await clicking

        await scene.slack.until(lambda: ring.ran("NEEDRESTART_SUSPEND"))
        await again(scene, stop)
        await scene.slack.click(SECOND, await at_gate(scene, "restore"), "approve")
        outcome = await ended(scene)
        await practice.assert_thread_is_whole(scene)
        made = changed(ring, scene.run)
        return Tale(
            until=begun.until,
            changed=made,
            entries=tuple(await facts(scene)),
            outcome=outcome,
            asked=[
                gate for one in scene.thread for gate in GATES if f"Approval needed: {practice.OPENS[gate]}" in one.text
            ],
        )


async def told_to_stop_during_a_long_command() -> tuple[int, float, list[fact.Entry]]:
    """SIGTERM while dovecot takes a minute to stop; returns status, seconds, and the facts afterwards."""
    async with staged() as (ring, scene):
        ring.backends["backend-3"].dovecot_unit.stop_takes = timedelta(minutes=1)
        await scene.ask("backend-3 restart=yes")
        await scene.click(SECOND, "approve")
        await scene.slack.until(lambda: ring.ran("systemctl stop dovecot"))
        began = asyncio.get_running_loop().time()
        status = await scene.stop_bot(within=10)
        return status, asyncio.get_running_loop().time() - began, list(await facts(scene))


async def started_twice(*, by_a_link: bool = False) -> tuple[Said, int, PracticeRing]:
    """A second bot for the journal of one that runs; returns what it said, and how many sockets there are then.

    `by_a_link`: its settings call the journal by another name.
    """
    async with staged() as (ring, scene):
        settings = scene.settings
        if by_a_link:
            settings = scene.folder / "second" / settings.name
            settings.parent.mkdir()
            settings.write_text(scene.settings.read_text())
            (settings.parent / "journal.db").symlink_to(scene.folder / "journal.db")
        environment = {
            "SLACK_BOT_TOKEN": "xoxb-practice",
            "SLACK_APP_TOKEN": "xapp-practice",
            "SLACK_API_URL": scene.slack.api_url,
        }
        said = await cli("serve", "--config", str(settings), env=environment)
        return said, scene.slack.sockets, ring


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenes() -> AsyncIterator[dict[str, asyncio.Task[Any]]]:
    plays: dict[str, Coroutine[Any, Any, Any]] = {
        "SIGTERM": interrupted(told_to_stop),
        "SIGKILL": interrupted(Scene.kill_bot),
        "long": told_to_stop_during_a_long_command(),
        "twice": started_twice(),
        "twice by a link": started_twice(by_a_link=True),
    }
    tasks = {name: asyncio.create_task(play) for name, play in plays.items()}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


STOPS = pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])


@STOPS
async def test_a_run_whose_bot_was_stopped_three_times_is_done_and_nothing_ran_twice(
    scenes: dict[str, asyncio.Task[Tale]], how: str
) -> None:
    """The hosts' own log counts: a change that was sent once is looked up, not sent again. The thread is whole."""
    tale = await scenes[how]
    assert tale.outcome == "done"
    assert tale.changed == practice.WHOLE


@STOPS
async def test_the_drain_ends_when_it_was_to_end_before_the_bot_was_stopped(
    scenes: dict[str, asyncio.Task[Tale]], how: str
) -> None:
    """Neither begun anew nor cut short: a drain that starts over at every restart might never end."""
    tale = await scenes[how]
    waits = [entry.fact for entry in tale.entries if isinstance(entry.fact, fact.WaitBegan)]
    assert [wait.until for wait in waits] == [tale.until]
    over = [entry.at for entry in tale.entries if isinstance(entry.fact, fact.StepDone) and entry.fact.step == "drain"]
    assert len(over) == 1
    assert timedelta(0) <= over[0] - tale.until < timedelta(seconds=20)


@STOPS
async def test_an_open_question_is_not_asked_again_when_the_bot_is_back_and_its_buttons_count(
    scenes: dict[str, asyncio.Task[Tale]], how: str
) -> None:
    tale = await scenes[how]
    assert tale.asked == GATES
    assert [entry.fact.gate for entry in tale.entries if isinstance(entry.fact, fact.ApprovalAsked)] == GATES


async def test_told_to_stop_it_hears_a_command_to_its_end_and_after_a_power_cut_it_looks_the_end_up(
    scenes: dict[str, asyncio.Task[Tale]],
) -> None:
    def how(tale: Tale) -> list[fact.How]:
        done = [entry.fact for entry in tale.entries if isinstance(entry.fact, fact.StepDone)]
        return [one.how for one in done if one.step == "install-packages"]

    assert how(await scenes["SIGTERM"]) == [fact.How.RAN]
    assert how(await scenes["SIGKILL"]) == [fact.How.LOOKED_UP]


async def test_told_to_stop_it_leaves_within_ten_seconds_even_while_a_command_takes_a_minute(
    scenes: dict[str, asyncio.Task[tuple[int, float, list[fact.Entry]]]],
) -> None:
    """The supervisor's patience. What was under way is left begun in the journal: in doubt, for the next start."""
    status, seconds, entries = await scenes["long"]
    assert (status, seconds < 10) == (0, True)
    last = [entry.fact for entry in entries if not isinstance(entry.fact, fact.UsersCounted)][-1]
    assert isinstance(last, fact.StepStarted | fact.StepUnclear)
    assert last.step == "stop-dovecot"


@pytest.mark.parametrize("how", ["twice", "twice by a link"])
async def test_a_second_bot_for_the_same_journal_is_refused_and_says_who_has_it(
    scenes: dict[str, asyncio.Task[tuple[Said, int, PracticeRing]]], how: str
) -> None:
    """Two bots on one journal would each bring every run forward."""
    said, sockets, ring = await scenes[how]
    assert said.status == 2
    assert "another bot (process " in said.err
    assert "journal.db" in said.err
    assert "Traceback" not in said.err
    assert sockets == 1
    assert ring.log == []
