"""A whole run by form, buttons, menus and views: what each refuses in itself, and what is said where none opens."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from bot.core.runs import events as fact
from bot.practice.ring.packages import NEW, OLD
from bot.practice.scene import CHANNEL, REQUESTER, SECOND, THIRD, Scene
from bot.practice.site import CONFIG
from bot.practice.slack.context import Fault
from bot.practice.slack.workspace import Message, View
from tests.acceptance import practice
from tests.acceptance.practice import answer, at_gate, changed, clicked, ended, facts_of, staged, wording

LOADING = ("Reading the run", "Looking at the rings")


async def opened(scene: Scene, user: str, message: Message | None, action: str) -> View:
    """The view that a button opens, or the bare command, once it has its content."""
    seen = len(scene.slack.views)
    if message is None:
        await scene.slack.command(user, CHANNEL, action)
    else:
        await scene.slack.click(user, message, action)
    (view,) = await scene.slack.until(lambda: scene.slack.views[seen:], timeout=20)
    await scene.slack.until(lambda: not any(one in str(view.body) for one in LOADING), timeout=20)
    return view


async def asked_for(scene: Scene) -> Message:
    """The run is asked for by its form, which shows what it would bring; returns the flush question."""
    form = await opened(scene, REQUESTER, None, "/dovecot-upgrade")
    await scene.slack.until(lambda: "backend-3 · up, vhosts 100, " in str(form.body), timeout=20)
    await scene.slack.choose(REQUESTER, form, "backend", "backend-3")
    await scene.slack.until(lambda: f"{OLD} → {NEW}" in str(form.body), timeout=20)
    given = {"backend": "backend-3", "config": f"={CONFIG}", "reason": 'a "CVE" fix', "ticket": "CHG0012345"}
    values = {name: {name: value} for name, value in given.items()}
    assert not (await scene.slack.submit(REQUESTER, form, values)).errors
    return await at_gate(scene, "flush")


async def waits_longer(scene: Scene, question: Message, user: str) -> Message:
    """By the view; returns the question that is asked anew, and is another one."""
    form = await opened(scene, user, question, "wait_longer")
    assert "once more" in str(form.body)
    assert not (await scene.slack.submit(user, form, {"reason": {"reason": "many are left"}})).errors
    again = await at_gate_after(scene, question)
    assert "approve" not in str(question.blocks)
    return again


@contextmanager
def hurried(scene: Scene) -> Iterator[None]:
    """Every look at Slack's clock takes four seconds, so that every `trigger_id` is used too late."""
    clock, looks = scene.slack.clock, itertools.count()
    scene.slack.clock = lambda: clock() + 4 * next(looks)
    yield
    scene.slack.clock = clock


async def at_gate_after(scene: Scene, question: Message) -> Message:
    """The next question with open buttons."""
    later = await scene.slack.until(
        lambda: [one for one in scene.open_buttons("approve") if float(one.ts) > float(question.ts)], timeout=60
    )
    return later[-1]


async def test_a_whole_run_by_form_buttons_and_views() -> None:
    async with staged() as (ring, scene):
        first = await asked_for(scene)
        held = await opened(scene, THIRD, None, "/dovecot-upgrade")
        assert f"claimed by run {scene.run}" in str(held.body)
        refused = await scene.slack.submit(THIRD, held, {"backend": {"backend": "backend-1"}})
        assert "asked for by @alice" in refused.errors["backend"]

        left_open = await opened(scene, THIRD, first, "not_now")
        again = await waits_longer(scene, first, REQUESTER)
        late = await scene.slack.submit(THIRD, left_open, {"reason": {"reason": "later"}})
        assert "older question: @alice was first and chose to wait longer" in late.errors["reason"]
        assert "chose to wait longer" in await clicked(scene, SECOND, first, "approve", stale=True)
        again = await waits_longer(scene, again, SECOND)
        assert "chose to wait longer, 2 of 3 times" in wording(again)
        assert len(await facts_of(scene, fact.WaitBegan)) == 3

        with hurried(scene):
            told = await clicked(scene, SECOND, again, "wait_longer")
            assert "did not open the form (expired_trigger_id)" in told
            assert "users go on leaving by themselves" in told
            assert f"abort {scene.run}" in await clicked(scene, SECOND, again, "go_back")
            assert "in the file below the question" in await clicked(scene, SECOND, again, "commands")

        await scene.slack.fill_in(REQUESTER, again, "not_now", "the storage is slow")
        await scene.click(SECOND, "retry")
        asked = await at_gate_after(scene, again)
        commands = await opened(scene, SECOND, asked, "commands")
        assert "systemctl stop dovecot" in str(commands.body)
        back = await opened(scene, THIRD, asked, "go_back")
        scene.slack.fault(Fault(method="views.open", what="status_500", times=None))
        await scene.slack.click(SECOND, asked, "approve")
        await scene.slack.click(SECOND, await at_gate(scene, "restore"), "approve")
        late = await scene.slack.submit(THIRD, back, {"reason": {"reason": "no"}})
        assert "@bob was first" in late.errors["reason"]
        assert "backend-3 packages=keep" in await answer(scene, REQUESTER, ""), "without a form, how it is typed"
        assert await ended(scene) == "done"
        assert changed(ring, scene.run) == practice.WHOLE
        await practice.assert_thread_is_whole(scene)
