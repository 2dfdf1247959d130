"""A run holds, and somebody keeps giving the backend users on a director: the run calls people anew."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.core.runs import events as fact
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, SECOND, THIRD, Scene
from bot.practice.slack.workspace import Message
from tests.acceptance.practice import answer, at_gate, clicked, ended, facts_of, staged, usual


def the_one_with(scene: Scene, action: str, than: Message | None = None) -> Message | None:
    """The only message of the thread that has this button, and another one `than` this; None until it is so."""
    found = scene.open_buttons(action)
    return found[0] if len(found) == 1 and (than is None or found[0].ts != than.ts) else None


async def gives_users_again(scene: Scene, ring: PracticeRing, times: int) -> None:
    """By hand, on the directors, as often as it is set back."""
    ip = ring.backends["backend-3"].ip
    views = ring.state.directors.values()
    for _ in range(times):
        ring.state.change(ip, now=datetime.now(UTC), vhosts=100)
        await scene.slack.until(lambda: all(view.backends[ip].vhosts == 0 for view in views))


async def test_the_third_time_the_buttons_before_are_gone_no_old_skip_counts_and_new_buttons_work() -> None:
    async with staged(settings={"watch_every": "1s"}) as (ring, scene):
        slack, unit = scene.slack, ring.backends["backend-3"].dovecot_unit
        unit.stop_result = "timeout"
        await scene.ask("backend-3 restart=yes")
        await slack.click(SECOND, await at_gate(scene, "flush"), "approve")
        first = await slack.until(lambda: the_one_with(scene, "retry"))
        await slack.fill_in(REQUESTER, first, "skip", "stopped it was")
        proposal = await slack.until(lambda: the_one_with(scene, "agree_skip"))

        await gives_users_again(scene, ring, 3)
        second = await slack.until(lambda: the_one_with(scene, "retry", than=first))
        assert scene.open_buttons("agree_skip") == []
        assert "no such proposal any more" in await clicked(scene, SECOND, proposal, "agree_skip", stale=True)
        assert "older question" in await clicked(scene, REQUESTER, first, "retry", stale=True)
        assert await facts_of(scene, fact.SkipAgreed) == []

        assert "Posted again" in await answer(scene, SECOND, f"repost {scene.run}")
        newest = scene.open_buttons("go_back")[-1]
        assert newest.ts != second.ts
        await slack.fill_in(SECOND, newest, "go_back", "it will not stop")
        unit.stop_result = "success"
        for gate in ("go back on", "restore"):
            await slack.click(THIRD, await at_gate(scene, gate), "approve")
        assert await ended(scene) == "went back"
        assert usual(ring)
        assert scene.open_buttons("retry") == []
