"""Proves that the lab is what it says: a real ring, so that what is tested on it may be believed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.lab import Lab, LabError, wait_for
from tests.lab.deliveries import Deliveries
from tests.lab.fixtures import lab, skip_without_lab
from tests.lab.ring import GROUP
from tests.lab.users import MailUsers
from tests.patience import PATIENCE

__all__ = ["lab"]

ROOT = Path(__file__).parents[2]


def table(lab: Lab, director: str) -> dict[str, dict[str, str]]:
    """The backends as one director sees them, by address."""
    lines = lab.run(director, "doveadm -f tab director status", check=True).stdout.splitlines()
    header, *rows = [line.split("\t") for line in lines]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def on_every_director(lab: Lab, backend: str, **expected: str) -> None:
    """Wait until all directors say this of a backend."""
    ip = lab.backends[backend].ip

    def agree() -> bool:
        seen = [table(lab, director)[ip] for director in lab.directors]
        return all(row[key] == value for row in seen for key, value in expected.items())

    wait_for(f"{backend} is {expected} on every director", agree)


def ssh(lab: Lab, host: str, command: str) -> subprocess.CompletedProcess[str]:
    config = os.fspath(lab.directory / "ssh_config")
    return subprocess.run(
        ["ssh", "-F", config, host, command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def show(lab: Lab, host: str, unit: str) -> dict[str, str]:
    command = f"systemctl show --property=LoadState,ActiveState,Result,UnitFileState {unit}"
    return dict(line.split("=", 1) for line in ssh(lab, host, command).stdout.splitlines())


@pytest.fixture
def backend_2(lab: Lab) -> Iterator[str]:
    """A backend that a test may take out of the ring; it is put back."""
    name, director = "backend-2", "director-1"
    ip = lab.backends[name].ip
    yield name
    lab.run(name, "systemctl unmask --runtime dovecot; systemctl start dovecot", check=True)
    lab.run(director, f"doveadm director update {ip} 100; doveadm director up {ip}", check=True)
    on_every_director(lab, name, vhosts="100", state="up")


def processes_of_hosts() -> list[str]:
    """The processes in the lab's control group."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if f"::/{GROUP}/" in (process / "cgroup").read_text():
                found.append(process.name)
    return found


