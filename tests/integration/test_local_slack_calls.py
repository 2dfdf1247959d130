"""The local Slack's Web API, called by slack_sdk: messages and files, who is who, and what is refused by which name."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.slack.server import LocalSlack
from bot.practice.slack.workspace import Message
from tests.integration.bolt import BUTTONS, FORM, Hands, client, client_of, furnish, refusal, session, slack

__all__ = ["client", "session", "slack"]


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
    said = Message(channel="C0OPS", ts=slack.next_ts(), user="U0ALICE", text="hello")
    slack.messages.append(said)
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
        ("view_too_large", lambda c: c.views_open(trigger_id="1.2.x", view=FORM | {"title": "x" * 250_000})),
        ("invalid_arguments", lambda c: c.api_call("users.info", params={})),
        ("unknown_method", lambda c: c.api_call("chat.postMassage")),
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
