"""The buttons for when people know better: taken over by hand, left out, and dovecot started for those who wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from bot.core.runs import events as fact
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, SECOND, STRANGER, THIRD, Scene, buttons
from bot.practice.slack.workspace import Message
from tests.acceptance import practice
from tests.acceptance.practice import (
    at_gate,
    changed,
    changes,
    clicked,
    ended,
    facts_of,
    staged,
    wording,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

Stage = tuple[PracticeRing, Scene]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged(settings={"watch_every": "1s"}) as made:
        yield made


async def last_with(scene: Scene, action: str) -> Message:
    """Wait for a message of the thread that has this button."""
    return (await scene.slack.until(lambda: scene.open_buttons(action)))[-1]


def gives(ring: PracticeRing, *names: str, vhosts: int, up: bool | None = None) -> None:
    """By hand, on a director."""
    for name in names:
        ring.state.change(ring.backends[name].ip, now=datetime.now(UTC), vhosts=vhosts, up=up)


async def sees_nothing_set_back(stage: Stage, wrong: Callable[[], bool], rounds: int = 3) -> None:
    """The watch would have looked that often."""
    ring, scene = stage
    until = datetime.now(UTC) + timedelta(seconds=rounds)
    made = len(changes(ring))
    await scene.slack.until(lambda: datetime.now(UTC) > until)
    assert len(changes(ring)) == made
    assert not wrong()


async def test_whoever_takes_over_at_a_gate_is_left_alone_and_the_ring_is_free_once_users_are_seen_back(
    stage: Stage,
) -> None:
    """With name and reason; the question and its buttons are closed, and nobody but the crew may."""
    ring, scene = stage
    await scene.ask("backend-3 restart=yes")
    asked = await at_gate(scene, "flush")
    refused = await scene.slack.fill_in(STRANGER, scene.root, "take_over", "why not")
    assert "Not done" in refused.errors["reason"]
    assert await facts_of(scene, fact.TakenOver) == []

    await scene.slack.fill_in(THIRD, scene.root, "take_over", "the storage is on fire")
    taken = await last_with(scene, "stays_out")
    assert f"<@{THIRD}>" in wording(taken)
    assert "the storage is on fire" in wording(taken)
    await scene.slack.until(lambda: not scene.open_buttons("approve"))
    assert "taken backend-3 over by hand" in await clicked(scene, SECOND, asked, "approve", stale=True)
    await scene.slack.until(lambda: buttons(scene.root) == set())

    gives(ring, "backend-3", vhosts=100, up=False)
    await sees_nothing_set_back(stage, lambda: scene.outcome is not None)
    gives(ring, "backend-3", vhosts=100, up=True)
    assert await ended(scene) == "taken over"
    assert changed(ring) == practice.DRAIN
    assert practice.usual(ring)
    assert not scene.open_buttons("stays_out")
    await practice.assert_thread_is_whole(scene)


async def test_whoever_takes_over_a_held_run_may_say_that_the_backend_stays_out(stage: Stage) -> None:
    """Else its ring would be held for as long as the backend is away; then another one may be taken out."""
    ring, scene = stage
    since = len(ring.log)
    ring.backends["backend-3"].dovecot_unit.stop_result = "timeout"
    await scene.ask("backend-3 restart=yes")
    await scene.slack.click(SECOND, await at_gate(scene, "flush"), "approve")
    held = await last_with(scene, "retry")
    await scene.slack.fill_in(SECOND, held, "take_over", "it goes to the workshop")
    taken = await last_with(scene, "stays_out")
    assert "systemctl unmask --runtime dovecot" in wording(taken), "the mask is told to whoever goes on by hand"
    assert not scene.open_buttons("retry")
    assert "taken backend-3 over by hand" in await clicked(scene, THIRD, held, "retry", stale=True)
    assert "neither among those who may ask" in await clicked(scene, STRANGER, taken, "stays_out")
    await scene.slack.click(REQUESTER, taken, "stays_out")
    assert await ended(scene) == "taken over"
    assert changed(ring, since=since) == [*practice.DRAIN, *practice.TAKE_DOWN]
    await practice.assert_thread_is_whole(scene)

    # The ring is free: another run is refused by the backend that is out, and not by this one.
    await scene.ask("backend-2 restart=yes")
    assert "backend-3 is down with vhosts 0" in wording(scene.slack.ephemerals[-1])
    back = ring.backends["backend-3"]
    back.dovecot_unit.masked, back.dovecot_unit.stop_result = False, "success"
    back.dovecot_unit.start()
    gives(ring, "backend-3", vhosts=100, up=True)


async def test_dovecot_is_started_again_for_the_users_who_wait_when_nobody_else_can_take_them(stage: Stage) -> None:
    """The first choice of the message; it asks nobody before dovecot runs, and for the rest it does."""
    ring, scene = stage
    since = len(ring.log)
    backend = ring.backends["backend-3"]
    backend.dovecot_unit.stop_takes = timedelta(seconds=2)
    await scene.ask("backend-3 restart=yes")
    await scene.slack.click(SECOND, await at_gate(scene, "flush"), "approve")
    await scene.slack.until(lambda: any("systemctl stop" in ran.command for ran in ring.log[since:]))
    gives(ring, "backend-1", "backend-2", vhosts=0)
    held = await last_with(scene, "start_again")
    assert [ran for ran in changes(ring, since) if "director down" in ran.command] == []
    await scene.slack.click(THIRD, held, "start_again")
    await scene.slack.until(lambda: backend.serving)
    gives(ring, "backend-1", "backend-2", vhosts=100)
    for gate in ("go back on", "restore"):
        await scene.slack.click(SECOND, await at_gate(scene, gate), "approve")
    assert await ended(scene) == "went back"
    assert practice.usual(ring)
    await practice.assert_thread_is_whole(scene)
