"""The socket that Slack sends commands and clicks over: repeats known, and noticed when nothing comes any more.

It carries envelopes to Bolt and knows nothing of what is in them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from aiohttp import WSMessage
from slack_bolt.adapter.socket_mode.async_base_handler import AsyncBaseSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS, answered, in_words
from bot.adapters.slack.waits import unwaiting

_REMEMBERED = 2_000
"""Envelopes whose answers are kept; a repeat comes within seconds."""

_log = logging.getLogger(__name__)


class _WatchedClient(SocketModeClient):
    """The SDK's client, which says when the other end has answered a ping, and keeps to no address that fails.

    The SDK sets `last_ping_pong_time` on a pong, but also, from None, as a starting point without having heard
    anything; only the first is a sign of life.
    """

    def __init__(self, *, on_pong: Callable[[], None], **more: Any) -> None:
        self._on_pong = on_pong
        self._pong: float | None = None
        self._address: str | None = None
        self._addressed = 0.0
        super().__init__(**more)

    @property
    def last_ping_pong_time(self) -> float | None:
        """When the last ping that was answered was sent, in seconds since 1970."""
        return self._pong

    @last_ping_pong_time.setter
    def last_ping_pong_time(self, value: float | None) -> None:
        if self._pong is not None and value is not None:
            self._on_pong()
        self._pong = value

    @property  # type: ignore[override] # the SDK itself sets None
    def wss_uri(self) -> str | None:
        """Where Slack awaits the socket; None, so that the SDK asks, once a try with it was made and waited after.

        The SDK tries the same address for ever, and Slack takes none that is old.
        """
        return self._address if time.monotonic() - self._addressed < self.ping_interval else None

    @wss_uri.setter
    def wss_uri(self, address: str | None) -> None:
        self._address, self._addressed = address, time.monotonic()


class Socket(AsyncBaseSocketModeHandler):
    """One connection to Slack, renewed by the SDK; make it inside the running loop.

    `failed` is done, with the reason, when it cannot be relied on any more: Slack answers, but nothing has come over
    the socket for `silence`, or Slack has switched it off. Whoever runs the bot ends it then, to be started anew.
    """

    def __init__(
        self,
        *,
        app: AsyncApp,
        client: AsyncWebClient,
        app_token: str,
        silence: timedelta = timedelta(minutes=1),
        ping_every: timedelta = timedelta(seconds=10),
    ) -> None:
        self.app: AsyncApp = app
        self._web = unwaiting(client)
        self._silence = silence.total_seconds()
        self._last_traffic = time.monotonic()
        self._seen: OrderedDict[str, asyncio.Task[BoltResponse]] = OrderedDict()
        self._watching: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.client: SocketModeClient = _WatchedClient(
            on_pong=self._note_traffic,
            app_token=app_token,
            web_client=client,
            ping_interval=ping_every.total_seconds(),
            on_message_listeners=[self._frame],
        )
        self.client.socket_mode_request_listeners.append(self.handle)

    async def open(self, address: str | None = None) -> None:
        """Connect, to this address if it was asked for already; goes on trying in its own time where Slack is away."""
        if address:
            self.client.wss_uri = address
        self._last_traffic = time.monotonic()
        self._connecting = asyncio.create_task(self._connect(), name="connect to Slack")
        self._watching = asyncio.create_task(self._watch(), name="listen whether Slack is there")
        await asyncio.wait((self._connecting,), timeout=self._silence / 6)

    async def _connect(self) -> None:
        await self.client.connect()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Take no more envelopes."""
        tasks = [task for task in (self._watching, self._connecting) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.close()  # type: ignore[no-untyped-call]

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        """Hand an envelope to Bolt once; its repeat gets the same answer, as the first may not have arrived."""
        began = time.time()
        taken = self._seen.get(req.envelope_id)
        if taken is None:
            taken = self._seen[req.envelope_id] = asyncio.create_task(self._taken(req), name="take an envelope")
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        else:
            _log.info("envelope %s came again, and is answered as it was", req.envelope_id)
        await send_async_response(client, req, await asyncio.shield(taken), began)

    async def _taken(self, req: SocketModeRequest) -> BoltResponse:
        answer: BoltResponse = await run_async_bolt_app(self.app, req)
        return answer

    def _note_traffic(self) -> None:
        self._last_traffic = time.monotonic()

    async def _frame(self, message: WSMessage) -> None:
        """Every text frame, before it is worked on: `hello` and `disconnect` are about the connection itself."""
        self._note_traffic()
        try:
            frame = json.loads(message.data)
        except ValueError:
            return
        match frame.get("type"):
            case "hello":
                _log.info("Slack says hello; %s connections of this app are open", frame.get("num_connections"))
            case "disconnect":
                _log.info("Slack closes this connection: %s", frame.get("reason"))
                if frame.get("reason") == "link_disabled":
                    self._fail("Socket Mode is switched off for this app (link_disabled)")

    async def _watch(self) -> None:
        """Look whether anything came. Slack being away altogether is no fault of this socket, and ends nothing."""
        while not self.failed.done():
            await asyncio.sleep(self._silence / 4)
            if time.monotonic() - self._last_traffic < self._silence:
                continue
            silent = f"nothing has come over the socket for {self._silence:g} s"
            try:
                await self._web.auth_test()
            except ERRORS as error:
                if answered(error):
                    self._fail(f"{silent}, though Slack answers: {in_words(error)}")
                else:
                    _log.warning("%s; Slack is away: %s", silent, in_words(error))
            else:
                self._fail(f"{silent}, though Slack answers")

    def _fail(self, reason: str) -> None:
        if not self.failed.done():
            _log.error("the connection to Slack cannot be relied on: %s", reason)
            self.failed.set_result(reason)
