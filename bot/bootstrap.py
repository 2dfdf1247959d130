"""The one place where real parts are built and joined."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

from bot.adapters.alarms import ApsAlarms
from bot.adapters.clock import SystemClock
from bot.adapters.configs import FolderProposals
from bot.adapters.journal import SqlJournal, url_of
from bot.adapters.single_instance import single_instance
from bot.adapters.slack.app import SlackApp, web_client
from bot.adapters.slack.people import Allowed, SlackPeople
from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.adapters.ssh import SshHosts
from bot.config import PeoplePart, Settings, Tokens, read_settings
from bot.core.plans.dryrun import DryRun
from bot.core.text.redact import redact
from bot.core.text.shown import in_line
from bot.engine.planning import Catalogue, Planner, Request
from bot.engine.ports import Ports, Timings
from bot.engine.recovery import recover
from bot.engine.service import Service
from bot.errors import JournalError, Misconfigured, TokenRefused
from bot.library import library_of
from bot.missing import unread_config
from bot.record.markdown import markdown
from bot.unwatched import call_people

log = logging.getLogger(__name__)

_ID_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that look alike."""


def new_id() -> str:
    """A run's id: short enough to be typed on a phone."""
    return "r" + "".join(secrets.choice(_ID_LETTERS) for _ in range(6))


def catalogue(settings: Settings) -> Catalogue:
    """What the bot knows to do and where; raises Misconfigured."""
    read = library_of(settings)
    wanted = {"reason": settings.bot.require_reason, "ticket": settings.bot.require_ticket}
    requires = tuple(option for option, needed in wanted.items() if needed)
    return Catalogue(inventory=settings.inventory, procedures=read.procedures, rules=read.rules, requires=requires)


def timings(settings: Settings) -> Timings:
    """The lengths of time that the settings give."""
    bot = settings.bot
    return Timings(
        drain=bot.drain,
        approval_open=bot.approval_open,
        approval_repeats=bot.approval_repeats,
        count_every=bot.count_every,
        watch_every=bot.watch_every,
        lists_old=bot.package_lists_old,
    )


def hosts(settings: Settings, clock: SystemClock) -> SshHosts:
    """The hosts, over SSH; raises Misconfigured for files that are not there."""
    ssh = settings.ssh
    for unread in unread_config(settings):
        raise Misconfigured(unread)
    config = [path for path in ssh.config if os.access(path, os.R_OK)]
    return SshHosts(config, ssh.known_hosts, ssh.connect_timeout, ssh.keepalive, clock)


def _allowed(people: PeoplePart) -> Allowed:
    return Allowed(users=frozenset(people.users), usergroup=people.usergroup)


class LogLine(logging.Formatter):
    """One line of the log, and below it the traceback if there is one: an error's text may be of a host or a person.

    What is about a run has `run=… seq=… step=…` at its end: its id, its last fact, its step at hand.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        given = ((key, getattr(record, key, None)) for key in ("run", "seq", "step"))
        fields = [f"{key}={value}" for key, value in given if value is not None]
        return " ".join([in_line(redact(super().formatMessage(record))), *fields])

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def log_to(stream: TextIO) -> logging.Handler:
    """Have everything from INFO on logged there, secrets hidden; what nobody catches too."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for loud in ("apscheduler", "asyncssh"):
        logging.getLogger(loud).setLevel(logging.WARNING)
    sys.excepthook = lambda *error: log.critical("the bot ends with an error of its own", exc_info=error)
    return handler


@asynccontextmanager
async def joined(settings: Settings, tokens: Tokens) -> AsyncIterator[SlackApp]:
    """A whole bot, started; on leaving, what is under way is finished, recorded and posted, then all is closed."""
    # What the settings name is read first: a bot that cannot start opens and makes nothing.
    known, clock = catalogue(settings), SystemClock()
    reach = hosts(settings, clock)
    async with AsyncExitStack() as stack:
        stack.enter_context(single_instance(settings.bot.journal))
        # Closed before the lock is given up: a bot that waits for it must not reach hosts beside these connections.
        stack.push_async_callback(reach.close)
        try:
            opened = await stack.enter_async_context(SqlJournal(url_of(settings.bot.journal)))
        except JournalError as unusable:  # as much a reason not to start as a mistake in the settings
            raise Misconfigured(str(unusable)) from unusable
        token = tokens.bot_token.get_secret_value()
        client = await stack.enter_async_context(web_client(token=token, api_url=tokens.api_url))
        approvers = _allowed(settings.people.approvers)
        people = SlackPeople(
            client=client,
            requesters=_allowed(settings.people.requesters),
            approvers=approvers,
            channels=frozenset(settings.slack.channels),
            team=settings.slack.team,
        )
        thread = SlackAnnouncer(
            client=client,
            journal=opened,
            posts=opened.posts,
            approvers=approvers,
            record=markdown,
            home=settings.slack.channels,
            may_post_in=people.may_post_in,
            now=clock.now,
        )
        stack.push_async_callback(thread.close)
        alarms = ApsAlarms(clock)
        ports = Ports(
            journal=opened,
            hosts=reach,
            announcer=thread,
            alarms=alarms,
            clock=clock,
            people=people,
            proposals=FolderProposals(settings.bot.configs),
            timings=timings(settings),
        )
        service = Service(ports, known, new_id)
        app = SlackApp(
            client=client,
            app_token=tokens.app_token.get_secret_value(),
            service=service,
            people=people,
            threads=thread,
        )
        # Before any run is taken up: a bot whose token is refused would begin something in each life, and drop it.
        await app.sign_in()
        alarms.start()
        stack.push_async_callback(alarms.stop)
        stack.push_async_callback(service.close)
        await thread.start(await opened.open_runs())
        taken = await recover(ports, service)
        # Only now: a run that was asked for meanwhile would be taken up twice, and a click would find no run.
        stack.push_async_callback(app.close)
        await app.listen()
        log.info("the bot is up; runs under way: %s", ", ".join(taken) or "none")
        yield app


async def serve(config: Path, tokens: Tokens) -> int:
    """Run the bot until it is asked to stop (0), or Slack can no longer be heard (1, to be started anew).

    Raises Misconfigured; where runs are under way, people are called before.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    try:
        async with joined(read_settings(config), tokens) as app:
            return await _served(app, stop)
    except Misconfigured as wrong:
        await call_people(config, tokens, str(wrong), stop, in_slack=isinstance(wrong, TokenRefused))
        raise


async def _served(app: SlackApp, stop: asyncio.Event) -> int:
    stopped = asyncio.create_task(stop.wait())
    either: set[asyncio.Future[Any]] = {stopped, app.failed}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        log.info("asked to stop: what is under way is finished first")
        return 0
    stopped.cancel()
    log.error("leaving, to be started anew: %s", app.failed.result())
    return 1


async def dry_run(settings: Settings, request: Request) -> DryRun:
    """What would run, with its preflight looked at now; needs no Slack and no journal. Raises Refused."""
    clock = SystemClock()
    reach = hosts(settings, clock)
    planner = Planner(catalogue(settings), reach, clock, timings(settings), FolderProposals(settings.bot.configs))
    try:
        return await planner.dry_run(request, new_id())
    finally:
        await reach.close()
