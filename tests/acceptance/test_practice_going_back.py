"""Turned round, aborted, clicked at once: one ring and one bot, run after run; each leaves the ring as it found it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.practice.ring.packages import NAMES, OLD
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, SECOND, THIRD, Scene
from tests.acceptance import practice
from tests.acceptance.practice import BOTH, IP, answer, at_gate, changed, clicked, ended, facts_of, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

Stage = tuple[PracticeRing, Scene]
VHOSTS_BACK = ("director-1", f"doveadm director update {IP} 100")
WITHDRAW = (
    "sh -c 'test -d /etc/dovecot.RUN.before || exit 96; test -e /etc/dovecot.RUN.withdrawn || mv -T"
    " /etc/dovecot /etc/dovecot.RUN.withdrawn; mv -T /etc/dovecot.RUN.before /etc/dovecot'"
)
OLD_PACKAGES = " ".join(f"{name}={OLD}" for name in NAMES)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


async def test_before_the_flush_an_approvers_word_to_go_back_gives_the_vhosts_back(stage: Stage) -> None:
    """Two engineers at night: the form shows the one command, and sending it is its approval; not by the requester."""
    ring, scene = stage
    since = len(ring.log)
    await scene.ask(BOTH)
    flush = await at_gate(scene, "flush")
    told = await clicked(scene, REQUESTER, flush, "approve")
    assert "whoever asked for a run cannot approve it" in told
    so_far = [*practice.DOWNLOAD, *practice.STAGE_CONFIG, *practice.DRAIN]
    assert changed(ring, scene.run, since) == so_far

    await scene.slack.fill_in(SECOND, flush, "go_back", "not tonight")
    assert await ended(scene) == "went back"
    assert changed(ring, scene.run, since) == [*so_far, VHOSTS_BACK]
    (approved,) = await facts_of(scene, fact.Approved)
    assert isinstance(approved, fact.Approved)
    assert (approved.gate, approved.by) == (Gate.RESTORE, SECOND)
    given = f"by <@{SECOND}>, who asked to go back"
    assert any(given in practice.wording(one) for one in scene.thread)
    assert practice.usual(ring)
    await practice.assert_thread_is_whole(scene)


async def test_from_the_restore_gate_packages_and_configuration_go_back_as_they_were(stage: Stage) -> None:
    """Going back is behind an approval of its own, verifies before it restores, and restores behind the approval."""
    ring, scene = stage
    since, before = len(ring.log), practice.tree(ring)
    await scene.ask(BOTH)
    await scene.slack.click(SECOND, await at_gate(scene, "flush"), "approve")
    await scene.slack.fill_in(SECOND, await at_gate(scene, "restore"), "go_back", "it is slow")
    asked = await at_gate(scene, "go back on")
    forward = practice.WHOLE[: -len(practice.RESTORE)]
    assert changed(ring, scene.run, since) == forward

    assert "whoever asked to go back cannot approve it" in await clicked(scene, SECOND, asked, "approve")
    await scene.slack.click(REQUESTER, asked, "approve")
    restore = await at_gate(scene, "restore")
    undone = changed(ring, scene.run, since)[len(forward) :]
    assert undone == [
        ("backend-3", "systemctl stop dovecot"),
        ("backend-3", "systemctl mask --runtime dovecot"),
        ("backend-3", WITHDRAW),
        ("backend-3", practice.GO_BACK_PACKAGES[0][1]),
        ("backend-3", "systemctl unmask --runtime dovecot"),
        ("backend-3", "systemctl start dovecot"),
    ]
    assert practice.tree(ring) == before
    assert set(ring.backends["backend-3"].packages.installed.values()) == {OLD}

    await scene.slack.click(REQUESTER, restore, "approve")
    assert await ended(scene) == "went back"
    back = changed(ring, scene.run, since)[len(forward) + len(undone) :]
    assert sorted(back) == sorted(practice.RESTORE)
    assert practice.usual(ring)
    await practice.assert_thread_is_whole(scene)


async def test_aborted_in_the_drain_it_turns_round_and_whoever_aborted_cannot_approve(stage: Stage) -> None:
    ring, scene = stage
    since = len(ring.log)
    await scene.ask("backend-3 restart=yes")
    run = scene.run
    await practice.drains(scene)
    told = await answer(scene, THIRD, f"abort {run}")
    assert f"Run {run} turns round at its next safe point" in told

    restore = await at_gate(scene, "restore")
    assert "whoever asked to go back cannot approve it" in await clicked(scene, THIRD, restore, "approve")
    await scene.slack.click(SECOND, restore, "approve")
    assert await ended(scene) == "went back"
    assert changed(ring, run, since) == [*practice.DRAIN, VHOSTS_BACK]
    assert practice.usual(ring)
    assert f"Run {run} is over: went back" in await answer(scene, REQUESTER, f"abort {run}")


async def test_of_clicks_at_once_twice_and_on_old_messages_exactly_one_counts(stage: Stage) -> None:
    """The first click wins, once; the late ones are told who was first; old buttons never answer a new question."""
    ring, scene = stage
    since = len(ring.log)
    await scene.ask("backend-3 restart=yes")
    flush = await at_gate(scene, "flush")
    heard = len(scene.slack.ephemerals)
    await asyncio.gather(*(scene.slack.click(user, flush, "approve") for user in (SECOND, THIRD, SECOND, THIRD)))
    late = await scene.slack.until(lambda: len(scene.slack.ephemerals) - heard >= 3 and scene.slack.ephemerals[heard:])

    restore = await at_gate(scene, "restore")
    (approved,) = await facts_of(scene, fact.Approved)
    assert isinstance(approved, fact.Approved)
    assert (approved.gate, approved.message) == (Gate.FLUSH, flush.ts)
    assert {f"<@{approved.by}> was first" in one.text for one in late} <= {True}
    made = changed(ring, since=since)
    assert "older question" in await clicked(scene, THIRD, flush, "approve", stale=True)
    assert len(await facts_of(scene, fact.Approved)) == 1
    assert changed(ring, since=since) == made

    await scene.slack.click(SECOND, restore, "approve")
    assert await ended(scene) == "done"
    assert "is over: done" in await clicked(scene, THIRD, restore, "approve", stale=True)
    assert [made.gate for made in await facts_of(scene, fact.Approved)] == [Gate.FLUSH, Gate.RESTORE]
    assert not scene.open_buttons("approve")
    await practice.assert_thread_is_whole(scene)
