"""The local Slack's connections: its sockets, and calls that break, hang, are refused or come too fast."""

import asyncio
from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.slack.context import Fault
from bot.practice.slack.server import LocalSlack
from bot.practice.slack.socket import SlackTimeout
from tests.integration.bolt import (
    BUTTONS,
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
from tests.patience import SECONDS

__all__ = ["app", "client", "session", "slack"]


# Sockets


async def test_a_refreshed_socket_comes_back_and_works(session: aiohttp.ClientSession) -> None:
    """The client answers the frame and the closing, each with a new socket; what the first of them got may be lost."""
    async with LocalSlack(ack_within=0.2) as slack:
        app = AsyncApp(client=client_of(furnish(slack), session))
        app.command("/dovecot-upgrade")(acknowledge)
        async with running(app):
            await slack.until(lambda: slack.sockets == 1)
            await slack.close_sockets(reason="refresh_requested")
            async with asyncio.timeout(SECONDS):
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
        await slack.until(lambda: slack.sockets == 1)
        await slack.command("U0ALICE", "C0OPS", "/dovecot-upgrade")
        await app.client.chat_postMessage(channel="C0OPS", text="back")
    assert [message.text for message in slack.messages] == ["back"]


async def test_waiting_in_vain_says_what_slack_holds(slack: LocalSlack, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel="C0OPS", text="Draining backend-3")
    with pytest.raises(TimeoutError, match="Draining backend-3"):
        await slack.until(lambda: slack.messages[7], timeout=0.01)
