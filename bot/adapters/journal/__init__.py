"""The journal in a database: the facts of all runs. Beside them: what runs claim, who released a run, an index of
the runs, a row each from its first fact on, and what was posted to Slack.
"""

from __future__ import annotations

from bot.adapters.journal.facts import SqlJournal
from bot.adapters.journal.file import url_of
from bot.adapters.journal.posts import SqlPosts

__all__ = ["SqlJournal", "SqlPosts", "url_of"]