def left_behind(directory: Path) -> list[str]:
    """What a lab may not leave: its directory, mounts, control groups, and processes of its hosts."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    # At the top alone: below it may be those of tests that run in a control group of their own.
    tops = [Path(where) for _, where, kind, *_ in map(str.split, mounts) if kind == "cgroup2"]
    groups = [top / GROUP for top in tops if (top / GROUP).exists()]
    return [
        *(f"process {process}" for process in processes_of_hosts()),
        *(mount for mount in mounts if str(directory) in mount),
        *map(str, groups),
        *([str(directory)] if directory.exists() else []),
    ]


# Stands before all that use the fixture: only one lab can be up.
def test_nothing_is_left_when_the_tests_are_killed() -> None:
    """A killed test run must not keep its hosts, nor make the next one fail."""
    skip_without_lab()
    script = "\n".join(
        (
            "import sys; from tests.lab import Lab",
            "with Lab() as lab: print(lab.directory, flush=True); sys.stdin.read()",
        )
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        directory = Path(tests.stdout.readline().strip())
        assert len(left_behind(directory)) >= 11
        tests.kill()
    wait_for("all is gone", lambda: left_behind(directory) == [])


def test_both_directors_are_synced_and_have_three_backends_up(lab: Lab) -> None:
    """A ring that does not agree would make every later test a matter of luck."""
    for director in lab.directors:
        assert "ring synced" in lab.run(director, "doveadm -f tab director ring status").stdout
        seen = table(lab, director)
        assert {ip: (row["vhosts"], row["state"]) for ip, row in seen.items()} == {
            backend.ip: ("100", "up") for backend in lab.backends.values()
        }


def test_every_host_is_a_machine_of_its_own(lab: Lab) -> None:
    """Names, first processes and services must not be shared, or a stop here would be a stop there."""
    for host in (*lab.directors, *lab.backends):
        found = lab.run(host, "hostname; cat /proc/1/comm; systemctl is-active ssh dovecot; pgrep -c -x dovecot")
        assert found.stdout.split() == [host, "systemd", "active", "active", "1"]


def test_the_test_user_has_mail_on_every_backend(lab: Lab) -> None:
    """Reading an empty mailbox succeeds, and proves nothing."""
    for backend in lab.backends:
        read = ssh(lab, backend, f"sudo -n doveadm mailbox status -u {lab.test_user} messages '*'")
        assert "INBOX messages=3\n" in read.stdout


async def test_users_log_in_through_the_directors_and_are_mapped(lab: Lab) -> None:
    """Users are who an upgrade must not disturb, so they have to be real."""
    async with MailUsers(lab, count=10) as users:
        assert users.failed() == []
        assert {login.director for login in users.logins} == set(lab.directors)
        status = await asyncio.to_thread(lab.run, "director-2", "doveadm director status user-000")
    assert any(f"Current: {backend.ip} " in status.stdout for backend in lab.backends.values())


async def test_a_backend_is_taken_out_flushed_and_put_back(lab: Lab, backend_2: str) -> None:
    """The four director commands do here what they do in the field: the flush moves whoever is mapped."""
    ip = lab.backends[backend_2].ip

    def director(command: str) -> None:
        assert ssh(lab, "director-1", f"sudo -n doveadm director {command}").returncode == 0

    async with MailUsers(lab, count=30, stay=2 * PATIENCE) as users:
        director(f"update {ip} 0")
        on_every_director(lab, backend_2, vhosts="0", state="up")
        assert int(table(lab, "director-2")[ip]["users"]) > 0
        director(f"down {ip}")
        director(f"flush {ip}")
        on_every_director(lab, backend_2, vhosts="0", state="down", users="0")
        await asyncio.to_thread(wait_for, "a kick", lambda: bool(users.kicks))
        director(f"update {ip} 100")
        director(f"up {ip}")
        on_every_director(lab, backend_2, vhosts="100", state="up")


async def test_a_login_that_fails_is_noted(lab: Lab, backend_2: str) -> None:
    """A judge who never says no is none: users mapped to a stopped backend are not let in."""
    async with MailUsers(lab, count=30) as users:
        since = datetime.now(UTC)
        # Wherever the users have got to by now, one of them is at home there.
        move = f"doveadm director move user-000 {lab.backends[backend_2].ip}"
        await asyncio.to_thread(lab.run, "director-1", move, check=True)
        await asyncio.to_thread(lab.run, backend_2, "systemctl stop dovecot")
        await asyncio.to_thread(wait_for, "a failure", lambda: bool(users.failed(since)))
        failed = users.failed(since)[0]
    assert "UNAVAILABLE" in str(failed.error)
    assert not failed.cut_short
    assert users.failed(until=since) == []


async def test_mails_come_through_both_directors_and_arrive(lab: Lab) -> None:
    """A delivery that is counted must be a mail in a mailbox."""
    async with Deliveries(lab, count=10) as mails:
        assert {mail.director for mail in mails.attempts} == set(lab.directors)
    assert mails.failed() == []
    stored = [lab.run(name, "find /srv/mail/user-*/Maildir/new -type f").stdout.split() for name in lab.backends]
    # One that was under way at the end is not counted, and may have been stored.
    assert len(mails.attempts) <= sum(map(len, stored)) <= len(mails.attempts) + mails.count


async def test_a_mail_for_a_stopped_backend_is_listed_as_deferred(lab: Lab, backend_2: str) -> None:
    """What the sender has to try again is what an upgrade must not cause: when, whose, and what was answered."""
    async with Deliveries(lab, count=10) as mails:
        since, ip = datetime.now(UTC), lab.backends[backend_2].ip
        await asyncio.to_thread(lab.run, "director-1", f"doveadm director move user-000 {ip}", check=True)
        await asyncio.to_thread(lab.run, backend_2, "systemctl stop dovecot")
        await asyncio.to_thread(
            wait_for,
            "one for user-000",
            lambda: "user-000" in {mail.user for mail in mails.failed(since)},
        )
    failed = mails.failed(since)
    assert all(mail.answer.startswith("451 4.") and mail.deferred and mail.at > since for mail in failed)
    assert mails.failed(until=since) == []


def test_stopping_one_backend_leaves_the_others_alone_and_flushes_its_metacache(lab: Lab, backend_2: str) -> None:
    """The hosts share a machine, and must not share a fate."""
    assert show(lab, backend_2, "dovecot-metacache-flush")["UnitFileState"] == "enabled"
    assert ssh(lab, backend_2, "sudo -n systemctl stop dovecot").returncode == 0
    stopped = show(lab, backend_2, "dovecot")
    assert (stopped["ActiveState"], stopped["Result"]) == ("inactive", "success")
    assert lab.run(backend_2, "cat /var/log/lab/metacache-flushed").stdout
    assert lab.run(backend_2, "pgrep -x dovecot").returncode == 1
    for other in ("backend-1", "backend-3", "director-1"):
        assert show(lab, other, "dovecot")["ActiveState"] == "active"


def test_a_mask_hides_no_unclean_stop_and_lets_nobody_start_dovecot(lab: Lab, backend_2: str) -> None:
    """The mask comes before the check of the stop, and only a clean stop flushes the metacache."""
    drop_in = "/run/systemd/system/dovecot.service.d"
    unclean = f"mkdir -p {drop_in}; printf '[Service]\\nExecStop=/bin/false\\n' >{drop_in}/unclean.conf"
    lab.run(backend_2, f"{unclean}; systemctl daemon-reload", check=True)
    try:
        assert ssh(lab, backend_2, "sudo -n systemctl stop dovecot").returncode == 0
        stopped = show(lab, backend_2, "dovecot")
        assert (stopped["ActiveState"], stopped["Result"]) == ("failed", "exit-code")
        assert ssh(lab, backend_2, "sudo -n systemctl mask --runtime dovecot").returncode == 0
        masked = show(lab, backend_2, "dovecot")
        assert masked == stopped | {"LoadState": "masked", "UnitFileState": "masked-runtime"}
        refused = ssh(lab, backend_2, "sudo -n systemctl start dovecot")
        assert (refused.returncode, "Unit dovecot.service is masked." in refused.stderr) == (1, True)
        assert show(lab, backend_2, "dovecot") == masked
    finally:
        lab.run(backend_2, f"rm -r {drop_in}; systemctl daemon-reload", check=True)


def test_packages_change_both_ways_while_the_mask_keeps_dovecot_down(lab: Lab) -> None:
    """The one thing that an upgrade must not do is to start dovecot before its time."""
    host = "backend-3"
    first = lab.installed_version(host)
    config = lab.run(host, "find /etc/dovecot -type f -exec sha256sum {} +").stdout
    assert ssh(lab, host, "sudo -n systemctl stop dovecot && sudo -n systemctl mask --runtime dovecot").returncode == 0
    for _ in range(2):
        version = lab.other_version(host)
        packages = " ".join(f"{package}={version}" for package in ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd"))
        keep = "-o Dpkg::Options::=--force-confold"
        install = f"apt-get --yes --allow-downgrades {keep} install {packages}"
        done = ssh(lab, host, f"sudo -n env DEBIAN_FRONTEND=noninteractive {install}")
        assert done.returncode == 0, done.stderr
        assert lab.installed_version(host) == version
        masked = show(lab, host, "dovecot")
        assert (masked["LoadState"], masked["ActiveState"]) == ("masked", "inactive")
    assert lab.installed_version(host) == first
    assert lab.run(host, "find /etc/dovecot -type f -exec sha256sum {} +").stdout == config
    assert ssh(lab, host, "sudo -n systemctl unmask --runtime dovecot").returncode == 0
    assert ssh(lab, host, "sudo -n systemctl start dovecot").returncode == 0
    assert show(lab, host, "dovecot")["ActiveState"] == "active"


def test_a_host_knows_what_the_bots_user_ran(lab: Lab) -> None:
    """What ran is to be judged by the host, never by what the bot says of itself."""
    since = datetime.now(UTC) - timedelta(seconds=1)
    command = "sudo -n doveadm service stop nosuch; echo 'a\n  b'"
    assert ssh(lab, "backend-1", command).returncode == 0
    ran = [ran for ran in lab.log("backend-1") if ran.at > since]
    assert [(one.via, one.command, one.exit) for one in ran] == [
        ("ssh", command, None),
        ("sudo", "doveadm service stop nosuch", 68),
    ]


def test_a_command_runs_on_when_its_connection_is_cut(lab: Lab) -> None:
    """That is why a lost connection leaves the outcome open."""
    host, begun, ended = "backend-1", "/tmp/begun", "/tmp/ended"

    def there(file: str) -> bool:
        return lab.run(host, ["test", "-e", file]).returncode == 0

    config = os.fspath(lab.directory / "ssh_config")
    with subprocess.Popen(
        ["ssh", "-F", config, host, f"touch {begun}; until test -e /tmp/go; do sleep 0.1; done; touch {ended}"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as client:
        wait_for("it has begun", lambda: there(begun))
        assert lab.cut_ssh(host)
        assert client.wait(timeout=15) == 255
    lab.run(host, "touch /tmp/go", check=True)
    wait_for("it has ended", lambda: there(ended))


def test_a_restarted_director_learns_and_a_restarted_ring_forgets(lab: Lab, backend_2: str) -> None:
    """The reason why a ring is watched while one of its backends is out."""
    lab.run("director-1", f"doveadm director update {lab.backends[backend_2].ip} 0", check=True)
    lab.restart_director("director-2")
    on_every_director(lab, backend_2, vhosts="0")
    lab.restart_all_directors()
    on_every_director(lab, backend_2, vhosts="100", state="up")


def test_a_second_lab_says_that_the_first_is_up(lab: Lab) -> None:
    """Half a lab, made of another's ports, would be worse than none."""
    del lab
    with pytest.raises(LabError, match=r"127\.\d+\.1\.1:22.*Another lab is up"), Lab():
        pass
