"""The rows of the table, in its order."""

from __future__ import annotations

from tests.bench.row import Row
from tests.bench.rows import kept, many, ring, slack

ROWS: tuple[Row, ...] = (*ring.ROWS, *slack.ROWS, *many.ROWS, *kept.ROWS)
