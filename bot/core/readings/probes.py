"""What can be looked at on a host: each probe is a question as a command, and the reading of its answer.

A probe is named by what it sees. Its parameters come from the procedure; what it reads can be expected there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Target
from bot.core.plans import listing
from bot.core.readings import difference, packages, sessions, starts, trees
from bot.core.readings import outputs as readings
from bot.core.readings.outputs import Asks, Exits, Reading


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A question to a host. `parameters` are the keys it needs, `fields` the keys that its reading has.

    `kept`: fields that are remembered and compared, and shown to nobody. `shows`: what people are shown of an answer,
    in short and whole, where that is not what was printed. `in_words`: a reading in words,
    where its fields are too little.
    """

    name: str
    parameters: frozenset[str]
    fields: frozenset[str]
    optional: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    command: Callable[[Target, Asks], Command]
    read: Callable[[Target, Asks, Result], Reading]
    shows: Callable[[Asks, Result], tuple[str, str]] | None = None
    in_words: Callable[[Reading], str] | None = None


def _doveadm(*argv: str) -> Callable[[Target, Asks], Command]:
    return lambda _target, _asks: Command(argv=("doveadm", *argv))


_TREE = (
    *("(", "-type", "l", "-printf", r"link %l\t%P\n", ")", ","),
    *("(", "-type", "f", "-printf", r"mode %m\t%P\n", ")", ","),
    *("(", "-type", "f", "-exec", "sha256sum", "{}", "+", ")"),
)


TREE_KEPT = 16 * 1024 * 1024
"""Bytes of a tree's list that are kept: enough for twenty thousand files with long names."""

_APT_SIMULATES = ("apt-get", "--simulate", "--yes", "--allow-downgrades", "--no-remove", "install")
"""With the options of the installation, so that it says no where that would."""
_DPKG_FORMAT = r"${Package}\t${Version}\t${db:Status-Status}\n"


def _files_command(_target: Target, asks: Asks) -> Command:
    named = ("-name", str(asks["named"])) if "named" in asks else ()
    depth = ("-mindepth", "1") if "named" in asks else ()
    path = str(asks["path"])
    return Command(argv=("find", path, "-xdev", *depth, "-maxdepth", "1", *named, "-printf", r"%y\t%p\n"))


def _downloaded_command(_target: Target, asks: Asks) -> Command:
    found = ("-maxdepth", "1", "-name", "*.deb", "-size", "+0", "-printf", r"%f\n")
    return Command(argv=("find", str(asks["folder"]), *found), root=False)


def _find(expression: tuple[str, ...]) -> Callable[[Target, Asks], Command]:
    """A list of what is below `path`, and below `like` where one is asked for."""

    def command(_target: Target, asks: Asks) -> Command:
        roots = (str(asks[key]) for key in ("path", "like") if key in asks)
        return Command(argv=("find", *roots, *expression), keeps=TREE_KEPT)

    return command


def _mail_command(*argv: str, rest: tuple[str, ...] = (), keeps: bool = True) -> Callable[[Target, Asks], Command]:
    return lambda _target, asks: Command(
        argv=("doveadm", *argv, "-u", str(asks["user"]), *rest),
        keeps_output=keeps,
        timeout=timedelta(minutes=2),
    )


def _greeting_command(target: Target, asks: Asks) -> Command:
    script = 'exec 3<>"/dev/tcp/$0/$1" && head -n 1 <&3'
    argv = ("timeout", "5", "bash", "-c", script, str(target.backend.ip), str(asks["port"]))
    return Command(argv=argv, root=False)


_NO_CONNECTION = {1: r"\S+: (?:line \d+: /dev/tcp/|connect: )", 124: ""}
_FLUSH = "--property=LoadState,ActiveState,Result,UnitFileState"
_UNIT = "--property=LoadState,ActiveState,SubState,Result,UnitFileState"


def _probe(  # noqa: PLR0917 - a table reads better without its column names
    name: str,
    command: Callable[[Target, Asks], Command],
    read: Callable[[Target, Asks, Result], Reading],
    parameters: str,
    fields: str,
    optional: str = "",
    exits: Exits = MappingProxyType({}),
    shows: Callable[[Asks, Result], tuple[str, str]] | None = None,
    in_words: Callable[[Reading], str] | None = None,
) -> Probe:
    """`exits`: the exit statuses beside 0 with which the command answers; any other is somebody else's, or trouble."""

    def answered(target: Target, asks: Asks, result: Result) -> Reading:
        readings.own_answer(result, exits)
        return read(target, asks, result)

    return Probe(
        name=name,
        command=command,
        read=answered,
        shows=shows,
        in_words=in_words,
        parameters=frozenset(parameters.split()),
        fields=frozenset(fields.split()),
        optional=frozenset(optional.split()),
        kept=_KEPT & frozenset(fields.split()),
    )


_KEPT = frozenset({"listing"})

