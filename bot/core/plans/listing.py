"""What find lists of a tree of files: who owns each entry, who may read it, when it was changed. Pure.

It must not know what the files say. Times are those of the host's own clock, or of the archive that a file came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bot.errors import Unreadable

FORMAT = r"%y\t%m\t%u\t%g\t%T@\t%p\t%l\n"
"""For find's `-printf`: kind, mode, owner, group, time, path and a link's target."""

OWNERS = ("(", "-printf", FORMAT, ")")
"""What find prints of every entry."""

WHOLE = (*OWNERS, ",", "(", "-type", "f", "-exec", "sha256sum", "{}", "+", ")")
"""That, and the content of every file."""

_LINE = re.compile(r"([a-zA-Z])\t([0-7]{1,4})\t([^\t]+)\t([^\t]+)\t(-?\d{1,12})(?:\.\d*)?\t([^\t]+)\t([^\t]*)")


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """One entry. `kind` is find's letter (f, d, l, …); `changed` in whole seconds since 1970."""

    kind: str
    mode: int
    owner: str
    group: str
    changed: int
    target: str = ""


def listing(lines: Iterable[str], *roots: str) -> tuple[dict[str, ListedFile], ...]:
    """By root, its entries by their path below it (`.` is the root itself); raises Unreadable for any other line."""
    trees: tuple[dict[str, ListedFile], ...] = tuple({} for _ in roots)
    for line in lines:
        found = _LINE.fullmatch(line)
        path = found[6] if found else ""
        at = next((at for at, root in enumerate(roots) if path == root or path.startswith(f"{root}/")), None)
        if found is None or at is None:
            raise Unreadable(f"no entry of a list of files: {line[:80]!r}")
        kind, mode, owner, group, changed, _, target = found.groups()
        trees[at][path[len(roots[at]) + 1 :] or "."] = ListedFile(
            kind=kind, mode=int(mode, 8), owner=owner, group=group, changed=int(changed), target=target
        )
    return trees
