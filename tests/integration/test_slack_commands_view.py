"""Every command behind an approval, in a view that opens at once, or in a file."""

from __future__ import annotations

from bot.core.runs.transitions import Status
from bot.practice.slack.context import Fault
from bot.practice.slack.workspace import Message, View
from tests.build import SECOND, Story
from tests.integration.workspace import Place, app, place, slack

__all__ = ["app", "place", "slack"]


async def asking(app: Place, gate: str = "approve-flush") -> Message:
    await app.tell(Story().until(gate, on=Status.ASKING))
    return [one for one in app.said if "'commands'" in str(one.blocks)][-1]


async def opened(app: Place, asked: Message) -> View:
    """The view once it has its content."""
    seen = len(app.slack.views)
    await app.slack.click(SECOND, asked, "commands")
    (view,) = await app.slack.until(lambda: app.slack.views[seen:])
    await app.slack.until(lambda: "Reading the run" not in str(view.body))
    return view


async def test_the_view_has_every_command_that_the_click_begins_in_order(app: Place) -> None:
    shown = str((await opened(app, await asking(app))).body)
    at = [shown.index(one) for one in ("service stop lmtp", "systemctl stop dovecot", "director flush 192.0.2.13")]
    assert at == sorted(at)
    assert "director update 192.0.2.13 100" not in shown, "behind the next approval"
    assert "closed" not in shown


async def test_a_view_of_a_question_that_was_answered_says_so(app: Place) -> None:
    """The button stays on the phone of whoever did not see the answer."""
    asked = await asking(app)
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: asked.edits)
    seen = len(app.slack.views)
    await app.slack.click(SECOND, asked, "commands", stale=True)
    (view,) = await app.slack.until(lambda: app.slack.views[seen:])
    assert await app.slack.until(lambda: f"This question is closed: <@{SECOND}> was first" in str(view.body))


async def test_where_slack_opens_no_view_the_file_with_the_same_is_named(app: Place) -> None:
    asked = await asking(app)
    app.slack.fault(Fault(method="views.open", what="error", error="expired_trigger_id"))
    told = len(app.slack.ephemerals)
    await app.slack.click(SECOND, asked, "commands")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals[told:])
    assert "The same is in the file below the question" in answer.text
    (file,) = (one for one in app.slack.files if one.name.endswith("approval.txt"))
    assert "systemctl stop dovecot" in file.text


async def test_an_approval_needs_no_view(app: Place) -> None:
    """One click and its dialog: it has to work when Slack's views do not."""
    asked = await asking(app)
    app.slack.fault(Fault(method="views.open", what="status_500", times=None))
    await app.slack.click(SECOND, asked, "approve")
    assert await app.slack.until(lambda: app.service.steered)
    assert app.slack.views == []
