"""An app of slack_bolt and a client of slack_sdk, as they are, on a local Slack with two people and a channel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.slack.server import LocalSlack

BUTTONS: list[dict[str, Any]] = [
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
    slack.add_usergroup("S0MAIL", users=["U0ALICE", "U0BOB"])
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
    await handler.connect_async()  # type: ignore[no-untyped-call] # bolt's own, without types
    try:
        yield handler
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call] # bolt's own, without types


async def refusal(call: Any) -> Any:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response


async def acknowledge(ack: Any) -> None:
    await ack()
