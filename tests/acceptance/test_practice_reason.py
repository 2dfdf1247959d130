"""A site whose settings want a reason and a ticket for every run, and where these are seen afterwards."""

from __future__ import annotations

import pytest

from bot.core.runs.events import RunRequested
from bot.practice.scene import REQUESTER
from bot.practice.site import CONFIG
from tests.acceptance.practice import answer, at_gate, changed, cli, facts_of, staged, wording

WANTED = {"require_reason": "true", "require_ticket": "true"}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", 'A run needs a reason and a ticket here; nothing was begun. Type it behind: reason="…" ticket=…'),
        ("ticket=OPS-4711", 'A run needs a reason here; nothing was begun. Type it behind: reason="…"'),
        ("reason=“the November update”", "A run needs a ticket here; nothing was begun. Type it behind: ticket=…"),
    ],
)
async def test_a_run_without_the_reason_that_the_settings_want_is_not_begun(typed: str, told: str) -> None:
    async with staged(settings=WANTED) as (ring, scene):
        assert told in await answer(scene, REQUESTER, f"backend-3 {typed}")
        assert (ring.log, scene.slack.messages) == ([], [])


async def test_the_reason_stands_on_root_approval_list_and_record_and_a_backend_finds_its_run() -> None:
    shown = "*Reason* `the *November* &lt;!channel&gt; update` · *Ticket* `OPS-4711`"
    async with staged(settings=WANTED) as (ring, scene):
        await scene.ask(f"backend-3 reason=“the *November* <!channel> update” config={CONFIG} ticket=OPS-4711")
        asked = await at_gate(scene, "flush")
        assert shown in wording(asked)
        assert shown in wording(scene.root)
        assert shown in await answer(scene, REQUESTER, "status")
        (request,) = await facts_of(scene, RunRequested)
        assert isinstance(request, RunRequested)
        assert (request.text, request.config) == (f"backend-3 config={CONFIG}", CONFIG)

        run, before = scene.run, changed(ring)
        told = await answer(scene, REQUESTER, "abort Backend-3")
        assert f"Did you mean `/dovecot-upgrade abort {run}`, which is open on backend-3?" in told
        assert f"Open: {run} on backend-3" in await answer(scene, REQUESTER, "abort")
        assert scene.open_buttons("approve"), "a suggestion turns nothing round"
        assert changed(ring) == before

        config = ("--config", str(scene.settings))
        record = (await cli("record", run, *config)).out
        assert "- Reason: `the *November* <!channel> update`" in record
        assert "- Ticket: `OPS-4711`" in record
        assert "OPS-4711" in (await cli("runs", *config)).out
