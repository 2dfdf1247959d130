"""All that can be looked at on a host: the table of the probes, each named by what it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType

from bot.core.hosts.command import Command
from bot.core.hosts.inventory import Target
from bot.core.plans import listing
from bot.core.readings import difference, packages, sessions, starts, trees
from bot.core.readings import outputs as readings
from bot.core.readings.outputs import Asks
from bot.core.readings.probe import Probe, probe

_TABLE_KEPT = 4 * 1024 * 1024
"""Bytes of a director's table: enough for fifty thousand backends."""


def _table(*argv: str) -> Callable[[Target, Asks], Command]:
    return lambda _target, _asks: Command(argv=("doveadm", "-f", "tab", *argv), keeps=_TABLE_KEPT)


_APT_SIMULATES = ("apt-get", "--simulate", "--yes", "--allow-downgrades", "--no-remove", "install")
"""With the options of the installation, so that it says no where that would."""
_DPKG_FORMAT = r"${Package}\t${Version}\t${db:Status-Status}\n"


def _downloaded_command(_target: Target, asks: Asks) -> Command:
    found = ("-maxdepth", "1", "-name", "*.deb", "-size", "+0", "-printf", r"%f\n")
    return Command(argv=("find", str(asks["folder"]), *found), root=False)


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
_FLUSH = "--property=Id,LoadState,ActiveState,Result,UnitFileState,InvocationID"
_UNIT = "--property=LoadState,ActiveState,SubState,Result,UnitFileState"


_ALL = (
    probe(
        "director-hosts",
        _table("director", "status"),
        readings.director_hosts,
        "",
        "vhosts state users usable_others others stranded",
    ),
    probe(
        "director-ring",
        _table("director", "ring", "status"),
        readings.director_ring,
        "",
        "synced status directors self members",
    ),
    probe(
        "dovecot-version",
        lambda _target, _asks: Command(argv=("dovecot", "--version")),
        readings.dovecot_version,
        "",
        "version",
    ),
    probe(
        "service",
        lambda _target, asks: Command(argv=("doveadm", "-f", "json", "service", "status", str(asks["name"]))),
        readings.service,
        "name",
        "stopped processes",
    ),
    probe("greeting", _greeting_command, readings.greeting, "port", "greets said", exits=_NO_CONNECTION),
    probe(
        "config-parses",
        lambda _target, asks: Command(argv=("doveconf", "-n", "-c", str(asks["path"])), keeps_output=False),
        readings.config_parses,
        "path",
        "parses said",
        exits={89: "doveconf: "},
        counts=True,
    ),
    probe(
        "config-starts",
        starts.command,
        starts.config_starts,
        "path",
        "starts said",
        exits=starts.EXITS,
        counts=True,
    ),
    probe(
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
    probe(
        "proxied-sessions",
        lambda target, _asks: Command(argv=("sh", "-c", sessions.COUNTED, str(target.backend.ip)), keeps=sessions.KEPT),
        sessions.proxied,
        "",
        "sessions",
    ),
    probe(
        "sessions",
        lambda _target, _asks: Command(argv=("doveadm", "-f", "tab", "who"), keeps=sessions.KEPT),
        sessions.logged_in,
        "",
        "sessions past_directors who",
    ),
    probe("mailbox-list", _mail_command("mailbox", "list"), readings.mailbox_list, "user", "folders"),
    probe(
        "mailbox-status",
        _mail_command("mailbox", "status", rest=("messages", "*")),
        readings.mailbox_status,
        "user",
        "folders messages",
    ),
    probe(
        "fetched-mail",
        _mail_command("fetch", rest=("text", "all"), keeps=False),
        readings.fetched_mail,
        "user",
        "bytes",
        counts=True,
    ),
    probe(
        "unit",
        lambda _target, asks: Command(argv=("systemctl", "show", _UNIT, str(asks["name"]))),
        readings.unit,
        "name",
        "load active result enabled",
    ),
    probe(
        "metacache-flush",
        lambda _target, asks: Command(argv=("systemctl", "show", _FLUSH, "dovecot", str(asks["unit"]))),
        readings.metacache_flush,
        "unit",
        "ready flushed dovecot invocation said",
    ),
    probe(
        "dovecot-packages",
        lambda _target, _asks: Command(
            argv=("dpkg-query", "--show", f"--showformat={_DPKG_FORMAT}", "dovecot*"), root=False
        ),
        packages.dovecot_packages,
        "",
        "installed",
        exits={1: "dpkg-query: ", 127: ""},
    ),
    probe(
        "packages",
        lambda _target, asks: Command(
            argv=("dpkg-query", "--show", f"--showformat={_DPKG_FORMAT}", *packages.names(asks)), root=False
        ),
        packages.installed_packages,
        "names",
        "installed status",
        exits={1: "dpkg-query: "},
    ),
    probe(
        "offered-packages",
        lambda _target, asks: Command(argv=("apt-cache", "madison", *packages.names(asks)), root=False),
        packages.offered,
        "names",
        "missing dovecot",
    ),
    probe(
        "package-changes",
        lambda _target, asks: Command(
            argv=(*_APT_SIMULATES, *(f"{name}={version}" for name, version in packages.specs(asks))), root=False
        ),
        packages.package_changes,
        "names",
        "refused removed_too changed_too added_too",
        exits={100: "E: "},
    ),
    probe(
        "candidate-packages",
        lambda _target, asks: Command(argv=("apt-cache", "policy", *packages.names(asks)), root=False),
        packages.candidates,
        "names",
        "candidates unchanged",
    ),
    probe(
        "package-manager",
        lambda _target, _asks: Command(argv=("apt-get", "check")),
        packages.manager,
        "",
        "state",
        exits={100: "E: "},
    ),
    probe(
        "package-lists",
        lambda _target, _asks: Command(argv=("sh", "-c", packages.LISTS_AGE), root=False),
        packages.lists_age,
        "hours_allowed",
        "hours old",
        in_words=packages.lists_in_words,
    ),
    probe(
        "space",
        lambda _target, asks: Command(argv=(*packages.FREE, str(asks["path"])), root=False),
        packages.free,
        "path",
        "free_mib",
    ),
    probe(
        "downloaded-packages",
        _downloaded_command,
        packages.downloaded,
        "names folder",
        "missing",
        exits={1: "find: "},
    ),
    probe(
        "packages-of-before",
        _downloaded_command,
        packages.to_go_back_to,
        "names folder",
        "way_back",
        exits={1: "find: "},
        in_words=packages.way_back_in_words,
    ),
    probe(
        "tree",
        trees.tree_command(trees.WITHOUT_OWNERS),
        trees.tree,
        "path",
        "digest files contents",
        exits={1: "find: "},
    ),
    probe(
        "owned-tree",
        trees.tree_command(listing.WHOLE),
        trees.owned_tree,
        "path",
        "files state listing",
        exits={1: "find: "},
    ),
    probe(
        "tree-changes",
        trees.tree_command(listing.WHOLE),
        trees.tree_changes,
        "path since",
        "difference",
        exits={1: "find: "},
    ),
    probe(
        "ownership",
        trees.tree_command(listing.OWNERS),
        trees.ownership,
        "path like",
        "difference new",
        "owners",
        exits={1: "find: "},
    ),
    probe("mounts", trees.mounts_question, trees.mounts, "path", "below"),
    # A metacache may have more entries than are kept; whether it is empty shows all the same.
    probe("files", trees.files_question, trees.files, "path", "exists count", "named", counts=True),
)

PROBES: Mapping[str, Probe] = MappingProxyType({probe.name: probe for probe in _ALL})
"""Every probe by its name."""
