"""A run looks before it is shown: what is refused there says one thing to whoever asked, and nothing in the channel."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from bot.core.runs import events as fact
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import CHANNEL, REQUESTER, SECOND, Scene
from bot.practice.slack.context import Fault
from bot.practice.values import Fault as HostFault
from tests.acceptance.practice import (
    answer,
    assert_thread_is_whole,
    at_gate,
    changed,
    cli,
    ended,
    facts,
    staged,
    wording,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

Stage = tuple[PracticeRing, Scene]
REFUSED = "nothing was changed anywhere"
ONLY_LOOKS = "claims ring practice and looks at everything"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as (ring, scene):
        yield ring, scene


def takes(ring: PracticeRing, name: str, *, vhosts: int) -> None:
    """By hand, on a director: a ring with another backend out refuses every run."""
    ring.state.change(ring.backends[name].ip, now=datetime.now(UTC), vhosts=vhosts)


def told_of(scene: Scene, since: int) -> list[str]:
    return [wording(one) for one in scene.slack.ephemerals[since:] if one.user == REQUESTER]


@contextmanager
def looks(ring: PracticeRing) -> Iterator[None]:
    """A director hangs, so a run stands at its first look at it."""
    ring.state.directors["director-1"].hanging = True
    try:
        yield
    finally:
        ring.state.directors["director-1"].hanging = False


async def holds(scene: Scene, since: int) -> str:
    """Wait until whoever asked is told that a run looks; returns its id."""
    await scene.slack.until(lambda: ONLY_LOOKS in "".join(told_of(scene, since)))
    return await newest(scene)


async def goes_back(scene: Scene) -> None:
    """The run at the flush approval is aborted, so that the next test has the ring."""
    await at_gate(scene, "flush")
    await answer(scene, REQUESTER, f"abort {scene.run}")
    await scene.slack.click(SECOND, await at_gate(scene, "restore"), "approve")
    assert await ended(scene) == "went back"
    record = f"change-record-{scene.run}.md"
    await scene.slack.until(lambda: record in [file.name for file in scene.slack.files])


async def newest(scene: Scene) -> str:
    """The id of the newest run, which has no message to read it from."""
    listed = await cli("runs", "--config", str(scene.settings))
    return listed.out.split()[0]


async def typed(scene: Scene, text: str = "backend-3 restart=yes") -> int:
    """Type it, wait for nothing; returns how many answers there were before."""
    before = len(scene.slack.ephemerals)
    await scene.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", text)
    return before


def noted(scene: Scene, run: str) -> int:
    """Up to which fact the bot has noted as said."""
    with closing(sqlite3.connect(scene.folder / "journal.db")) as database:
        return int((database.execute("SELECT seq FROM cursors WHERE run = ?", (run,)).fetchone() or (0,))[0])


async def refusal(scene: Scene, since: int) -> str:
    """Wait until whoever asked is told that the run was refused; it is told once."""
    await scene.slack.until(lambda: any(REFUSED in one for one in told_of(scene, since)))
    (said,) = [one for one in told_of(scene, since) if REFUSED in one]
    return said


async def test_what_is_refused_while_it_looks_is_one_answer_and_no_message_in_the_channel(stage: Stage) -> None:
    """It left a message with buttons in the channel, and called whoever asked, for a run that never was."""
    ring, scene = stage
    posted, sent = len(scene.slack.messages), changed(ring)
    takes(ring, "backend-2", vhosts=0)
    since = await typed(scene)
    said = await refusal(scene, since)
    assert "others is backend-2 is up with vhosts 0" in said
    assert "`/dovecot-upgrade list`" in said
    assert len(scene.slack.messages) == posted
    assert changed(ring) == sent
    run = await newest(scene)
    assert run in said
    listed = await answer(scene, SECOND, "list")
    assert run in listed
    assert "Refused" in listed
    record = (await cli("record", run, "--config", str(scene.settings))).out
    assert "others is backend-2 is up with vhosts 0" in record
    assert "refused" in record
    assert "has no buttons" in await answer(scene, SECOND, f"repost {run}")
    takes(ring, "backend-2", vhosts=100)


async def test_whoever_typed_sees_at_once_that_it_is_looked_at(stage: Stage) -> None:
    """A host that hangs keeps a plan waiting: without a word, people type it again."""
    ring, scene = stage
    posted, first = len(scene.slack.messages), len(ring.log)
    ring.fault(HostFault(host="backend-3", matches="", when="before", what="hang", times=9))
    since = await typed(scene, "backend-3")
    await scene.slack.until(lambda: told_of(scene, since))
    assert "Looking at backend-3" in told_of(scene, since)[0]
    assert ring.log[first:] == [], "nothing was read yet"
    assert len(scene.slack.messages) == posted
    ring.clear_faults()
    await scene.kill_bot()
    await scene.start_bot()


async def test_a_good_runs_thread_begins_with_all_that_was_looked_at_before_it(stage: Stage) -> None:
    """The thread is the change record: whoever approves reads in it what was seen."""
    ring, scene = stage
    posted = len(scene.slack.messages)
    with looks(ring):
        since = await typed(scene)
        run = await holds(scene, since)
        assert run in await answer(scene, SECOND, "status")
        assert "it has no thread and no buttons yet" in await answer(scene, SECOND, f"repost {run}")
        assert len(scene.slack.messages) == posted
    await at_gate(scene, "flush")
    assert scene.run == run
    await assert_thread_is_whole(scene)
    looked = next(one for one in scene.thread if one.text.startswith("Checked and good: stage 1 of"))
    assert "The ring is whole and no other backend of it is out" in wording(looked)
    assert len(told_of(scene, since)) == 2
    await goes_back(scene)


async def test_a_bot_killed_while_it_looks_goes_on_as_if_it_was_not(stage: Stage) -> None:
    ring, scene = stage
    posted = len(scene.slack.messages)
    with looks(ring):
        since = await typed(scene)
        await holds(scene, since)
        await scene.kill_bot()
        assert len(scene.slack.messages) == posted
    await scene.start_bot()
    await at_gate(scene, "flush")
    await assert_thread_is_whole(scene)
    assert len(told_of(scene, since)) == 2
    await goes_back(scene)


async def test_a_refusal_that_a_killed_bot_did_not_say_is_said_at_its_next_start_and_never_again(stage: Stage) -> None:
    ring, scene = stage
    posted = len(scene.slack.messages)
    takes(ring, "backend-2", vhosts=0)
    scene.slack.fault(Fault(method="chat.postEphemeral", what="status_500", times=None))
    calls, since = len(scene.slack.calls), await typed(scene)
    run = await holds(scene, since)
    await scene.slack.until(lambda: "chat.postEphemeral" in {one.method for one in scene.slack.calls[calls:]})
    assert isinstance((await facts(scene, run))[-1].fact, fact.RunEnded)
    await scene.kill_bot()
    scene.slack.clear_faults()
    await scene.start_bot()
    assert run in await refusal(scene, since)
    # Killed before it has noted that, it says it again: Slack cannot be asked whether it was said.
    last = (await facts(scene, run))[-1].seq
    await scene.slack.until(lambda: noted(scene, run) == last)
    await scene.kill_bot()
    await scene.start_bot()
    await answer(scene, SECOND, "status")
    assert run in await refusal(scene, since)
    assert len(scene.slack.messages) == posted
    takes(ring, "backend-2", vhosts=100)


async def test_while_slack_is_away_nothing_but_looks_is_done_and_all_of_it_is_told_afterwards(stage: Stage) -> None:
    ring, scene = stage
    sent = changed(ring)
    with looks(ring):
        await holds(scene, await typed(scene))
        scene.slack.away()
    await scene.slack.until(lambda: "Slack has not taken the announcement of stage" in scene.log)
    assert changed(ring) == sent
    scene.slack.away(False)
    await at_gate(scene, "flush")
    await assert_thread_is_whole(scene)
    await goes_back(scene)


async def test_a_run_that_is_aborted_while_it_looks_tells_whoever_asked_for_it(stage: Stage) -> None:
    """They would wait for its thread else."""
    ring, scene = stage
    posted = len(scene.slack.messages)
    with looks(ring):
        since = await typed(scene)
        run = await holds(scene, since)
        assert f"Run {run} turns round" in await answer(scene, SECOND, f"abort {run}")
    said = await refusal(scene, since)
    assert f"{run}` on backend-3 was aborted" in said
    assert f"<@{SECOND}>" in said
    assert len(scene.slack.messages) == posted
