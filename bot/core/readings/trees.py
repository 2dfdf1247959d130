"""A tree of files as it stands on a host: what is in it, whose it is and who may read it; two of them compared. Pure.

It must not know what the files say: of a file's content it has a part of its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Target
from bot.core.plans.listing import ListedFile, listing
from bot.core.readings.outputs import Asks, Reading, no_answer
from bot.core.readings.ownership import NotFit, Owned, assigned, rules
from bot.errors import Unreadable

TREE_KEPT = 16 * 1024 * 1024
"""Bytes of a tree's list that are kept: enough for twenty thousand files with long names."""


def tree_command(expression: tuple[str, ...]) -> Callable[[Target, Asks], Command]:
    """A list of what is below `path`, and below `like` where one is asked for."""

    def command(_target: Target, asks: Asks) -> Command:
        roots = (str(asks[key]) for key in ("path", "like") if key in asks)
        return Command(argv=("find", *roots, *expression), keeps=TREE_KEPT)

    return command


_SUM = re.compile(r"([0-9a-f]{64})  (.+)")
_KEPT = 32
"""Characters of a content's digest that are kept."""


def owned_tree(_target: Target, asks: Asks, result: Result) -> Reading:
    """`listing` is the whole tree as text, for read_tree; `state` its digest, `none` where there is no tree."""
    text = _text(str(asks["path"]), result)
    files = sum(1 for entry in read_tree(text).values() if entry.kind == "f")
    state = hashlib.sha256(text.encode()).hexdigest() if text else "none"
    return {"files": files, "state": state, "listing": text}


def tree_changes(_target: Target, asks: Asks, result: Result) -> Reading:
    """What is not as it was when the listing `since` was read: `none`, or which entries."""
    before, now = read_tree(str(asks["since"])), read_tree(_text(str(asks["path"]), result))
    if not before:
        raise Unreadable("it was not read how it was before")
    return {"difference": ("; ".join(_changes(before, now)) or "none") if now else f"{asks['path']} is not there"}


def ownership(_target: Target, asks: Asks, result: Result) -> Reading:
    """Whose the entries of `path` are, compared with what `like` and the manifest `owners` make of them."""
    path, like = str(asks["path"]), str(asks["like"])
    tree, beside = listing(_lines(result, path, like), path, like)
    missing = [root for root, found in ((path, tree), (like, beside)) if not found]
    if missing:
        return {"difference": f"{missing[0]} is not there", "new": "none"}
    try:
        wanted = assigned({name: one.kind for name, one in tree.items()}, beside, rules(str(asks.get("owners", ""))))
    except NotFit as unfit:
        return {"difference": str(unfit), "new": "none"}
    wrong = (
        f"{name} is {Owned.of(tree[name])}, and {one.by} it is {one.owned}"
        for name, one in wanted.items()
        if Owned.of(tree[name]) != one.owned
    )
    new = (f"{name} {one.owned} {one.by}" for name, one in wanted.items() if one.is_new)
    return {"difference": "; ".join(wrong) or "none", "new": "; ".join(new) or "none"}


def _lines(result: Result, *roots: str) -> list[str]:
    """Raises Unreadable for an answer that is not find's; a root that is not there is an answer."""
    complaints = [line for line in result.stderr.splitlines() if line.strip()]
    missing = [root for root in roots if f"\t{root}\t" not in result.stdout]
    absent = bool(complaints) and all(_is_about(line, missing) for line in complaints)
    if result.exit_status != 0 and not (result.exit_status == 1 and absent):
        raise no_answer(result)
    return [line for line in result.stdout.split("\n") if line]


def _is_about(complaint: str, roots: list[str]) -> bool:
    """Whether find says that one of them is not there; quotes are the locale's."""
    gone = re.fullmatch(r"find: \W(.+)\W: No such file or directory", complaint)
    return gone is not None and gone[1] in roots


def _text(path: str, result: Result) -> str:
    """The tree as lines `PATH KIND MODE OWNER GROUP CONTENT`, tabs between, sorted; empty where there is none."""
    lines = _lines(result, path)
    sums = {found[2]: found[1][:_KEPT] for line in lines if (found := _SUM.fullmatch(line))}
    (tree,) = listing((line for line in lines if not _SUM.fullmatch(line)), path)
    if sums.keys() != {f"{path}/{name}" for name, one in tree.items() if one.kind == "f"}:
        raise Unreadable(f"the files in {path} were not read whole")
    entries = {name: replace(one, target=one.target or sums.get(f"{path}/{name}", "")) for name, one in tree.items()}
    return "\n".join(_line(name, entry) for name, entry in sorted(entries.items()))


def _line(name: str, one: ListedFile) -> str:
    return "\t".join((name, one.kind, f"{one.mode:o}", one.owner, one.group, one.target))


