"""Commands on hosts over SSH. Knows asyncssh and OpenSSH's files; nothing of runs, of Dovecot or of what is asked."""

from __future__ import annotations

from bot.adapters.ssh.hosts import SshHosts

__all__ = ["SshHosts"]
