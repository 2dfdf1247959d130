"""What asyncssh and the network say, in words for people: what happened, where, and what to do. One table."""

from __future__ import annotations

import errno
import os
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path

import asyncssh


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The host as OpenSSH's configuration resolves it. `jump`: the host before it on the way there."""

    name: str
    host: str
    port: int
    user: str
    jump: str
    seconds: float
    known_hosts: Path

    def __str__(self) -> str:
        return f"{self.name} ({self.user}@{self.host} port {self.port}{f' through {self.jump}' if self.jump else ''})"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A host key that was shown and is not trusted: the name it was looked up by, and what is known of that name."""

    name: str
    key: asyncssh.SSHKey
    known: tuple[str, ...]


_WORDS: tuple[tuple[type[Exception], str, str], ...] = (
    (TimeoutError, "no answer within {where.seconds:g} s", "see that it is up, and that no firewall stands between"),
    (
        socket.gaierror,
        "its name has no address ({error})",
        "correct it in DNS, or give it a HostName in the SSH config",
    ),
    (
        ConnectionRefusedError,
        "nothing listens on its SSH port",
        "start sshd there, or correct the port in the SSH config",
    ),
    (ConnectionResetError, "it broke the connection off", "read sshd's log there: it may refuse this address"),
    (
        asyncssh.PermissionDenied,
        "it does not let {where.user} in ({error})",
        "put the bot's public key into its authorized_keys, or correct User and IdentityFile in the SSH config",
    ),
    (
        asyncssh.HostKeyNotVerifiable,
        "its host key is not trusted: {error}",
        "compare its key with known_hosts, by hand",
    ),
    (asyncssh.KeyExchangeFailed, "no way to talk to it was agreed on ({error})", "bring its sshd up to date"),
    (asyncssh.ConnectionLost, "the connection was lost while it was made ({error})", "read sshd's log there"),
    (asyncssh.DisconnectError, "it ended the connection: {error}", "read sshd's log there"),
    (asyncssh.ChannelOpenError, "{where.jump} does not reach it ({error})", "see that it is up, and allow it there"),
    (asyncssh.ConfigParseError, "the SSH config cannot be read: {error}", "correct the file"),
    (asyncssh.KeyImportError, "a key of its SSH config cannot be used: {error}", "correct its IdentityFile"),
    (OSError, "it cannot be reached ({error})", "see that it is up, and that the files of its SSH config are there"),
    (ValueError, "a file of its SSH config cannot be used: {error}", "correct the file"),
)


FOREIGN = (asyncssh.Error, asyncssh.ConfigParseError, asyncssh.KeyImportError, OSError, ValueError)
"""All that connecting may raise."""


def explained(error: Exception, where: Endpoint) -> str:
    """Why there is no connection, and what to do."""
    if (used_up := _descriptors_used_up(error)) is not None:
        return (
            f"{where}: the bot's machine opens nothing more ({used_up}). What to do: raise LimitNOFILE of the bot's"
            f" service (`ulimit -n` where it is started by hand), or fs.file-max of the machine, and restart the bot."
        )
    if isinstance(error, asyncssh.KeyExchangeFailed) and "host key" in str(error):
        return _changed(where, f"it shows no key of the kinds that are known of it ({error})")
    what, to_do = next((what, to_do) for kind, what, to_do in _WORDS if isinstance(error, kind))
    text = " ".join(str(error).split())
    return f"{where}: {what.format(where=where, error=text)}. What to do: {to_do.format(where=where)}."


def _descriptors_used_up(error: Exception) -> str | None:
    """What the system says where it has no file descriptor left, whatever the error is taken for.

    Without one, asyncssh says that the bot's user is not known, and the resolver that a host has no address.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as now:
        error = now
    return error.strerror if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE} else None


def key_refused(shown: Shown, where: Endpoint) -> str:
    """What is wrong with the host key that a host showed, and how to make it known."""
    fingerprint = f"{shown.key.get_algorithm()} {shown.key.get_fingerprint()}"
    if shown.known:
        return _changed(where, f"it shows {fingerprint}, and known is {', '.join(shown.known)}")
    return (
        f"{where}: its host key is not known. It shows {fingerprint}. What to do: compare that with"
        f" `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` (or the file of its kind) on the host's own console, or"
        f" another way that is not this network; if it is the same: `{_scan(shown, where)}`."
    )


def _changed(where: Endpoint, how: str) -> str:
    return (
        f"{where}: its HOST KEY HAS CHANGED: {how}. Somebody may be intercepting the connection. What to do: do not"
        f" just replace the key; find out who reinstalled the host and when, compare the fingerprint on the host's own"
        f" console, and only then change its line in {where.known_hosts}."
    )


def _scan(shown: Shown, where: Endpoint) -> str:
    """The command that adds the key under the name by which it is looked up."""
    scan = f"ssh-keyscan -p {where.port} {shlex.quote(where.host)}"
    if where.jump:
        scan = f"ssh {shlex.quote(where.jump)} {scan}"
    if shown.name != where.host:
        scan += f" | sed 's/^[^ #]*/{shown.name}/'"
    return f"{scan} >> {shlex.quote(str(where.known_hosts))}"
