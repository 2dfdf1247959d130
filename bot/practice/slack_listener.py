"""Where the local Slack listens: a port of 127.0.0.1, which can be away and come back.

It knows nothing of what is served there.
"""

import asyncio
from collections.abc import Iterable

from aiohttp import web

_MOST_BODY = 64 * 2**20
"""Bytes of a request: files are uploaded whole."""


class _Absent(asyncio.Protocol):
    """Ends every connection as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class Listener:
    """Serves routes on 127.0.0.1; `port` is the one it listens on once it was started."""

    def __init__(self, *, routes: Iterable[web.AbstractRouteDef], port: int) -> None:
        """Prepare; `port=0` takes a free one."""
        self.port = port
        self._routes = routes
        self._away = False
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=_MOST_BODY)
        app.add_routes(self._routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._protocol, "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every connection and stop listening."""
        assert self._listening is not None
        assert self._runner is not None
        self._listening.close()
        self.away(True)
        await self._runner.cleanup()

    def away(self, gone: bool) -> None:
        """Drop every connection, and each new one as soon as it is made; or serve again."""
        self._away = gone
        if gone and self._runner is not None and self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()

    def _protocol(self) -> asyncio.Protocol:
        assert self._runner is not None
        assert self._runner.server is not None
        return _Absent() if self._away else self._runner.server()
