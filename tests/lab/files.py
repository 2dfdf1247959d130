"""Writes the files a lab's hosts differ by, and those that an SSH client needs to reach them.

The templates are plain trees under `templates/`: `common` for every host, then the role's own. `@WORD@` stands
for a value. The script `host` copies a tree over the machine's root.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
PASSWORD = "of-everybody"
EVERYTHING = "mailbot ALL=(ALL) NOPASSWD: ALL"


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine of the lab; `ip` is where its sshd and dovecot listen, and what directors call a backend."""

    name: str
    role: str
    ip: str


def write_hosts(directory: Path, hosts: Sequence[Host], *, sudoers: str, user_expire: timedelta) -> None:
    """Fill `directory` with a tree per host (hosts/NAME), client_key, known_hosts and ssh_config."""
    new_key(directory / "client_key")
    values = shared_values(hosts, sudoers=sudoers, user_expire=user_expire)
    known = []
    for host in hosts:
        tree = directory / "hosts" / host.name
        own = {"NAME": host.name, "IP": host.ip}
        for layer in ("common", host.role):
            copy_filled(TEMPLATES / layer, tree, {**values, **own})
        shutil.copy(directory / "client_key.pub", tree / "lab/authorized_key")
        key = tree / "etc/ssh/ssh_host_ed25519_key"
        new_key(key)
        known.append(f"{host.name},{host.ip} {key.with_suffix('.pub').read_text()}")
    (directory / "known_hosts").write_text("".join(known))
    (directory / "ssh_config").write_text("".join(ssh_config(directory, host) for host in hosts))


def shared_values(hosts: Sequence[Host], *, sudoers: str, user_expire: timedelta) -> dict[str, str]:
    directors = [host.ip for host in hosts if host.role == "director"]
    backends = [host.ip for host in hosts if host.role == "backend"]
    return {
        "HOSTS": "\n".join(f"{host.ip} {host.name}" for host in hosts),
        "SUDOERS": sudoers,
        "PASSWORD": PASSWORD,
        "DIRECTOR_SERVERS": " ".join(f"{ip}:9090" for ip in directors),
        "MAIL_SERVERS": " ".join(backends),
        "USER_EXPIRE": str(int(user_expire.total_seconds())),
    }


def copy_filled(source: Path, target: Path, values: Mapping[str, str]) -> None:
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        text = file.read_text()
        for word, value in values.items():
            text = text.replace(f"@{word}@", value)
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)


def new_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", os.fspath(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def ssh_config(directory: Path, host: Host) -> str:
    return f"""Host {host.name}
    HostName {host.ip}
    Port 22
    User mailbot
    IdentityFile {directory}/client_key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {directory}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    PasswordAuthentication no
    BatchMode yes

"""
