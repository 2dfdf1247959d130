"""Says whether a lab can be had on this machine, and if not, why."""

import os
import platform
import subprocess
from pathlib import Path

PROGRAMS = (
    "/usr/sbin/dovecot",
    "/usr/lib/dovecot/imap",
    "/usr/lib/dovecot/lmtp",
    "/usr/sbin/sshd",
    "/usr/bin/ssh-keygen",
    "/usr/bin/sudo",
    "/usr/bin/systemctl",
    "/usr/bin/dbus-daemon",
    "/usr/bin/unshare",
    "/usr/bin/nsenter",
    "/usr/bin/setpriv",
    "/usr/bin/pkill",
    "/usr/bin/flock",
    "/usr/sbin/ip",
)
LISTS = "/var/cache/dovecot-lab/lists"
"""What apt offers the hosts."""

# All that the hosts are built with, tried in namespaces that are gone at once.
TRIAL = """
set -e
mount -t tmpfs lab /mnt
mkdir /mnt/upper /mnt/work /mnt/root /mnt/groups
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work lab /mnt/root
mount -t cgroup2 none /mnt/groups
"""


def missing() -> str | None:
    """The reason why no lab can be had here, or None where it can."""
    if os.geteuid() != 0:
        return "a lab needs root"
    release = platform.freedesktop_os_release()
    if (release.get("ID"), release.get("VERSION_ID")) != ("debian", "12"):
        return f"a lab needs Debian 12, this is {release.get('PRETTY_NAME', 'something else')}"
    absent = [program for program in (*PROGRAMS, LISTS) if not Path(program).exists()]
    if absent:
        return f"{', '.join(absent)} not there: run tests/lab/packages"
    trial = subprocess.run(
        ["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "sh", "-c", TRIAL],
        capture_output=True,
        text=True,
        check=False,
    )
    if trial.returncode != 0:
        return f"namespaces and mounts are not permitted here: {trial.stderr.strip()}"
    return None
