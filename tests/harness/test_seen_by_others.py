"""Sentences that were false once for whoever reads them later: by phone, in the record, or behind an old button."""

from __future__ import annotations

from bot.core.runs import events as fact
from tests.harness.drill import a_run, virtually


@virtually
async def test_a_metacache_that_was_never_emptied_is_not_said_to_be_empty() -> None:
    """The old database was removed, emptying the directory failed, and the run went back."""
    async with a_run() as play:
        await play.reaches("clean-metacache")
        play.fails("clean-metacache")
        await play.held()
        await play.go_back()
        await play.asks()
        await play.approve()
        await play.reaches("approve-restore")
        await play.asks()
        root_of = "/var/dovecot/vmail"
        assert [path for path, _ in play.backend.disk.tree(root_of) if path != root_of], "it is full"
        asked = play.facts(fact.ApprovalAsked)[-1]
        assert not any("is empty" in line for line in (*asked.brief, *asked.alarms))
        assert any("metacache was flushed, and was emptied in part" in line for line in asked.alarms)
