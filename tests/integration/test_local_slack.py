"""The local Slack, driven by slack_bolt and slack_sdk as they are: what they take for Slack, a bot can be tested on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.practice.slack import Fault, LocalSlack, Rate, SlackTimeout, SlackUserError
from bot.practice.slack_limits import problems

BUTTONS = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "Flush backend-3?"}},
    {
        "type": "actions",
        "block_id": "gate",
        "elements": [
            {
                "type": "button",
                "action_id": "approve",
                "value": "run-7",
                "text": {"type": "plain_text", "text": "Approve"},
            },
            {"type": "button", "action_id": "deny", "text": {"type": "plain_text", "text": "Deny"}},
        ],
    },
]

FORM = {
    "type": "modal",
    "callback_id": "skip",
    "title": {"type": "plain_text", "text": "Skip a step"},
    "submit": {"type": "plain_text", "text": "Skip"},
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Why?"},
            "element": {"type": "plain_text_input", "action_id": "reason"},
        }
    ],
}


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def furnish(slack: LocalSlack) -> LocalSlack:
    slack.add_user("U0ALICE", name="alice")
    slack.add_user("U0BOB", name="bob")
    slack.add_channel("C0OPS", name="mail-ops")
    slack.add_usergroup("S0MAIL", handle="mail-engineers", users=["U0ALICE", "U0BOB"])
    return slack


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as slack:
        yield furnish(slack)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def client(slack: LocalSlack, session: aiohttp.ClientSession) -> AsyncWebClient:
    return client_of(slack, session)


def client_of(
    slack: LocalSlack, session: aiohttp.ClientSession, *, token: str = "xoxb-practice", **more: Any
) -> AsyncWebClient:
    return AsyncWebClient(token=token, base_url=slack.api_url, session=session, **more)


@pytest.fixture
def app(client: AsyncWebClient) -> AsyncApp:
    return AsyncApp(client=client)


@asynccontextmanager
async def running(app: AsyncApp) -> AsyncIterator[AsyncSocketModeHandler]:
    handler = AsyncSocketModeHandler(app, app_token="xapp-practice", ping_interval=0.1)
    await handler.connect_async()
    try:
        yield handler
    finally:
        await handler.close_async()


async def refusal(call: Any) -> Any:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response


# Commands


async def test_a_command_is_acknowledged_and_answered_later_through_its_response_url(
    slack: LocalSlack, app: AsyncApp
) -> None:
    @app.command("/dovecot-upgrade")
    async def upgrade(ack: Any, respond: Any, command: dict[str, Any]) -> None:
        await ack(f"Planning {command['text']}")
        await respond(f"Planned for <@{command['user_id']}> in {command['channel_name']}")

    async with running(app):
        reply = await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade", "backend-3")
        await slack.until(lambda: len(slack.ephemerals) == 2)
    assert reply.text == "Planning backend-3"
    assert sorted((e.user, e.via, e.text) for e in slack.ephemerals) == [
        ("U0ALICE", "ack", "Planning backend-3"),
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


async def acknowledge(ack: Any) -> None:
    await ack()


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
        await app.client.views_update(view_id=opened["view"]["id"], view=FORM | {"callback_id": "other"})
    assert (again["error"], late["error"]) == ("exchanged_trigger_id", "expired_trigger_id")
    assert slack.views[0].callback_id == "other"


# Messages


async def test_a_thread_is_read_back_in_pages_with_its_metadata(slack: LocalSlack, client: AsyncWebClient) -> None:
    metadata = {"event_type": "run", "event_payload": {"run": "7", "seq": 1}}
    root = await client.chat_postMessage(channel="C0OPS", text="Run 7", metadata=metadata)
    for number in range(4):
        await client.chat_postMessage(channel="C0OPS", thread_ts=root["ts"], text=f"reply {number}")
    answer = await client.conversations_replies(channel="C0OPS", ts=root["ts"], limit=2, include_all_metadata=True)
    # The response that comes for each page is the same object again, so each is looked at before the next.
    pages = [page["messages"] async for page in answer]
    messages = [message for page in pages for message in page]
    assert [m["text"] for m in messages] == ["Run 7", "reply 0", "reply 1", "reply 2", "reply 3"]
    assert len(pages) == 3
    assert messages[0]["metadata"] == metadata
    assert (messages[0]["reply_count"], messages[0]["latest_reply"]) == (4, messages[-1]["ts"])
    plain = await client.conversations_replies(channel="C0OPS", ts=root["ts"])
    assert "metadata" not in plain["messages"][0]
    assert [m.text for m in slack.thread("C0OPS", root["ts"])] == [m["text"] for m in messages]


async def test_history_shows_broadcast_replies_only_newest_first(slack: LocalSlack, client: AsyncWebClient) -> None:
    root = await client.chat_postMessage(channel="C0OPS", text="Run 7")
    await client.chat_postMessage(channel="C0OPS", thread_ts=root["ts"], text="quiet")
    await client.chat_postMessage(channel="C0OPS", thread_ts=root["ts"], text="loud", reply_broadcast=True)
    history = await client.conversations_history(channel="C0OPS")
    assert [m["text"] for m in history["messages"]] == ["loud", "Run 7"]
    assert history["messages"][0]["subtype"] == "thread_broadcast"
    assert slack.messages[2].reply_broadcast


async def test_timestamps_grow_even_when_the_clock_stands_still(session: aiohttp.ClientSession) -> None:
    async with LocalSlack(clock=Hands()) as slack:
        client = client_of(furnish(slack), session)
        for number in range(3):
            await client.chat_postMessage(channel="C0OPS", text=f"{number}")
    stamps = [message.ts for message in slack.messages]
    assert stamps == ["1700000000.000000", "1700000000.000001", "1700000000.000002"]


async def test_long_text_is_cut_when_posted_and_refused_when_edited(slack: LocalSlack, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel="C0OPS", text="x" * 40_001)
    assert len(slack.messages[0].text) == 40_000
    refused = await refusal(client.chat_update(channel="C0OPS", ts=posted["ts"], text="x" * 4_001))
    assert refused["error"] == "msg_too_long"


async def test_blocks_alone_keep_the_text_and_other_peoples_messages_are_not_edited(
    slack: LocalSlack, client: AsyncWebClient
) -> None:
    posted = await client.chat_postMessage(channel="C0OPS", text="Flush?")
    await client.api_call("chat.update", json={"channel": "C0OPS", "ts": posted["ts"], "blocks": BUTTONS[:1]})
    assert slack.messages[0].text == "Flush?"
    assert slack.messages[0].blocks[0]["block_id"]
    said = slack.say("U0ALICE", "C0OPS", "hello")
    refused = await refusal(client.chat_update(channel="C0OPS", ts=said.ts, text="mine"))
    assert refused["error"] == "cant_update_message"


async def test_invalid_blocks_are_refused_in_slacks_words(client: AsyncWebClient) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    response = await refusal(client.chat_postMessage(channel="C0OPS", text="x", blocks=blocks))
    assert response["error"] == "invalid_blocks"
    said = "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert response["errors"] == [said]
    assert response["response_metadata"]["messages"] == [f"[ERROR] {said}"]


async def test_a_file_is_uploaded_into_a_thread(slack: LocalSlack, client: AsyncWebClient) -> None:
    root = await client.chat_postMessage(channel="C0OPS", text="Run 7")
    answer = await client.files_upload_v2(
        channel="C0OPS", thread_ts=root["ts"], filename="doveadm.txt", content="users: 0\n", initial_comment="Output"
    )
    (file,) = slack.files
    assert (file.name, file.text, file.channel, file.thread_ts) == ("doveadm.txt", "users: 0\n", "C0OPS", root["ts"])
    assert answer["file"]["id"] == file.id
    assert slack.thread("C0OPS", root["ts"])[1].text == "Output"


async def test_a_permalink_names_the_thread(client: AsyncWebClient) -> None:
    root = await client.chat_postMessage(channel="C0OPS", text="Run 7")
    reply = await client.chat_postMessage(channel="C0OPS", thread_ts=root["ts"], text="step 1")
    link = (await client.chat_getPermalink(channel="C0OPS", message_ts=reply["ts"]))["permalink"]
    assert link.endswith(f"/p{reply['ts'].replace('.', '')}?thread_ts={root['ts']}&cid=C0OPS")


# Who is who, and who may


async def test_people_groups_and_channels_are_described_as_slack_does(
    slack: LocalSlack, client: AsyncWebClient
) -> None:
    slack.add_user("W0GUEST", name="guest", is_restricted=True)
    slack.add_user("U0GONE", name="gone", deleted=True)
    slack.add_user("U0OTHER", name="other", is_stranger=True)
    slack.add_channel("C0SHARED", name="shared", is_ext_shared=True, bot=False)
    users = {u: (await client.users_info(user=u))["user"] for u in ("U0ALICE", "W0GUEST", "U0GONE", "U0OTHER")}
    assert users["W0GUEST"]["is_restricted"]
    assert not users["U0ALICE"]["is_restricted"]
    assert users["U0GONE"]["deleted"]
    assert "is_stranger" not in users["U0ALICE"]
    assert users["U0OTHER"]["is_stranger"]
    assert (await client.usergroups_users_list(usergroup="S0MAIL"))["users"] == ["U0ALICE", "U0BOB"]
    assert [g["handle"] for g in (await client.usergroups_list())["usergroups"]] == ["mail-engineers"]
    channel = (await client.conversations_info(channel="C0SHARED"))["channel"]
    assert (channel["is_ext_shared"], channel["is_member"]) == (True, False)
    assert (await client.auth_test())["user_id"] == "U0BOT"


@pytest.mark.parametrize(
    ("error", "call"),
    [
        ("channel_not_found", lambda c: c.chat_postMessage(channel="C0NONE", text="x")),
        ("no_text", lambda c: c.api_call("chat.postMessage", json={"channel": "C0OPS"})),
        ("thread_not_found", lambda c: c.chat_postMessage(channel="C0OPS", text="x", thread_ts="1.000001")),
        ("invalid_metadata_format", lambda c: c.chat_postMessage(channel="C0OPS", text="x", metadata={"run": 7})),
        ("message_not_found", lambda c: c.chat_update(channel="C0OPS", ts="1.000001", text="x")),
        ("user_not_in_channel", lambda c: c.chat_postEphemeral(channel="C0OPS", user="U0NONE", text="x")),
        ("thread_not_found", lambda c: c.conversations_replies(channel="C0OPS", ts="1.000001")),
        ("invalid_cursor", lambda c: c.conversations_history(channel="C0OPS", cursor="?")),
        ("user_not_found", lambda c: c.users_info(user="U0NONE")),
        ("no_such_subteam", lambda c: c.usergroups_users_list(usergroup="S0NONE")),
        ("invalid_trigger_id", lambda c: c.views_open(trigger_id="1.2.x", view=FORM)),
        ("not_found", lambda c: c.views_update(view_id="V0NONE", view=FORM)),
        ("invalid_arguments", lambda c: c.api_call("users.info", params={})),
        ("unknown_method", lambda c: c.api_call("chat.postMassage")),
        ("missing_scope", lambda c: c.reactions_add(channel="C0OPS", timestamp="1.000001", name="eyes")),
        ("not_allowed_token_type", lambda c: c.apps_connections_open(app_token="xoxb-practice")),
        ("invalid_auth", lambda c: c.auth_test(token="xoxb-stolen")),
        ("file_not_found", lambda c: c.files_completeUploadExternal(files=[{"id": "F0"}])),
    ],
)
async def test_what_is_wrong_is_refused_by_its_real_name(
    client: AsyncWebClient, error: str, call: Callable[[AsyncWebClient], Any]
) -> None:
    assert (await refusal(call(client)))["error"] == error


async def test_nobody_gets_in_without_a_token(slack: LocalSlack, session: aiohttp.ClientSession) -> None:
    async with session.post(slack.api_url + "auth.test") as response:
        assert (await response.json())["error"] == "not_authed"


async def test_a_missing_scope_is_named(session: aiohttp.ClientSession) -> None:
    async with LocalSlack(scopes={"chat:write", "channels:read"}) as slack:
        client = client_of(furnish(slack), session)
        slack.add_channel("C0SECRET", name="secret", is_private=True)
        response = await refusal(client.users_info(user="U0ALICE"))
        private = await refusal(client.conversations_info(channel="C0SECRET"))
    assert (response["error"], response["needed"]) == ("missing_scope", "users:read")
    assert response["provided"] == "channels:read,chat:write"
    assert response.headers["X-OAuth-Scopes"] == "channels:read,chat:write"
    assert private["needed"] == "groups:read"


async def test_calls_are_kept_with_what_became_of_them_and_without_the_token(
    slack: LocalSlack, client: AsyncWebClient
) -> None:
    await client.chat_postMessage(channel="C0OPS", text="x")
    await refusal(client.users_info(user="U0NONE", token="xoxb-practice"))
    assert [(call.method, call.status) for call in slack.calls] == [
        ("chat.postMessage", "ok"),
        ("users.info", "user_not_found"),
    ]
    assert slack.calls[1].arguments == {"user": "U0NONE"}


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
        sent = [await hook.send(text="again", response_type="in_channel") for _ in range(6)]
        clock.now += 30 * 60 + 1
        late = await AsyncWebhookClient(url=second.response_url or "", session=session).send(text="late")
    assert [response.status_code for response in sent] == [200, 200, 200, 200, 200, 404]
    assert "used_url" in sent[5].body
    assert "expired_url" in late.body
    assert len(slack.messages) == 5


# Sockets


async def test_a_refreshed_socket_comes_back_and_works(session: aiohttp.ClientSession) -> None:
    """The client answers the frame and the closing, each with a new socket; what the first of them got may be lost."""
    async with LocalSlack(ack_within=0.2) as slack:
        app = AsyncApp(client=client_of(furnish(slack), session))
        app.command("/dovecot-upgrade")(acknowledge)
        async with running(app):
            await slack.until(lambda: slack.sockets == 1)
            await slack.close_sockets(reason="refresh_requested")
            async with asyncio.timeout(5):
                while not await acknowledged(slack):
                    pass
        await slack.until(lambda: slack.sockets == 0)


async def acknowledged(slack: LocalSlack) -> bool:
    try:
        await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")
    except SlackTimeout:
        return False
    return True


async def test_each_envelope_goes_to_one_of_the_sockets(slack: LocalSlack, session: aiohttp.ClientSession) -> None:
    seen: list[str] = []

    def app_called(name: str) -> AsyncApp:
        app = AsyncApp(client=client_of(slack, session), name=name)

        @app.command("/dovecot-upgrade")
        async def upgrade(ack: Any) -> None:
            await ack()
            seen.append(name)

        return app

    async with running(app_called("one")), running(app_called("two")):
        await slack.until(lambda: slack.sockets == 2)
        for _ in range(4):
            await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")
        await slack.until(lambda: len(seen) == 4)
    assert sorted(seen) == ["one", "one", "two", "two"]


async def test_an_envelope_may_come_twice_with_the_same_id(slack: LocalSlack, app: AsyncApp) -> None:
    envelopes: list[str] = []
    slack.send_envelopes_twice = True
    app.command("/dovecot-upgrade")(acknowledge)
    async with running(app) as handler:

        async def note(_client: Any, request: Any) -> None:
            envelopes.append(request.envelope_id)

        handler.client.socket_mode_request_listeners.append(note)
        await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")
        await slack.until(lambda: len(envelopes) == 2)
    assert len(set(envelopes)) == 1


async def test_a_lost_click_never_arrives_and_the_person_is_told(slack: LocalSlack, app: AsyncApp) -> None:
    await app.client.chat_postMessage(channel="C0OPS", text="Flush?", blocks=BUTTONS)
    slack.lose_envelopes = True
    with pytest.raises(SlackTimeout, match="lost"):
        await slack.click("U0BOB", slack.messages[0], "approve")


async def test_a_ticket_connects_once(slack: LocalSlack, session: aiohttp.ClientSession) -> None:
    client = client_of(slack, session, token="xapp-practice")
    url = (await client.apps_connections_open(app_token="xapp-practice"))["url"]
    async with session.ws_connect(url) as socket:
        hello = await socket.receive_json()
        assert (hello["type"], hello["num_connections"]) == ("hello", 1)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_an_eleventh_socket_is_one_too_many(slack: LocalSlack, session: aiohttp.ClientSession) -> None:
    client = client_of(slack, session, token="xapp-practice")
    sockets = []
    for _ in range(11):
        url = (await client.apps_connections_open(app_token="xapp-practice"))["url"]
        sockets.append(await session.ws_connect(url))
    first = [await socket.receive_json() for socket in sockets]
    assert first[9]["num_connections"] == 10
    assert first[10]["reason"] == "too_many_websockets"
    for socket in sockets:
        await socket.close()


async def test_slack_pings_its_sockets(session: aiohttp.ClientSession) -> None:
    async with LocalSlack(ping_every=0.01) as slack:
        client = client_of(slack, session, token="xapp-practice")
        url = (await client.apps_connections_open(app_token="xapp-practice"))["url"]
        async with session.ws_connect(url, autoping=False) as socket:
            await socket.receive_json()
            frame = await socket.receive(timeout=2)
    assert (frame.type, frame.data[:9]) == (aiohttp.WSMsgType.PING, b"Ping from")


# What goes wrong


async def test_the_default_client_posts_twice_when_a_connection_drops_after_the_post(
    slack: LocalSlack, client: AsyncWebClient
) -> None:
    slack.fault(Fault(method="chat.postMessage", what="drop_after_accept"))
    await client.chat_postMessage(channel="C0OPS", text="Flushed")
    assert [message.text for message in slack.messages] == ["Flushed", "Flushed"]
    assert [call.status for call in slack.calls] == ["drop_after_accept", "ok"]


async def test_a_client_without_retries_learns_that_it_may_have_posted(
    slack: LocalSlack, session: aiohttp.ClientSession
) -> None:
    client = client_of(slack, session, retry_handlers=[])
    slack.fault(Fault(method="chat.postMessage", what="drop_after_accept"))
    slack.fault(Fault(method="chat.postMessage", what="refuse"))
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.chat_postMessage(channel="C0OPS", text="posted")
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.chat_postMessage(channel="C0OPS", text="not posted")
    assert [message.text for message in slack.messages] == ["posted"]


async def test_faults_are_answered_with_their_status(slack: LocalSlack, client: AsyncWebClient) -> None:
    slack.fault(Fault(method="*", what="status_500"))
    slack.fault(Fault(method="chat.postMessage", what="rate_limited", retry_after=30))
    slack.fault(Fault(method="chat.postMessage", what="error", error="fatal_error"))
    answers = [await refusal(client.chat_postMessage(channel="C0OPS", text="x")) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500, 429, 200]
    assert answers[1].headers["Retry-After"] == "30"
    assert answers[2]["error"] == "fatal_error"
    assert (await client.chat_postMessage(channel="C0OPS", text="x"))["ok"]


async def test_a_call_that_hangs_is_let_go_when_faults_are_cleared(
    slack: LocalSlack, session: aiohttp.ClientSession
) -> None:
    client = client_of(slack, session, retry_handlers=[])
    slack.fault(Fault(method="chat.postMessage", what="hang", times=None))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.chat_postMessage(channel="C0OPS", text="x"), 0.05)
    hanging = asyncio.create_task(client.chat_postMessage(channel="C0OPS", text="x"))
    await slack.until(lambda: [c.status for c in slack.calls] == ["hang", "hang"])
    assert not slack.messages
    slack.clear_faults()
    with pytest.raises(aiohttp.ClientConnectionError):
        await hanging
    assert (await client.chat_postMessage(channel="C0OPS", text="x"))["ok"]


async def test_an_app_comes_back_after_slack_was_away(slack: LocalSlack, app: AsyncApp) -> None:
    app.command("/dovecot-upgrade")(acknowledge)
    async with running(app):
        await slack.until(lambda: slack.sockets == 1)
        slack.away(True)
        await slack.until(lambda: slack.sockets == 0)
        with pytest.raises(aiohttp.ClientConnectionError):
            await app.client.chat_postMessage(channel="C0OPS", text="x")
        slack.away(False)
        await slack.until(lambda: slack.sockets == 1, timeout=10)
        await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")
        await app.client.chat_postMessage(channel="C0OPS", text="back")
    assert [message.text for message in slack.messages] == ["back"]


async def test_posting_faster_than_the_rate_is_refused_until_time_has_passed(session: aiohttp.ClientSession) -> None:
    clock = Hands()
    async with LocalSlack(clock=clock, rate=Rate(per_second=1, burst=2)) as slack:
        client = client_of(furnish(slack), session)
        for number in range(2):
            await client.chat_postMessage(channel="C0OPS", text=f"{number}")
        refused = await refusal(client.chat_postMessage(channel="C0OPS", text="2"))
        clock.now += int(refused.headers["Retry-After"])
        await client.chat_postMessage(channel="C0OPS", text="2")
    assert (refused.status_code, refused["error"]) == (429, "ratelimited")
    assert [call.status for call in slack.calls] == ["ok", "ok", "rate_limited", "ok"]


async def test_waiting_in_vain_says_what_slack_holds(slack: LocalSlack, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel="C0OPS", text="Draining backend-3")
    with pytest.raises(TimeoutError, match="Draining backend-3"):
        await slack.until(lambda: slack.messages[7], timeout=0.01)


# Limits


def test_blocks_within_the_limits_are_taken() -> None:
    confirm = {
        "title": {"type": "plain_text", "text": "Flush?"},
        "text": {"type": "mrkdwn", "text": "x" * 300},
        "confirm": {"type": "plain_text", "text": "Flush"},
        "deny": {"type": "plain_text", "text": "Not yet"},
    }
    button = {"type": "button", "text": {"type": "plain_text", "text": "Flush"}, "confirm": confirm, "style": "danger"}
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 150}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}, "accessory": button},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 10},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 10},
        {"type": "actions", "elements": [button]},
        {"type": "divider"},
        {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * 20]},
    ]
    assert problems(blocks) == []


def text(length: int, kind: str = "plain_text") -> dict[str, Any]:
    return {"type": kind, "text": "x" * length}


CONFIRM = {"title": text(1), "text": text(1), "confirm": text(1), "deny": text(1)}
BUTTON = {"type": "button", "action_id": "a", "text": text(5)}
FIRST = "/0/elements/0"


def with_button(**more: Any) -> list[dict[str, Any]]:
    return [{"type": "actions", "elements": [BUTTON | more]}]


@pytest.mark.parametrize(
    ("blocks", "said", "at"),
    [
        ({"type": "divider"}, "must be an array", ""),
        ([{"type": "divider"}] * 51, "no more than 50 items allowed", ""),
        ([{"type": "banner"}], "unsupported type: banner", "/0/type"),
        ([{"type": "section"}], "missing required field: text", "/0"),
        ([{"type": "section", "text": text(0)}], "must be more than 0 characters", "/0/text/text"),
        ([{"type": "section", "fields": [text(2001)]}], "must be less than 2001 characters", "/0/fields/0/text"),
        ([{"type": "section", "txt": 1, "text": text(1)}], "invalid additional property: txt", "/0"),
        ([{"type": "header", "text": text(151)}], "must be less than 151 characters", "/0/text/text"),
        ([{"type": "header", "text": text(5, "mrkdwn")}], "unsupported type: mrkdwn", "/0/text/type"),
        ([{"type": "context", "elements": [text(1)] * 11}], "no more than 10 items allowed", "/0/elements"),
        ([{"type": "divider", "block_id": "x" * 256}], "must be less than 256 characters", "/0/block_id"),
        ([{"type": "divider", "block_id": "b"}] * 2, "block_id already exists: b", "/1/block_id"),
        (
            [{"type": "actions", "elements": [BUTTON] * 2}],
            "action_id already exists in this block: a",
            "/0/elements/1/action_id",
        ),
        (with_button(text=text(76)), "must be less than 76 characters", FIRST + "/text/text"),
        (with_button(value="x" * 2001), "must be less than 2001 characters", FIRST + "/value"),
        (with_button(action_id="x" * 256), "must be less than 256 characters", FIRST + "/action_id"),
        (with_button(style="green"), "must be one of: primary, danger", FIRST + "/style"),
        (
            with_button(confirm=CONFIRM | {"title": text(101)}),
            "must be less than 101 characters",
            FIRST + "/confirm/title/text",
        ),
        (
            with_button(confirm=CONFIRM | {"confirm": text(31)}),
            "must be less than 31 characters",
            FIRST + "/confirm/confirm/text",
        ),
        (
            [{"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * 21]}],
            "no more than 20 items allowed",
            "/0/rows/0",
        ),
        (
            [{"type": "section", "text": text(2700)}] * 5,
            "msg_blocks_too_long: more than about 13200 characters in all",
            "",
        ),
    ],
)
def test_what_slack_would_refuse_is_said(blocks: Any, said: str, at: str) -> None:
    assert problems(blocks) == [f"{said} [json-pointer:/blocks{at}]"]


def test_twenty_six_buttons_are_one_too_many() -> None:
    elements = [{"type": "button", "action_id": f"a{n}", "text": text(1)} for n in range(26)]
    assert problems([{"type": "actions", "elements": elements}]) == [
        "no more than 25 items allowed [json-pointer:/blocks/0/elements]"
    ]
