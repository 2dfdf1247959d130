"""What people do in the local Slack, as slack_bolt hears and answers it: commands, clicks, forms, response URLs."""

import asyncio
from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.practice.slack.server import LocalSlack
from bot.practice.slack.socket import SlackTimeout, SlackUserError
from tests.integration.bolt import (
    BUTTONS,
    FORM,
    Hands,
    acknowledge,
    app,
    client,
    client_of,
    furnish,
    refusal,
    running,
    session,
    slack,
)

__all__ = ["app", "client", "session", "slack"]


# Commands


async def test_a_command_is_acknowledged_and_answered_later_through_its_response_url(
    slack: LocalSlack, app: AsyncApp
) -> None:
    @app.command("/dovecot-upgrade")
    async def upgrade(ack: Any, respond: Any, command: dict[str, Any]) -> None:
        await ack(f"Planning {command['text']}")
        await respond(f"Planned for <@{command['user_id']}> in {command['channel_name']}")

    async with running(app):
        reply = await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade", "backend-3 restart=yes")
        await slack.until(lambda: len(slack.ephemerals) == 2)
    assert reply.text == "Planning backend-3 restart=yes"
    assert sorted((e.user, e.via, e.text) for e in slack.ephemerals) == [
        ("U0ALICE", "ack", "Planning backend-3 restart=yes"),
        ("U0ALICE", "response_url", "Planned for <@U0ALICE> in mail-ops"),
    ]


async def test_a_command_nobody_acknowledges_times_out(session: aiohttp.ClientSession) -> None:
    async with LocalSlack(ack_within=0.2) as slack:
        furnish(slack)
        app = AsyncApp(client=client_of(slack, session))
        async with running(app):
            with pytest.raises(SlackTimeout, match="operation_timeout"):
                await slack.command("U0ALICE", "C0OPS", "/unknown")


async def test_a_command_times_out_when_no_socket_is_connected() -> None:
    async with LocalSlack(ack_within=0.1) as slack:
        furnish(slack)
        with pytest.raises(SlackTimeout):
            await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")


