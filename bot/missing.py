"""What the settings name and is not there, or cannot be used: said by `check`, and before a bot starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bot.adapters.configs import FolderProposals
from bot.config import Settings, read_settings
from bot.errors import Misconfigured, Refused
from bot.library import library_of


def unread_config(settings: Settings) -> Iterator[str]:
    """The SSH configs that the settings name and that cannot be read; the usual one may be missing."""
    for path in settings.ssh.config if "config" in settings.ssh.model_fields_set else ():
        if not os.access(path, os.R_OK):
            yield f"{path}: the settings name this SSH config, and it is not there or cannot be read"


def mistake(config: Path) -> str:
    """What keeps a bot from starting with these settings, empty where nothing does."""
    try:
        settings = read_settings(config)
        library_of(settings)
    except Misconfigured as wrong:
        return str(wrong)
    return next(unread_config(settings), "")


def _not_there(settings: Settings) -> Iterator[str]:
    """The files without which `serve` does not start, each with its place in the settings."""
    yield from (f"ssh.config: {mistake}" for mistake in unread_config(settings))
    folder = Path(os.path.realpath(settings.bot.journal)).parent
    try:
        if not folder.is_dir():
            yield f"bot.journal: {folder}: this folder is not there"
    except OSError as error:
        yield f"bot.journal: {folder}: it cannot be seen whether this folder is there: {error.strerror}"


async def missing(settings: Settings) -> list[str]:
    """What the settings name and is not there, or cannot be used, each with its place in them."""
    found = list(_not_there(settings))
    proposals = FolderProposals(settings.bot.configs)
    for number, ring in enumerate(settings.rings):
        try:
            if ring.proposed is not None:
                await proposals.proposal(ring.proposed)
        except Refused as refused:
            where = f"{settings.bot.configs}: " if settings.bot.configs else ""
            found.append(f"rings.{number}.proposed: {where}{refused}")
    return found
