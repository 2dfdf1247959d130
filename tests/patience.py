"""How long a test waits for what has to come: a bound and no promise, longer than a loaded machine needs."""

from datetime import timedelta

PATIENCE = timedelta(minutes=2)
SECONDS = PATIENCE.total_seconds()
