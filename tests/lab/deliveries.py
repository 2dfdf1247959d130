"""Small mails that keep coming for users, delivered through both directors by LMTP, and what came of each."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.lab.crowd import AT_MOST, Attempt, Crowd
from tests.lab.files import Host
from tests.lab.ring import Lab

PORT = 24
# Longer than a director lets a recipient wait who is being moved (30 s); mail servers wait for minutes.
PATIENCE = timedelta(seconds=60)
# A line, and the dot that ends a mail.
MAIL = "From: lab@example.org\r\nTo: {user}@example.org\r\nSubject: A mail\r\n\r\nHello.\r\n."


@dataclass(frozen=True, kw_only=True)
class Delivery(Attempt):
    """One mail for one user; `answer` is what the director said last, or why nothing was heard of it."""

    answer: str

    @property
    def deferred(self) -> bool:
        """Whether the sender has to try again later: it was told so (4xx), or heard nothing."""
        return not self.ok and not self.refused

    @property
    def refused(self) -> bool:
        """Whether the mail goes back to whoever wrote it (5xx)."""
        return self.answer.startswith("5")


class Deliveries(Crowd[Delivery]):
    """Mails for the first `count` of the users that MailUsers has, a mail at a time for each.

    `failed` lists those that were deferred or refused.
    """

    def __init__(self, lab: Lab, count: int = 40, *, at_most: timedelta = AT_MOST) -> None:
        super().__init__(lab, count, at_most=at_most)

    async def _attempt(self, user: str, director: Host) -> None:
        at, begun = datetime.now(UTC), time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                answer = await deliver(director.ip, user)
        except (OSError, TimeoutError, EOFError) as error:
            answer = f"{type(error).__name__}: {error}"
        took = timedelta(seconds=time.monotonic() - begun)
        ok = answer.startswith("2")
        self.attempts.append(Delivery(at=at, user=user, director=director.name, ok=ok, took=took, answer=answer))


async def deliver(ip: str, user: str) -> str:
    """Hand a mail over for one user; returns the answer that took it, or the first one that did not.

    OSError and EOFError, when the server hangs up, come through as they are.
    """
    reader, writer = await asyncio.open_connection(ip, PORT)
    try:
        answer = await read_answer(reader)
        for text in ("LHLO lab", "MAIL FROM:<lab@example.org>", f"RCPT TO:<{user}>", "DATA", MAIL.format(user=user)):
            if not answer.startswith(("2", "3")):
                break
            writer.write(f"{text}\r\n".encode())
            await writer.drain()
            answer = await read_answer(reader)
        return answer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> str:
    """The last line of the server's next answer: all before it have a hyphen after the number."""
    while True:
        line = (await reader.readuntil(b"\r\n")).decode(errors="replace").strip()
        if line[3:4] != "-":
            return line
