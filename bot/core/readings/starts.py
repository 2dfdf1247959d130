"""Whether Dovecot would start with a tree of configuration: read as it will stand, without putting it there.

`doveconf -n` opens no file that a value is read from (`<file`), and what is included by its full path it takes from the
tree in place. So the tree is bound over it, in a mount namespace that nobody else sees and that ends with the command.
"""

from __future__ import annotations

import re

from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Target
from bot.core.readings.outputs import Asks, Reading

NOT_SEEN = "not seen"
"""Neither yes nor no: the host lets nobody make a mount namespace. The tree parses, at least."""

NOT_THERE = "not there"
"""There is no such tree: it may stand in its place already."""

_ONLY_PARSED, _NO_TREE = 77, 66

BOUND = 'mount --bind "$0" /etc/dovecot && exec doveconf -x -n -c /etc/dovecot/dovecot.conf >/dev/null'
"""$0: the tree. With -x doveconf reads what is named by `<file`, keys too: what it prints does not leave the host."""

SCRIPT = (
    f'test -d "$0" || exit {_NO_TREE};'
    ' unshare --mount --propagation private sh -c "$1" "$0"; status=$?;'
    ' [ "$status" = 1 ] || [ "$status" = 32 ] || exit "$status";'
    f' doveconf -n -c "$0/dovecot.conf" >/dev/null && exit {_ONLY_PARSED}'
)
"""$0: the tree, $1: BOUND. unshare fails with 1 and mount with 32; the tree is then parsed where it lies."""

CONFIGURATION = "/etc/dovecot"
IN_PLACE = f"exec doveconf -x -n -c {CONFIGURATION}/dovecot.conf >/dev/null"
"""What stands there already needs no namespace."""

EXITS = {_NO_TREE: "", _ONLY_PARSED: "unshare: |mount: ", 89: "doveconf: "}


def command(_target: Target, asks: Asks) -> Command:
    if asks["path"] == CONFIGURATION:
        return Command(argv=("sh", "-c", IN_PLACE), keeps_output=False)
    return Command(argv=("sh", "-c", SCRIPT, str(asks["path"]), BOUND), keeps_output=False)


def config_starts(_target: Target, _asks: Asks, result: Result) -> Reading:
    """`said`: what doveconf complains of, or what was not looked at and why."""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    if result.exit_status == _ONLY_PARSED:
        why = next(line for line in lines if re.match(EXITS[_ONLY_PARSED], line))
        return {"starts": NOT_SEEN, "said": f"{_UNSEEN} {why[:200]}"}
    if result.exit_status == _NO_TREE:
        return {"starts": NOT_THERE, "said": ""}
    return {"starts": not result.exit_status, "said": _reordered(lines[-1]) if lines and result.exit_status else ""}


def _reordered(line: str) -> str:
    """`ssl_key: Can't open file PATH` the other way round: after such a name and a colon all is hidden as a secret."""
    return re.sub(r"([^\s:]+): (Can't open file .*)", r"\2 (\1)", line)[:300]


_UNSEEN = (
    "whether dovecot starts with it: it parses where it lies, but certificates, keys and other files that it names were"
    " not read, and what it includes by a full path was read from /etc/dovecot. No mount namespace can be made there:"
)