_ALL = (
    _probe(
        "director-hosts",
        _doveadm("-f", "tab", "director", "status"),
        readings.director_hosts,
        "",
        "vhosts state users usable_others others stranded",
    ),
    _probe(
        "director-ring",
        _doveadm("-f", "tab", "director", "ring", "status"),
        readings.director_ring,
        "",
        "synced status directors self members",
    ),
    _probe(
        "dovecot-version",
        lambda _target, _asks: Command(argv=("dovecot", "--version")),
        readings.dovecot_version,
        "",
        "version",
    ),
    _probe(
        "service",
        lambda _target, asks: Command(argv=("doveadm", "-f", "json", "service", "status", str(asks["name"]))),
        readings.service,
        "name",
        "stopped processes",
    ),
    _probe("greeting", _greeting_command, readings.greeting, "port", "greets said", exits=_NO_CONNECTION),
    _probe(
        "config-parses",
        lambda _target, asks: Command(argv=("doveconf", "-n", "-c", str(asks["path"])), keeps_output=False),
        readings.config_parses,
        "path",
        "parses said",
        exits={89: "doveconf: "},
    ),
    _probe("config-starts", starts.question, starts.config_starts, "path", "starts said", exits=starts.EXITS),
    _probe(
        "config-difference",
        lambda _target, asks: Command(
            argv=("sh", "-c", difference.SCRIPT, str(asks["path"]), str(asks["to"])),
            keeps=difference.KEPT,
            timeout=timedelta(minutes=2),
        ),
        readings.config_difference,
        "path to",
        "changed_lines lines changed added removed newer",
        exits={1: "", 2: "diff: "},
        shows=readings.shown_difference,
    ),
    _probe(
        "proxied-sessions",
        lambda target, _asks: Command(argv=("sh", "-c", sessions.COUNTED, str(target.backend.ip)), keeps=sessions.KEPT),
        sessions.proxied,
        "",
        "sessions",
    ),
    _probe(
        "sessions",
        lambda _target, _asks: Command(argv=("doveadm", "-f", "tab", "who"), keeps=sessions.KEPT),
        sessions.logged_in,
        "",
        "sessions past_directors who",
    ),
    _probe("mailbox-list", _mail_command("mailbox", "list"), readings.mailbox_list, "user", "folders"),
    _probe(
        "mailbox-status",
        _mail_command("mailbox", "status", rest=("messages", "*")),
        readings.mailbox_status,
        "user",
        "folders messages",
    ),
    _probe(
        "fetched-mail",
        _mail_command("fetch", rest=("text", "all"), keeps=False),
        readings.fetched_mail,
        "user",
        "bytes",
    ),
    _probe(
        "unit",
        lambda _target, asks: Command(argv=("systemctl", "show", _UNIT, str(asks["name"]))),
        readings.unit,
        "name",
        "load active result enabled",
    ),
    _probe(
        "metacache-flush",
        lambda _target, asks: Command(argv=("systemctl", "show", _FLUSH, "dovecot", str(asks["unit"]))),
        readings.metacache_flush,
        "unit",
        "ready flushed said",
    ),
    _probe(
        "dovecot-packages",
        lambda _target, _asks: Command(
            argv=("dpkg-query", "--show", f"--showformat={_DPKG_FORMAT}", "dovecot*"), root=False
        ),
        readings.dovecot_packages,
        "",
        "installed",
        exits={1: "dpkg-query: ", 127: ""},
    ),
    _probe(
        "packages",
        lambda _target, asks: Command(
            argv=("dpkg-query", "--show", f"--showformat={_DPKG_FORMAT}", *readings.names(asks)), root=False
        ),
        readings.installed_packages,
        "names",
        "installed status",
        exits={1: "dpkg-query: "},
    ),
    _probe(
        "offered-packages",
        lambda _target, asks: Command(argv=("apt-cache", "madison", *readings.names(asks)), root=False),
        readings.offered,
        "names",
        "missing dovecot",
    ),
    _probe(
        "package-changes",
        lambda _target, asks: Command(
            argv=(*_APT_SIMULATES, *(f"{name}={version}" for name, version in readings.specs(asks))), root=False
        ),
        readings.package_changes,
        "names",
        "refused removed_too changed_too added_too",
        exits={100: "E: "},
    ),
    _probe(
        "candidate-packages",
        lambda _target, asks: Command(argv=("apt-cache", "policy", *readings.names(asks)), root=False),
        packages.candidates,
        "names",
        "candidates unchanged",
    ),
    _probe(
        "package-manager",
        lambda _target, _asks: Command(argv=("apt-get", "check")),
        packages.manager,
        "",
        "state",
        exits={100: "E: "},
    ),
    _probe(
        "package-lists",
        lambda _target, _asks: Command(argv=("sh", "-c", packages.LISTS_AGE), root=False),
        packages.lists_age,
        "hours_allowed",
        "hours old",
        in_words=packages.lists_in_words,
    ),
    _probe(
        "space",
        lambda _target, asks: Command(argv=(*packages.FREE, str(asks["path"])), root=False),
        packages.free,
        "path",
        "free_mib",
    ),
    _probe(
        "downloaded-packages",
        _downloaded_command,
        packages.downloaded,
        "names folder",
        "missing",
        exits={1: "find: "},
    ),
    _probe(
        "packages-of-before",
        _downloaded_command,
        packages.to_go_back_to,
        "names folder",
        "way_back",
        exits={1: "find: "},
        in_words=packages.way_back_in_words,
    ),
    _probe(
        "tree",
        _find(_TREE),
        readings.tree,
        "path",
        "digest files contents",
        exits={1: "find: "},
    ),
    _probe("owned-tree", _find(listing.WHOLE), trees.owned_tree, "path", "files state listing", exits={1: "find: "}),
    _probe("tree-changes", _find(listing.WHOLE), trees.tree_changes, "path since", "difference", exits={1: "find: "}),
    _probe(
        "ownership",
        _find(listing.OWNERS),
        trees.ownership,
        "path like",
        "difference new",
        "owners",
        exits={1: "find: "},
    ),
    _probe("files", _files_command, readings.files, "path", "exists count", "named"),
)

PROBES: Mapping[str, Probe] = MappingProxyType({probe.name: probe for probe in _ALL})
"""Every probe by its name."""
