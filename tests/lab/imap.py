"""As much IMAP as a user's day needs, and the three ways in which a server disappoints."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

PORT = 143


class Ended(Exception):
    """The server closed the connection."""


class Refused(Exception):
    """The server answered, and the answer was no."""


class Session:
    """One connection; TimeoutError, after `patience` for an answer, and OSError come through as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: timedelta) -> None:
        self._patience = patience
        self._reader = reader
        self._writer = writer
        self._tag = 0

    async def command(self, text: str) -> None:
        """Send one command and read until its answer."""
        self._tag += 1
        tag = f"a{self._tag}"
        self._writer.write(f"{tag} {text}\r\n".encode())
        await self._writer.drain()
        async with asyncio.timeout(self._patience.total_seconds()):
            await self._answer(tag, bye=text == "LOGOUT")

    async def _answer(self, tag: str, *, bye: bool) -> None:
        while True:
            line = await self.line()
            if line.startswith("* BYE") and not bye:
                raise Ended(line)
            if line.startswith(f"{tag} "):
                if not line.startswith(f"{tag} OK"):
                    raise Refused(line)
                return

    async def line(self) -> str:
        """The next line that the server says."""
        line = await self._reader.readline()
        if not line:
            raise Ended("closed")
        return line.decode(errors="replace").strip()

    async def stay(self, length: timedelta) -> None:
        """Be connected and do nothing for a while; Ended if the server does not have it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(length.total_seconds()):
                while not (line := await self.line()).startswith("* BYE"):
                    pass
                raise Ended(line)


@contextlib.asynccontextmanager
async def connected(ip: str, patience: timedelta) -> AsyncIterator[Session]:
    """A connection whose greeting has been read."""
    async with asyncio.timeout(patience.total_seconds()):
        reader, writer = await asyncio.open_connection(ip, PORT)
    try:
        session = Session(reader, writer, patience)
        async with asyncio.timeout(patience.total_seconds()):
            await session.line()
        yield session
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
