"""The bot as a Slack app: signs in, listens over Socket Mode, and shows runs. Joins the parts; knows nothing of runs.

`web_client` is what every part of this adapter talks to Slack with; `SlackApp` is started after the engine's parts are
there, and closed before they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.adapters.slack.errors import ERRORS, name_of, passes
from bot.adapters.slack.inbound.answers import Answers, Work
from bot.adapters.slack.inbound.clicks import Clicks
from bot.adapters.slack.inbound.listeners import Listeners
from bot.adapters.slack.inbound.slash import Commands
from bot.adapters.slack.inbound.socket import Socket
from bot.adapters.slack.people import SlackPeople
from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.engine.service import Service
from bot.errors import TokenRefused

API_URL = "https://slack.com/api/"

_CALL_WITHIN = aiohttp.ClientTimeout(total=30)
"""A session that is given to the SDK is used with its own bound, not with the SDK's."""

_WORK_WITHIN = timedelta(seconds=1)

_SAYS_WITHIN = 3.0
"""Seconds that Slack has for its word on both tokens: runs that are under way, and their users, wait for it."""

_TOKENS = {"bot token": "SLACK_BOT_TOKEN", "app-level token": "SLACK_APP_TOKEN"}

_log = logging.getLogger(__name__)


@asynccontextmanager
async def web_client(*, token: str, api_url: str = API_URL) -> AsyncIterator[AsyncWebClient]:
    """The one client, with one session. It waits where Slack says so (429), and repeats nothing else by itself."""
    async with aiohttp.ClientSession(timeout=_CALL_WITHIN) as session:
        yield AsyncWebClient(
            token=token,
            base_url=api_url,
            session=session,
            # Given, they replace the default, which posts twice when a connection drops after Slack took a message.
            retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=3)],
        )


class SlackApp:
    """Takes commands and clicks. `silence`: how long nothing may come over the socket."""

    def __init__(
        self,
        *,
        client: AsyncWebClient,
        app_token: str,
        service: Service,
        people: SlackPeople,
        threads: SlackAnnouncer,
        silence: timedelta = timedelta(minutes=1),
    ) -> None:
        self._client = client
        self._app_token = app_token
        self._service = service
        self._silence = silence
        self._socket: Socket | None = None
        self._address: str | None = None
        self._work = Work(Answers(client, client.session))
        self._listeners = Listeners(
            client=client,
            commands=Commands(service=service, people=people, threads=threads),
            clicks=Clicks(service=service, people=people),
            work=self._work,
        )

    async def start(self) -> None:
        """Sign in and listen."""
        await self.sign_in()
        await self.listen()

    async def sign_in(self) -> None:
        """Show Slack both tokens; raises TokenRefused for those that it does not take. Nothing is listened to yet.

        Where Slack is away, or slow, they are believed: runs that are under way must not wait for it.
        """
        self._address = await sign_in(self._client, self._app_token)

    async def listen(self) -> None:
        """Take commands and clicks from here on; goes on trying where Slack is away."""
        # Bolt's own client: without a token it signs in nowhere by itself, and nothing is ever called through it.
        bolts = AsyncWebClient(base_url=self._client.base_url, session=self._client.session)
        # Named, as it would else look for the module that called it in all that is imported: half a second.
        app = AsyncApp(
            name="dovecot-bot",
            client=bolts,
            authorize=_authorize,
            signing_secret="",
            request_verification_enabled=False,
        )
        self._listeners.listen(app, self._service.commands)
        self._socket = Socket(app=app, client=self._client, app_token=self._app_token, silence=self._silence)
        await self._socket.open(self._address)

    @property
    def failed(self) -> asyncio.Future[str]:
        """Done, with the reason, when Slack can no longer be heard: end the bot, to be started anew."""
        assert self._socket is not None, "not started"
        return self._socket.failed

    async def close(self) -> None:
        """Take nothing more, and let what was begun be finished."""
        if self._socket:
            await self._socket.close()
        await self._work.close(_WORK_WITHIN)


async def sign_in(client: AsyncWebClient, app_token: str) -> str | None:
    """Show Slack both tokens; where the socket is, None where Slack does not say now whether it takes them.

    Raises TokenRefused for those that it does not take.
    """
    try:
        async with asyncio.timeout(_SAYS_WITHIN):
            known = await _taken("bot token", client.auth_test())
            opened = await _taken("app-level token", client.apps_connections_open(app_token=app_token))
    except TimeoutError:
        _log.warning("Slack has not said within %g s whether it takes the tokens; it is tried again", _SAYS_WITHIN)
        return None
    if known:
        _log.info("signed in to Slack: workspace %s, user %s", known.get("team_id"), known.get("user_id"))
    return str(opened["url"]) if known and opened else None


async def _taken(what: str, showing: Awaitable[AsyncSlackResponse]) -> AsyncSlackResponse | None:
    """Slack's answer; None while it is away."""
    try:
        return await showing
    except ERRORS as error:
        if not passes(error):
            mend = f"What to do: set {_TOKENS[what]} to one that it takes, and start the bot anew"
            raise TokenRefused(f"Slack does not take the {what}: {name_of(error)}. {mend}") from error
        _log.warning("Slack cannot be reached (%s); it is tried again", name_of(error))
        return None


async def _authorize() -> AuthorizeResult:
    """Every envelope comes over a socket that only this app's token opens: there is nothing to ask Slack about."""
    return AuthorizeResult(enterprise_id=None, team_id=None, bot_token=None, bot_id=None, bot_user_id=None)
