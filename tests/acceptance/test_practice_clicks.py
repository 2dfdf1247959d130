"""While a run waits at its first gate: clicks that do not count, and what others who ask for something are told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bot.core.runs import events as fact
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, SECOND, STRANGER, THIRD, Scene
from bot.practice.slack.workspace import Message
from tests.acceptance import practice
from tests.acceptance.practice import answer, at_gate, changed, clicked, facts, facts_of, staged, wording

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROBOT, GUEST, GONE = "U0ROBOT", "U0GUEST", "U0GONE"


@dataclass(frozen=True, kw_only=True)
class Asking:
    ring: PracticeRing
    scene: Scene
    run: str
    message: Message

    def stands(self) -> bool:
        """Whether the question is still open and nothing was done but the drain."""
        return "approve" in str(self.message.blocks) and changed(self.ring) == practice.DRAIN


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asking() -> AsyncIterator[Asking]:
    async with staged() as (ring, scene):
        scene.slack.add_user(ROBOT, name="robot", is_bot=True)
        scene.slack.add_user(GUEST, name="guest", is_restricted=True)
        scene.slack.add_user(GONE, name="gone", deleted=True)
        everybody = [REQUESTER, SECOND, THIRD, ROBOT, GUEST, GONE]
        scene.slack.add_usergroup("S0MAILENG", users=everybody)
        await scene.ask("backend-3 restart=yes")
        message = await at_gate(scene, "flush")
        yield Asking(ring=ring, scene=scene, run=scene.run, message=message)


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (REQUESTER, "whoever asked for a run cannot approve it"),
        (STRANGER, "not one of the approvers"),
        (ROBOT, "bots may not do this"),
        (GUEST, "guests may not do this"),
        (GONE, "this account is deactivated"),
    ],
)
async def test_a_click_by_somebody_who_may_not_does_not_count_and_is_on_the_record(
    asking: Asking, user: str, reason: str
) -> None:
    """Members of the approvers' group though they are, except the stranger: a bot in it approves nothing either."""
    scene = asking.scene
    earlier = len(await facts(scene))
    told = await clicked(scene, user, asking.message, "approve")
    assert reason in told
    (entry,) = (await facts(scene))[earlier:]
    assert isinstance(entry.fact, fact.ApprovalRefused)
    assert (entry.fact.by, entry.fact.reason) == (user, reason)
    reply = await scene.slack.until(lambda: [one for one in scene.thread if _is_of(one, entry.seq)])
    assert f"<@{user}>" in wording(reply[0])
    assert asking.stands()


def _is_of(message: Message, seq: int) -> bool:
    return bool(message.metadata and message.metadata["event_payload"]["seq"] == seq)


@pytest.mark.parametrize("backend", ["backend-1", "backend-3"])
async def test_a_second_run_on_the_ring_is_told_who_claims_it_since_when_and_where(
    asking: Asking, backend: str
) -> None:
    seen = len(asking.ring.log)
    told = await answer(asking.scene, SECOND, f"{backend} restart=yes")
    assert f"claimed by run {asking.run} on backend-3, asked for by <@{REQUESTER}> since 20" in told
    assert f"/p{asking.scene.root.ts.replace('.', '')}" in told
    assert len(asking.ring.log) == seen
    assert await facts_of(asking.scene, fact.Approved) == []


@pytest.mark.parametrize("word", ["status", "list"])
async def test_status_and_list_show_the_run_its_state_and_its_thread(asking: Asking, word: str) -> None:
    told = await answer(asking.scene, THIRD, word)
    assert asking.run in told
    assert "backend-3" in told
    assert re.search(r"Waits for the flush approval until \d\d:\d\d:\d\d UTC", told)
    assert "*Waits for you* · :raised_hand:" in told
    assert f"/p{asking.scene.root.ts.replace('.', '')}" in told
    assert asking.stands()


async def test_repost_brings_the_buttons_back_at_the_end_of_the_thread(asking: Asking) -> None:
    """Slack has lost clicks behind stale connections: then the question needs new buttons, but is the same question."""
    scene, before = asking.scene, len(asking.scene.open_buttons("approve"))
    told = await answer(scene, SECOND, f"repost {asking.run}")
    assert "Posted again" in told
    again = scene.open_buttons("approve")
    assert len(again) == before + 1
    asked = await facts_of(scene, fact.ApprovalAsked)
    assert len(asked) == 1
    assert "whoever asked" in await clicked(scene, REQUESTER, again[-1], "approve")
    assert asking.stands()


@pytest.mark.parametrize("word", ["abort", "repost"])
async def test_somebody_who_may_neither_ask_nor_approve_cannot_abort_or_repost(asking: Asking, word: str) -> None:
    told = await answer(asking.scene, STRANGER, f"{word} {asking.run}")
    assert "you are neither among those who may ask for runs nor among the approvers" in told
    assert asking.stands()
