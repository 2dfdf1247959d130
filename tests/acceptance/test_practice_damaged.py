"""A run's facts are damaged, or gone, while its backend is out: people hear of it wherever they ask, and let it go.

The scenes of this module play at the same time: what they do most is wait for the bot's start.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import CHANNEL, REQUESTER, SECOND, STRANGER, Scene
from tests.acceptance.practice import Said, answer, at_gate, changes, cli, staged, wording

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALTERED = "UPDATE events SET body = replace(body, 'restore', 'rest0re') WHERE kind = 'ApprovalAsked' AND seq > 30"
BIT = (
    "UPDATE events SET body = CAST(substr(body, 1, 20) || x'ff' || substr(body, 22) AS TEXT)"
    " WHERE seq = (SELECT max(seq) FROM events WHERE kind = 'ApprovalAsked')"
)
GONE = "DELETE FROM events"
WAYS = {"altered": ALTERED, "a bit flipped": BIT, "gone": GONE}

TYPED = ("status", "list", "backend-1 restart=yes", "plan backend-1 restart=yes", "abort RUN", "repost RUN")
BY_HAND = ("doveadm director status", "release RUN")


@dataclass(frozen=True, kw_only=True)
class Tale:
    """What was said of a damaged run, to whom."""

    ring: PracticeRing
    run: str
    fact: int
    at_start: tuple[tuple[str, ...], ...]
    """What the channel was told at two starts."""
    heard: dict[str, str]
    """What whoever typed a command was told."""
    runs: Said
    record: Said
    refused: dict[str, str]
    let_go: str
    told_of_it: str
    after: str
    begun: str
    changed: int
    at_last_start: tuple[str, ...]


def in_channel(scene: Scene) -> list[str]:
    """What stands in the channel outside of threads."""
    return [wording(one) for one in scene.slack.messages if one.channel == CHANNEL and one.thread_ts in {None, one.ts}]


async def started(scene: Scene, run: str) -> tuple[str, ...]:
    """Start the bot; what the channel is told by a bot that answers: all that it has found damaged by then."""
    before, logged = len(in_channel(scene)), len(scene.log)
    await scene.start_bot()
    await answer(scene, SECOND, "status")
    found = scene.log[logged:].count(f"Run {run} is damaged")
    await scene.slack.until(lambda: len(in_channel(scene)) >= before + found)
    return tuple(in_channel(scene)[before:])


async def told(scene: Scene, text: str, run: str) -> str:
    """Type a command; all that is answered to it, to the end of what is said of the damaged run."""
    before = len(scene.slack.ephemerals)
    await answer(scene, SECOND, text.replace("RUN", run))

    def said() -> str:
        return "\n".join(wording(one) for one in scene.slack.ephemerals[before:] if one.user == SECOND)

    await scene.slack.until(lambda: f"release {run}" in said())
    return said()


async def damaged(way: str) -> Tale:
    async with staged() as (ring, scene):
        await scene.ask("backend-3 restart=yes")
        await scene.click(SECOND, "approve")
        await at_gate(scene, "restore")
        run = scene.run
        await scene.kill_bot()
        with sqlite3.connect(scene.folder / "journal.db") as database:
            (fact,) = database.execute("SELECT max(seq) FROM events WHERE kind = 'ApprovalAsked'").fetchone()
            assert database.execute(WAYS[way]).rowcount
        database.close()
        sent = len(changes(ring))
        first = await started(scene, run)
        heard = {text: await told(scene, text, run) for text in TYPED}
        runs = await cli("runs", "--config", str(scene.settings))
        record = await cli("record", run, "--config", str(scene.settings))
        refused = {
            "a stranger": await answer(scene, STRANGER, f"release {run} because I say so"),
            "no reason": await answer(scene, SECOND, f"release {run}"),
            "no run": await answer(scene, SECOND, "release"),
            "another run": await answer(scene, SECOND, "release r234567 it is over"),
        }
        await scene.kill_bot()
        second = await started(scene, run)
        before = len(in_channel(scene))
        let_go = await answer(scene, REQUESTER, f"release {run} looked at it by hand <!channel>\n*it serves*")
        await scene.slack.until(lambda: len(in_channel(scene)) > before)
        told_of_it = in_channel(scene)[before]
        refused["twice"] = await answer(scene, SECOND, f"release {run} me too")
        after = await answer(scene, SECOND, "status")
        changed = len(changes(ring)) - sent
        begun = await answer(scene, REQUESTER, "backend-1")
        await scene.kill_bot()
        return Tale(
            ring=ring,
            run=run,
            fact=fact,
            at_start=(first, second),
            heard=heard,
            runs=runs,
            record=record,
            refused=refused,
            let_go=let_go,
            told_of_it=told_of_it,
            after=after,
            begun=begun,
            changed=changed,
            at_last_start=await started(scene, run),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tales() -> AsyncIterator[dict[str, asyncio.Task[Tale]]]:
    tasks = {way: asyncio.create_task(damaged(way)) for way in WAYS}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


Tales = dict[str, asyncio.Task[Tale]]
EACH = pytest.mark.parametrize("way", WAYS)


def assert_says_all(said: str, tale: Tale, way: str) -> None:
    """Which run, which fact, what the backend was last, what to look at, and how it is let go."""
    assert tale.run in said
    for part in BY_HAND:
        assert part.replace("RUN", tale.run) in said
    assert "ring practice" in said
    if way == "gone":
        assert "no fact of it is there" in said
        return
    assert f"fact {tale.fact}: " in said
    assert "backend-3 (192.0.2.13)" in said
    assert "vhosts 0" in said
    assert "dovecot was started" in said


@EACH
async def test_a_damaged_run_is_said_in_the_channel_at_each_start_once(tales: Tales, way: str) -> None:
    """Its ring is watched by nobody, and everybody would take the silence for a run that waits."""
    tale = await tales[way]
    for told in tale.at_start:
        assert len(told) == 1
        assert_says_all(told[0], tale, way)
        assert "<!subteam^S0MAILENG>" in told[0]
        assert "not watched" in told[0]


@EACH
@pytest.mark.parametrize("text", TYPED)
async def test_whoever_types_a_command_about_its_ring_is_told_of_a_damaged_run(
    tales: Tales, way: str, text: str
) -> None:
    tale = await tales[way]
    assert_says_all(tale.heard[text], tale, way)


@EACH
async def test_the_command_line_says_of_a_damaged_run_what_is_wrong_and_exits_with_1(tales: Tales, way: str) -> None:
    tale = await tales[way]
    assert tale.runs.status == 1
    assert "Traceback" not in tale.runs.out + tale.runs.err
    assert_says_all(tale.runs.err, tale, way)
    assert "Traceback" not in tale.record.out + tale.record.err
    assert (tale.record.out if way != "gone" else tale.record.err).count(tale.run)


@EACH
async def test_a_damaged_run_is_let_go_by_an_approver_with_a_reason_and_by_nobody_else(tales: Tales, way: str) -> None:
    tale = await tales[way]
    assert "Not done: you are not one of the approvers" in tale.refused["a stranger"]
    assert "This needs a reason" in tale.refused["no reason"]
    assert "Which run?" in tale.refused["no run"]
    assert "There is no run r234567" in tale.refused["another run"]
    assert f"was released by <@{REQUESTER}>" in tale.refused["twice"]
    assert tale.changed == 0


@EACH
async def test_what_was_let_go_is_said_in_the_channel_with_name_and_reason_and_its_ring_is_free(
    tales: Tales, way: str
) -> None:
    tale = await tales[way]
    assert "ring practice" in tale.let_go
    assert f"<@{REQUESTER}>" in tale.told_of_it
    assert tale.run in tale.told_of_it
    assert "looked at it by hand" in tale.told_of_it
    assert "<!channel>" not in tale.told_of_it
    assert not re.search(r"\n\s*\*it serves", tale.told_of_it)
    assert "there are none" in tale.after
    assert "is refused" in tale.begun, "by what its look saw; it held the ring"
    assert not [said for said in tale.at_last_start if tale.run in said]