def read_tree(text: str) -> Mapping[str, ListedFile]:
    """A listing that was kept: its entries by path, the digest of a file's content in `target`; raises Unreadable."""
    entries: dict[str, ListedFile] = {}
    for line in text.split("\n") if text else ():
        try:
            path, kind, mode, owner, group, content = line.split("\t")
            entries[path] = ListedFile(
                kind=kind, mode=int(mode, 8), owner=owner, group=group, changed=0, target=content
            )
        except ValueError:
            raise Unreadable("it was not read how it was before") from None
    return entries


def _changes(before: Mapping[str, ListedFile], now: Mapping[str, ListedFile]) -> Iterator[str]:
    both = sorted(before.keys() & now.keys())
    found = {
        "changed": [name for name in both if _content(before[name]) != _content(now[name])],
        "added": sorted(now.keys() - before.keys()),
        "removed": sorted(before.keys() - now.keys()),
    }
    yield from (f"{what} {', '.join(names)}" for what, names in found.items() if names)
    for name in both:
        was, owned = Owned.of(before[name]), Owned.of(now[name])
        if was != owned:
            yield f"{name} is {owned}, was {was}"


def _content(entry: ListedFile) -> tuple[str, str]:
    return entry.kind, entry.target


# without owners: for stored plans, and procedures of a site


WITHOUT_OWNERS = (
    *("(", "-type", "l", "-printf", r"link %l\t%P\n", ")", ","),
    *("(", "-type", "f", "-printf", r"mode %m\t%P\n", ")", ","),
    *("(", "-type", "f", "-exec", "sha256sum", "{}", "+", ")"),
)


def tree(_target: Target, asks: Asks, result: Result) -> Reading:
    if result.exit_status:
        _must_not_be_there(result, str(asks["path"]))
        return {"digest": "none", "files": 0, "contents": "none"}
    lines = []
    prefix = f"{asks['path']}/"
    for line in result.stdout.splitlines():
        digest, _, path = line.partition("  ")
        lines.append(f"{digest}  {path.removeprefix(prefix)}" if re.fullmatch(r"[0-9a-f]{64}", digest) else line)
    files = sum(1 for line in lines if line.startswith("mode "))
    return {"digest": tree_digest(lines), "files": files, "contents": contents_digest(lines)}


def _must_not_be_there(result: Result, path: str) -> None:
    """Raises Unreadable unless find says of this directory that there is none."""
    complaints = [line for line in result.stderr.splitlines() if line.strip()]
    if result.stdout or len(complaints) != 1 or not _is_about(complaints[0], [path]):
        raise no_answer(result)


def tree_digest(lines: list[str]) -> str:
    """One digest of a tree, from lines such as `mode 644<TAB>PATH`, `SHA256  PATH` and `link TARGET<TAB>PATH`."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def contents_digest(lines: list[str]) -> str:
    """The same without modes: what the files and links are, whoever may read them."""
    return tree_digest([line for line in lines if not line.startswith("mode ")])


def files_question(_target: Target, asks: Asks) -> Command:
    """The folder itself, and what is in it, of some name where one is asked for."""
    path, prints = str(asks["path"]), ("-printf", r"%y\t%p\n")
    if "named" not in asks:
        return Command(argv=("find", path, "-xdev", "-maxdepth", "1", *prints), keeps=TREE_KEPT)
    itself, named = ("(", "-path", path, *prints, ")"), ("(", "-name", str(asks["named"]), *prints, ")")
    return Command(argv=("find", path, "-xdev", "-maxdepth", "1", *itself, ",", *named))


def files(_target: Target, asks: Asks, result: Result) -> Reading:
    """Whether the folder is there, and how many entries it has; of more than are kept, as many as are kept."""
    entries = [line.split("\t", 1) for line in result.stdout.splitlines()]
    itself = ["d", asks["path"]] in entries
    if not entries or ("named" in asks and not itself):  # of what is in a link, find says nothing
        raise Unreadable(f"`{result.command}` does not say that {asks['path']} is a folder")
    return {"exists": itself, "count": sum(entry[-1] != asks["path"] for entry in entries)}


MOUNTED = 'realpath -e -- "$0" && cat /proc/self/mountinfo'
"""Where the folder really is, and all that is mounted on its host."""
_ESCAPED = re.compile(r"\\([0-7]{3})")


def mounts_question(_target: Target, asks: Asks) -> Command:
    argv = ("sh", "-c", MOUNTED, str(asks["path"]))
    return Command(argv=argv, keeps=TREE_KEPT)


def mounts(_target: Target, asks: Asks, result: Result) -> Reading:
    """What is mounted below a folder: `none`, or where.

    To `find -xdev`, a folder of the same file system that is mounted there is no other one: it empties that, too.
    """
    path, *lines = result.stdout.splitlines() or [""]
    points = [_ESCAPED.sub(lambda one: chr(int(one[1], 8)), (*line.split(), *[""] * 5)[4]) for line in lines]
    if not path.startswith("/") or "/" not in points:
        raise Unreadable(f"`{result.command}` does not say what is mounted below {asks['path']}")
    below = [point for point in points if point.startswith(f"{path}/")]
    more = f" and {len(below) - 3} more" if len(below) > 3 else ""
    return {"below": f"{', '.join(below[:3])}{more}" if below else "none"}
