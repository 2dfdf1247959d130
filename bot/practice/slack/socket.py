"""Where the local Slack listens, and its Socket Mode side: connections, envelopes, what the app answers to them.

It carries payloads and does not look into them. It knows nothing of the Web API or of the bot.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterable

from aiohttp import WSMsgType, web

from bot.practice.slack.context import ApiContext
from bot.practice.slack.workspace import Json

MOST_SOCKETS = 10


class SlackUserError(Exception):
    """What a person sees when Slack could not do what they wanted."""


class SlackTimeout(SlackUserError):
    """operation_timeout: the app did not acknowledge in time."""


class Sockets:
    """The connections of one app; `ack_within` and `ping_every` are in seconds."""

    def __init__(self, *, context: ApiContext, ack_within: float, ping_every: float) -> None:
        """Start without connections."""
        self._context = context
        self._ack_within = ack_within
        self._ping_every = ping_every
        self._open: list[web.WebSocketResponse] = []
        self._turn = 0
        self._unanswered: dict[str, asyncio.Future[Json]] = {}

    def __len__(self) -> int:
        """Count the connections that take envelopes."""
        return len(self._open)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends; a ticket lets in once."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._context.tickets:
            raise web.HTTPForbidden
        self._context.tickets.discard(ticket)
        socket = web.WebSocketResponse(timeout=1.0)
        await socket.prepare(request)
        if len(self._open) >= MOST_SOCKETS:
            await self._dismiss(socket, "too_many_websockets")
            return socket
        # Counted before hello is sent: an envelope may follow at once, and a number is named in hello.
        self._open.append(socket)
        pings = asyncio.create_task(self._ping(socket))
        try:
            await self._serve(socket)
        finally:
            pings.cancel()
            self._forget(socket)
        return socket

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            await socket.send_json({"type": "hello", "num_connections": len(self._open)})
            self._context.changed.set()
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self._answered(json.loads(frame.data))

    async def _ping(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(self._ping_every)
                await socket.ping(b"Ping from practice")

    def _answered(self, frame: Json) -> None:
        answer = self._unanswered.get(str(frame.get("envelope_id")))
        if answer is not None and not answer.done():
            answer.set_result(frame.get("payload") or {})

    def _forget(self, socket: web.WebSocketResponse) -> None:
        if socket in self._open:
            self._open.remove(socket)
            self._context.changed.set()

    async def send(self, kind: str, payload: Json, *, answerable: bool, twice: bool = False) -> Json:
        """Send an envelope to one connection, any, and return the payload of its acknowledgement.

        Waits for a connection where there is none. Raises SlackTimeout when no acknowledgement has come in
        time. `twice` sends the same envelope again, to the next connection where there are several.
        """
        envelope_id = self._context.next_id("envelope-")
        envelope = {
            "type": kind,
            "payload": payload,
            "accepts_response_payload": answerable,
            "envelope_id": envelope_id,
        }
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._unanswered[envelope_id] = answer
        try:
            async with asyncio.timeout(self._ack_within):
                for _ in range(2 if twice else 1):
                    await self._hand_over(envelope)
                return await answer
        except TimeoutError:
            raise SlackTimeout(f"operation_timeout: {kind} was not acknowledged in {self._ack_within:g} s") from None
        finally:
            del self._unanswered[envelope_id]

    async def _hand_over(self, envelope: Json) -> None:
        sockets = await self._context.until(lambda: self._open, timeout=self._ack_within)
        self._turn += 1
        with contextlib.suppress(ConnectionError):  # a connection that is just ending swallows it, as Slack's do
            await sockets[self._turn % len(sockets)].send_json(envelope)

    async def close(self, reason: str) -> None:
        """Announce the end to every connection, then close them all."""
        sockets, self._open = self._open, []
        self._context.changed.set()
        await asyncio.gather(*(self._dismiss(socket, reason) for socket in sockets))

    async def _dismiss(self, socket: web.WebSocketResponse, reason: str) -> None:
        with contextlib.suppress(ConnectionError):
            await socket.send_json({"type": "disconnect", "reason": reason})
            await socket.close()


_MOST_BODY = 64 * 2**20
"""Bytes of a request: files are uploaded whole."""


class _Absent(asyncio.Protocol):
    """Ends every connection as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class Listener:
    """Serves routes on 127.0.0.1; `port` is the one it listens on once it was started."""

    def __init__(self, routes: Iterable[web.AbstractRouteDef]) -> None:
        """Prepare."""
        self.port = 0
        self._away = False
        app = web.Application(client_max_size=_MOST_BODY)
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._listening: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        await self._runner.setup()
        self._listening = await asyncio.get_running_loop().create_server(self._protocol, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every connection and stop listening."""
        if self._listening is not None:
            self._listening.close()
        self.away(True)
        await self._runner.cleanup()

    def away(self, gone: bool) -> None:
        """Drop every connection, and each new one as soon as it is made; or serve again."""
        self._away = gone
        for connection in self._runner.server.connections if gone and self._runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        return _Absent() if self._away or server is None else server()
