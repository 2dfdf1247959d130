"""A host's file system, in memory: no command of the practice ring ever touches the real one."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

_MOST_LINKS = 8


@dataclass(kw_only=True)
class File:
    """A regular file."""

    data: bytes
    changed: datetime
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


@dataclass(kw_only=True)
class Link:
    """A symbolic link; its target may be relative, and need not exist."""

    target: str
    mode: int = 0o777
    owner: str = "root"
    group: str = "root"


@dataclass(kw_only=True)
class Directory:
    """A directory; its entries stand in the order they were made, as `find` on a real disk sorts nothing."""

    entries: dict[str, Node] = field(default_factory=dict)
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"


Node = File | Link | Directory

KNOWN = frozenset({"root", "dovecot", "dovenull", "vmail", "mail"})
"""The users that a pretend host knows, each with a group of its name."""


def letter(node: Node) -> str:
    """The type of a node as find's %y and -type have it: f, l or d."""
    match node:
        case File():
            return "f"
        case Link():
            return "l"
        case Directory():
            return "d"


def parts(path: str) -> list[str]:
    """The names along an absolute path, dots resolved."""
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in {"", "."}:
            names.append(name)
    return names


class Disk:
    """One file system. Paths are absolute; one that is not is taken from the root.

    `removed` is told what is taken away, by its path.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        """An empty root directory; files get their times from `now`."""
        self.root = Directory()
        self.removed: Callable[[str, Node], None] = lambda _path, _node: None
        self._now = now

    def look(self, path: str, *, follow: bool = True) -> Node | None:
        """The node at a path, or None; a link at its very end is followed if `follow`."""
        return self._walk_to(parts(path), follow=follow, links=_MOST_LINKS)

    def _walk_to(self, names: list[str], *, follow: bool, links: int) -> Node | None:
        node: Node = self.root
        for index, name in enumerate(names):
            child = node.entries.get(name) if isinstance(node, Directory) else None
            if child is None:
                return None
            rest = names[index + 1 :]
            if isinstance(child, Link) and (rest or follow):
                base = "" if child.target.startswith("/") else "/".join(names[:index])
                onward = [*parts(f"{base}/{child.target}"), *rest]
                return self._walk_to(onward, follow=follow, links=links - 1) if links else None
            node = child
        return node

    def parent(self, path: str) -> Directory | None:
        """The directory that holds the path, if there is one."""
        node = self.look("/".join(parts(path)[:-1]))
        return node if isinstance(node, Directory) else None

    def place(self, path: str, node: Node) -> bool:
        """Put a node at a path, in place of what is there; False when the directory above is missing."""
        above = self.parent(path)
        names = parts(path)
        if above is None or not names:
            return False
        above.entries[names[-1]] = node
        return True

    def make_directory(self, path: str, mode: int = 0o755) -> bool:
        """A directory and those above it, as `mkdir -p`; False when something else is in the way."""
        node = self.root
        for name in parts(path):
            child = node.entries.setdefault(name, Directory(mode=0o755))
            if not isinstance(child, Directory):
                return False
            node = child
        node.mode = mode
        return True

    def write(self, path: str, text: str | bytes, mode: int = 0o644, group: str = "root") -> None:
        """A file of root's with this content, and the directories above it."""
        above = "/".join(parts(path)[:-1])
        if self.parent(path) is None:
            self.make_directory(above)
        data = text.encode() if isinstance(text, str) else text
        self.place(path, File(data=data, mode=mode, group=group, changed=self._now()))

    def read(self, path: str) -> bytes | None:
        """A file's content, or None when there is no such file."""
        node = self.look(path)
        return node.data if isinstance(node, File) else None

    def remove(self, path: str) -> Node | None:
        """Take away what is at a path, with all below it, and say what it was."""
        above = self.parent(path)
        names = parts(path)
        node = above.entries.pop(names[-1], None) if above is not None and names else None
        if node is not None:
            self.removed("/" + "/".join(names), node)
        return node

    def names(self, path: str) -> list[str]:
        """The names in a directory, dot files too; none when it is not there."""
        node = self.look(path)
        return list(node.entries) if isinstance(node, Directory) else []

    def tree(self, path: str) -> Iterator[tuple[str, Node]]:
        """Every path below and including this one, each before those below it; links not followed."""
        node = self.look(path, follow=False)
        if node is None:
            return
        yield path, node
        if isinstance(node, Directory):
            for name in list(node.entries):
                yield from self.tree(f"{path.rstrip('/')}/{name}")

    def glob(self, pattern: str) -> list[str]:
        """The paths that an absolute pattern stands for, sorted, dot files only where it has the dot itself."""
        found = [""]
        for part in (piece for piece in pattern.split("/") if piece):
            found = [
                f"{above}/{name}"
                for above in found
                for name in self.names(above)
                if fnmatch.fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))
            ]
        return sorted(found)