async def test_a_command_waits_for_a_socket_that_is_about_to_connect(slack: LocalSlack, app: AsyncApp) -> None:
    app.command("/dovecot-upgrade")(acknowledge)
    command = asyncio.create_task(slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade"))
    async with running(app):
        assert (await command).payload == {}


async def test_an_answer_slack_cannot_show_is_an_error_to_the_person(slack: LocalSlack, app: AsyncApp) -> None:
    @app.command("/dovecot-upgrade")
    async def upgrade(ack: Any) -> None:
        await ack(text="plan", blocks=[{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}])

    async with running(app):
        with pytest.raises(SlackUserError, match="invalid_command_response"):
            await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")


# Clicks


async def test_a_click_brings_what_real_clicks_bring(slack: LocalSlack, app: AsyncApp) -> None:
    seen: list[dict[str, Any]] = []

    @app.action("approve")
    async def approve(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        seen.append(body)

    async with running(app):
        root = await app.client.chat_postMessage(channel="C0OPS", text="Run 7")
        await app.client.chat_postMessage(channel="C0OPS", thread_ts=root["ts"], text="Flush?", blocks=BUTTONS)
        await slack.click("U0BOB", slack.messages[1], "approve")
        await slack.until(lambda: seen)
    (body,) = seen
    assert body["user"] == {"id": "U0BOB", "username": "bob", "name": "bob", "team_id": "T0PRACTICE"}
    assert body["container"]["thread_ts"] == body["message"]["thread_ts"] == root["ts"]
    assert body["container"]["message_ts"] == body["message"]["ts"] == slack.messages[1].ts
    assert body["channel"] == {"id": "C0OPS", "name": "mail-ops"}
    (action,) = body["actions"]
    assert (action["action_id"], action["block_id"], action["value"]) == ("approve", "gate", "run-7")
    assert body["trigger_id"]
    assert body["response_url"].startswith("http://127.0.0.1:")


async def test_an_edited_message_keeps_what_it_was_and_only_a_stale_screen_still_has_its_buttons(
    slack: LocalSlack, app: AsyncApp
) -> None:
    clicks: list[str] = []

    @app.action("approve")
    async def approve(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        clicks.append(body["user"]["id"])

    async with running(app):
        posted = await app.client.chat_postMessage(channel="C0OPS", text="Flush?", blocks=BUTTONS)
        message = slack.messages[0]
        await app.client.chat_update(channel="C0OPS", ts=posted["ts"], text="Approved by @alice")
        assert (message.text, message.blocks) == ("Approved by @alice", [])
        assert [edit.text for edit in message.edits] == ["Flush?"]
        with pytest.raises(LookupError, match="nothing to click"):
            await slack.click("U0BOB", message, "approve")
        await slack.click("U0BOB", message, "approve", stale=True)
        await slack.until(lambda: clicks == ["U0BOB"])


async def test_the_value_tells_buttons_with_the_same_action_apart(slack: LocalSlack, app: AsyncApp) -> None:
    values: list[str] = []

    @app.action("pick")
    async def pick(ack: Any, action: dict[str, Any]) -> None:
        await ack()
        values.append(action["value"])

    def block(value: str) -> dict[str, Any]:
        button = {"type": "button", "action_id": "pick", "value": value}
        return {"type": "actions", "elements": [button | {"text": {"type": "plain_text", "text": value}}]}

    async with running(app):
        await app.client.chat_postMessage(channel="C0OPS", text="Pick", blocks=[block("one"), block("two")])
        await slack.click("U0BOB", slack.messages[0], "pick", "two")
        await slack.until(lambda: values == ["two"])


async def test_the_answer_to_a_click_replaces_the_message_unless_told_otherwise(
    slack: LocalSlack, app: AsyncApp
) -> None:
    @app.action("approve")
    async def approve(ack: Any, respond: Any) -> None:
        await ack()
        await respond("Not you", replace_original=False, response_type="ephemeral")
        await respond("Approved")

    async with running(app):
        await app.client.chat_postMessage(channel="C0OPS", text="Flush?", blocks=BUTTONS)
        await slack.click("U0BOB", slack.messages[0], "approve")
        await slack.until(lambda: slack.messages[0].text == "Approved")
    assert [e.text for e in slack.ephemerals] == ["Not you"]


async def test_an_ephemeral_message_can_be_clicked_and_brings_no_message_along(
    slack: LocalSlack, app: AsyncApp
) -> None:
    seen: list[dict[str, Any]] = []

    @app.action("approve")
    async def approve(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        seen.append(body)

    async with running(app):
        await app.client.chat_postEphemeral(channel="C0OPS", user="U0BOB", text="Sure?", blocks=BUTTONS)
        await slack.click("U0BOB", slack.ephemerals[0], "approve")
        await slack.until(lambda: seen)
    assert seen[0]["container"]["is_ephemeral"] is True
    assert "message" not in seen[0]


# Modals


async def test_a_modal_is_opened_refused_filled_in_again_and_closed(slack: LocalSlack, app: AsyncApp) -> None:
    @app.command("/skip")
    async def skip(ack: Any, client: AsyncWebClient, command: dict[str, Any]) -> None:
        await ack()
        await client.views_open(trigger_id=command["trigger_id"], view=FORM)

    @app.view("skip")
    async def skipped(ack: Any, view: dict[str, Any]) -> None:
        reason = view["state"]["values"]["why"]["reason"]["value"]
        if len(reason) < 5:
            await ack(response_action="errors", errors={"why": "say more"})
        else:
            await ack()

    async with running(app):
        await slack.command("U0ALICE", "C0OPS", "/skip")
        view = await slack.until(lambda: slack.views[0])
        with pytest.raises(ValueError, match="filled in"):
            await slack.submit("U0ALICE", view, {})
        with pytest.raises(LookupError, match="no"):
            await slack.submit("U0ALICE", view, {"why": {"reason": "done", "else": "x"}})
        refused = await slack.submit("U0ALICE", view, {"why": {"reason": "no"}})
        assert refused.errors == {"why": "say more"}
        assert view.shown
        await slack.submit("U0ALICE", view, {"why": {"reason": "done by hand"}})
    assert not view.shown


async def test_a_trigger_opens_one_view_within_three_seconds(session: aiohttp.ClientSession) -> None:
    clock, triggers = Hands(), list[str]()
    async with LocalSlack(clock=clock) as slack:
        furnish(slack)
        app = AsyncApp(client=client_of(slack, session))

        @app.command("/skip")
        async def skip(ack: Any, command: dict[str, Any]) -> None:
            await ack()
            triggers.append(command["trigger_id"])

        async with running(app):
            await slack.command("U0ALICE", "C0OPS", "/skip")
            await slack.command("U0ALICE", "C0OPS", "/skip")
            await slack.until(lambda: len(triggers) == 2)
        opened = await app.client.views_open(trigger_id=triggers[0], view=FORM)
        again = await refusal(app.client.views_open(trigger_id=triggers[0], view=FORM))
        clock.now += 3.1
        late = await refusal(app.client.views_open(trigger_id=triggers[1], view=FORM))
    assert (again["error"], late["error"]) == ("exchanged_trigger_id", "expired_trigger_id")
    assert [view.id for view in slack.views] == [opened["view"]["id"]]


# Response URLs


async def test_a_response_url_is_used_five_times_and_for_half_an_hour(session: aiohttp.ClientSession) -> None:
    clock = Hands()
    async with LocalSlack(clock=clock) as slack:
        furnish(slack)
        app = AsyncApp(client=client_of(slack, session))
        app.command("/dovecot-upgrade")(acknowledge)
        async with running(app):
            first = await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")
            second = await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")
        hook = AsyncWebhookClient(url=first.response_url or "", session=session)
        sent = [await hook.send(text="again") for _ in range(6)]
        clock.now += 30 * 60 + 1
        late = await AsyncWebhookClient(url=second.response_url or "", session=session).send(text="late")
    assert [response.status_code for response in sent] == [200, 200, 200, 200, 200, 404]
    assert "used_url" in sent[5].body
    assert "expired_url" in late.body
    assert len(slack.ephemerals) == 5
