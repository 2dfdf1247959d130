"""The copy of the proposed configuration waits on the backend for hours, or days: no edit of it comes in place."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.practice.machine.files import Directory, File
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN, now

STAGED = f"/etc/dovecot.{RUN}.proposed"


def edited(play: Drill) -> None:
    """It still parses."""
    tree = play.backend.disk.look(STAGED)
    assert isinstance(tree, Directory)
    held = tree.entries["dovecot.conf"]
    assert isinstance(held, File)
    tree.entries["dovecot.conf"] = replace(held, data=held.data + b"\n# mail_debug = yes\n", changed=now())


def in_place(play: Drill) -> bytes:
    return play.backend.disk.read("/etc/dovecot/dovecot.conf") or b""


@from_step("approve-flush")
async def test_an_edit_of_the_copy_while_the_run_holds_is_found_before_anybody_is_asked(play: Drill) -> None:
    """It was approved by its digest; what only its host has seen would come in place with dovecot stopped."""
    await play.asks()
    await play.put_off()
    await play.held()
    edited(play)
    await asyncio.sleep(timedelta(hours=6).total_seconds())
    await play.retry()
    run = await play.until(lambda run: run.status in {Status.HELD, Status.ASKING})
    assert run.reason.startswith("what the approval is to show is not so: ")
    assert f"{STAGED} contents is" in run.reason


@from_step("approve-flush")
async def test_one_while_the_question_is_open_is_shown_when_it_is_asked_again_and_never_comes_in_place(
    play: Drill,
) -> None:
    await play.asks()
    before = in_place(play)
    edited(play)
    await play.approve()
    run = await play.until(lambda _run: len(play.facts(fact.ApprovalAsked)) == 2)
    assert not run.may_have_disturbed
    assert f"{STAGED} contents is" in play.facts(fact.ApprovalAsked)[-1].alarms[0]
    await play.approve()
    run = await play.held()
    assert f"{STAGED} contents is" in run.reason
    assert in_place(play) == before


@virtually
async def test_one_that_is_made_in_the_upgrade_is_found_before_the_swap() -> None:
    def found(run: Run) -> bool:
        return run.status is Status.HELD or (run.step is not None and run.step.name == "clean-metacache")

    async with a_run() as play:
        await play.reaches("install-packages")
        before = in_place(play)
        edited(play)
        run = await play.until(found)
        assert f"{STAGED} contents is" in run.reason
        assert in_place(play) == before
        assert play.sent("install-config") == []
