"""The errors of databases in the bot's words, by one table: what happened, and what to do."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from bot.errors import Illegal, JournalError

_WHAT_TO_DO = (
    ("is full", "the disk or the database's size limit is full: make room, then the run goes on by itself"),
    ("is locked", "another program has held it for more than 5 seconds: find it (`fuser` on the file) and end it"),
    ("readonly", "it cannot be written: give the file and its directory to the bot's user, and mount it writable"),
    ("unable to open", "it cannot be opened: its directory must exist and belong to the bot's user"),
    ("disk i/o error", "the disk failed: look at the kernel's log before anything else, and at the last backup"),
    ("malformed", "the file is damaged: stop the bot, keep a copy, restore the last backup (deploy/README.md)"),
    ("not a database", "the file is no SQLite database: the `journal` setting names the wrong file"),
    ("no such table", "its tables are gone: the `journal` setting names another file, or the file was replaced"),
    ("connection refused", "the database server does not answer: start it, or correct its address in the URL"),
)
_ELSE = "see what the database says, and start the bot again when it answers"


def only_read(error: JournalError) -> bool:
    """Whether it could not be written because it may only be read: enough for whoever only looks."""
    return "readonly" in str(error)


def translated(error: Exception, name: str) -> JournalError:
    """The error in the bot's words."""
    message = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        message = f"unable to open: {message}"
    to_do = next((text for sign, text in _WHAT_TO_DO if sign in message.lower()), _ELSE)
    return JournalError(f"the journal ({name}) cannot be used: {message}. Nothing was written. What to do: {to_do}.")


def facts_missing(run: str, after: int) -> Illegal:
    """A run has fewer facts than the bot has read of it, or written."""
    return Illegal(
        f"run {run}: fact {after} is not there to be followed. Either an older copy was written over the journal while"
        " the bot had it open: then stop the bot, and restore it as deploy/README.md says (Backup and restore). Or the"
        " bot has a defect"
    )
