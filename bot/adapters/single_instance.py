"""One bot per journal: a lock on a file beside it, that the kernel lets go when the process ends, however it ends.

Beside the file itself, whatever links lead to it; and never on it: closing a second descriptor of an SQLite file drops
the locks that SQLite holds on it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.errors import InUse, Misconfigured


@contextmanager
def single_instance(journal: Path) -> Iterator[None]:
    """Hold the lock; raises InUse when another process has it, by whatever name it calls the journal.

    Raises Misconfigured when there can be none.
    """
    itself = Path(os.path.realpath(journal))
    path = itself.with_name(itself.name + ".lock")
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"{path}: cannot be opened: {error.strerror}. What to do: its directory must exist, and it and what lies in"
            " it belong to the user whom the bot runs as"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        other = os.read(lock, 32).decode(errors="replace").strip()
        os.close(lock)
        raise InUse(f"{journal}: another bot (process {other or 'unknown'}) is using this journal") from None
    try:
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(lock)
