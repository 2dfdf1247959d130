"""What the command line answers from the files of this machine alone: no Slack, no host, no bot is asked.

It is imported without them, too, so that the list and the record of a run are there at once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from bot.adapters.journal import SqlJournal, url_of
from bot.config import Settings
from bot.core.decisions.damage import Damaged, damage_in_words
from bot.core.decisions.summary import RunList
from bot.core.runs.events import RUN_ID, Entry
from bot.core.setup.sudoers import sudoers
from bot.engine.surveying import Survey, read_run, surveyed
from bot.errors import Refused
from bot.library import library_of


async def survey(settings: Settings, *, verify: bool = False) -> Survey:
    """The runs of the journal, the newest first, and those that are damaged, or gone and still claim something.

    With `verify` every fact of every run is read again, and not the index of those that have ended.
    """
    async with _opened(settings) as opened:
        everything = tuple(dict.fromkeys((*await opened.all_runs(), *await opened.open_runs()))) if verify else ()
        listed = RunList(others=everything) if verify else await opened.listed()
        return await surveyed(listed, functools.partial(read_run, opened))


async def readable(settings: Settings, run: str) -> tuple[Sequence[Entry], Damaged | None]:
    """The facts of a run as far as they are sound, and what is wrong with it; raises Refused when there are none."""
    if not RUN_ID.fullmatch(run):  # what is no text at all the journal could not even look for
        raise Refused(f"{run!a} is no run's id. `dovecot-bot runs` lists those there are.")
    async with _opened(settings) as opened:
        damaged = await opened.examine(run)
        entries = damaged.sound if damaged else await opened.entries(run)
    if not entries:
        raise Refused(damage_in_words(damaged) if damaged else f"There is no run {run} in the journal.")
    return entries, damaged


def _opened(settings: Settings) -> SqlJournal:
    return SqlJournal(url_of(settings.bot.journal), only_looks=True)


def sudo_rules(settings: Settings, host: str, user: str) -> str:
    """The sudo rules for one host of the inventory; raises Refused for an unknown one."""
    procedures = library_of(settings).procedures
    found = [
        sudoers(procedures, ring, known, user)
        for ring in settings.rings  # a director may stand in several
        for known in ring.hosts
        if known.name == host
    ]
    if not found:
        raise Refused(f"There is no host {host!r} in the inventory.")
    return "".join(dict.fromkeys(line for rules in found for line in rules.splitlines(keepends=True)))
