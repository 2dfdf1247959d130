"""The journal in a database, and the thread's own notes beside it. Knows SQL and facts, nothing of what they mean."""

from __future__ import annotations

from bot.adapters.journal.facts import SqlJournal
from bot.adapters.journal.posts import Post, SqlPosts

__all__ = ["Post", "SqlJournal", "SqlPosts"]
