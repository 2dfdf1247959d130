"""The practice ring, seen through a real SSH client: it has to behave as the real ring does, or it teaches lies."""

import asyncio
import csv
import hashlib
import io
import json
import shlex
import stat
import tarfile
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncssh
import pytest

from bot.practice.ring import PracticeRing
from bot.practice.script import NotUnderstood, read_script
from bot.practice.values import Fault

PATIENCE = 5.0
IP = "192.0.2.13"
METACACHE = "/var/lib/dovecot/metacache"
GUARD = 'test "$(systemctl show --property=ActiveState --value dovecot)" = inactive || exit 97; '
APT = "env DEBIAN_FRONTEND=noninteractive apt-get --yes --allow-downgrades -o Dpkg::Options::=--force-confold install"
OLD, NEW = "1:2.3.19.1+dfsg1-2.1+deb12u6", "1:2.3.19.1+dfsg1-2.1+deb12u7"
TREE = r"""find {} '(' -type l -printf 'link %l\t%P\n' ')' , '(' -type f -printf 'mode %m\t%P\n' ')' , """
TREE += r"""'(' -type f -exec sha256sum '{{}}' + ')'"""


class Client:
    """One SSH connection to each host, made when first used."""

    def __init__(self, ring: PracticeRing) -> None:
        self.ring = ring
        self._open: dict[str, asyncssh.SSHClientConnection] = {}

    async def connect(self, host: str) -> asyncssh.SSHClientConnection:
        if host not in self._open or self._open[host].is_closed():
            self._open[host] = await asyncssh.connect(host, config=[str(self.ring.ssh_config)])
        return self._open[host]

    async def __call__(self, host: str, command: str, **more: Any) -> asyncssh.SSHCompletedProcess:
        connection = await self.connect(host)
        return await asyncio.wait_for(connection.run(command, **more), PATIENCE)

    async def out(self, host: str, command: str) -> str:
        done = await self(host, command)
        assert done.exit_status == 0, (command, done.exit_status, done.stderr)
        return str(done.stdout)

    async def row(self, director: str, ip: str = IP) -> dict[str, str]:
        table = await self.out(director, "doveadm -f tab director status")
        return next(row for row in csv.DictReader(io.StringIO(table), delimiter="\t") if row["mail server ip"] == ip)

    async def close(self) -> None:
        for connection in self._open.values():
            connection.abort()
            await connection.wait_closed()


@pytest.fixture
async def ring() -> AsyncIterator[PracticeRing]:
    async with PracticeRing(learning_takes=timedelta(seconds=0.3)) as ring:
        for backend in ring.backends.values():
            backend.packages.takes = backend.dovecot_unit.stop_takes = timedelta(seconds=0.1)
        yield ring


@pytest.fixture
async def ssh(ring: PracticeRing) -> AsyncIterator[Client]:
    client = Client(ring)
    yield client
    await client.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.01)


# the ring


async def test_a_drained_backend_keeps_its_users_until_the_flush_moves_them_and_gets_them_back_later(
    ring: PracticeRing, ssh: Client
) -> None:
    """The whole procedure in short: nobody may fail to log in when it is done in the right order."""
    before = int((await ssh.row("director-1"))["users"])
    assert before >= 10
    await ssh.out("director-1", f"sudo -n -- doveadm director update {IP} 0")
    rows = [await ssh.row(name) for name in ring.directors]
    assert {row["vhosts"] for row in rows} == {"0"}
    assert int(rows[0]["users"]) >= before / 2, "vhosts 0 moves nobody who is mapped"
    for command in ("doveadm service stop lmtp", "systemctl stop dovecot"):
        await ssh.out("backend-3", command)
    for command in ("down", "flush"):
        await ssh.out("director-2", f"doveadm director {command} {IP}")
    await until(lambda: ring.users_on("backend-3") == 0, "users moved")
    assert {(await ssh.row(name))["state"] for name in ring.directors} == {"down"}
    await until(lambda: IP not in ring.people.connected.values(), "connections moved")
    await ssh.out("backend-3", "systemctl start dovecot")
    await ssh.out("director-1", f"doveadm director update {IP} 100")
    await ssh.out("director-1", f"doveadm director up {IP}")
    await until(lambda: ring.users_on("backend-3") > 0, "users came back")
    assert ring.failed_logins == []


async def test_a_flush_of_a_usable_backend_moves_nobody(ring: PracticeRing, ssh: Client) -> None:
    """With vhosts above 0 and up, every user's hash still points there."""
    await ssh.out("director-1", f"doveadm director flush {IP}")
    assert ring.state._moves == []


async def test_logins_fail_on_a_stopped_backend_that_was_not_flushed() -> None:
    """This is the harm the practice ring exists to show."""
    async with PracticeRing(login_patience=timedelta(seconds=0.2)) as ring:
        client = Client(ring)
        await client.out("backend-3", "systemctl stop dovecot")
        await until(lambda: len(ring.failed_logins) > 5, "logins fail")
        assert {failed.backend for failed in ring.failed_logins} == {IP}
        await client.close()


async def test_disconnected_users_leave_a_drained_backend_when_they_expire() -> None:
    """The drain shows a falling count, which does not reach 0: most users stay connected."""
    async with PracticeRing(user_expire=timedelta(seconds=0.4)) as ring:
        ring.state.change(IP, now=ring.people._users[0].next_at, vhosts=0)
        steady = sum(user.backend == IP for user in ring.people._users if user.steady)
        await until(lambda: ring.users_on("backend-3") == steady, "the others left")
        assert steady > 0


async def test_a_restarted_director_claims_100_and_up_until_it_hears_the_ring(ring: PracticeRing, ssh: Client) -> None:
    """Whoever believes it in that second puts users on a backend that is out."""
    await ssh.out("director-1", f"doveadm director update {IP} 0")
    ring.restart_director("director-1")
    fresh = await ssh.row("director-1")
    assert (fresh["vhosts"], fresh["state"], fresh["users"]) == ("100", "up", "0")
    assert "ring syncing - last sync 0 secs ago" in await ssh.out("director-1", "doveadm -f tab director ring status")
    assert (await ssh.row("director-2"))["vhosts"] == "0"
    await until(lambda: ring.state.directors["director-1"].knows, "it hears the ring")
    assert (await ssh.row("director-1"))["vhosts"] == "0"


async def test_a_ring_that_restarts_as_a_whole_forgets(ring: PracticeRing, ssh: Client) -> None:
    """A backend under maintenance is back at 100 and up then."""
    await ssh.out("director-1", f"doveadm director update {IP} 0")
    await ssh.out("director-1", f"doveadm director down {IP}")
    ring.restart_all_directors()
    await until(lambda: all(view.knows for view in ring.state.directors.values()), "all are up again")
    rows = [await ssh.row(name) for name in ring.directors]
    assert {(row["vhosts"], row["state"]) for row in rows} == {("100", "up")}
    await until(lambda: ring.users_on("backend-3") > 0, "users log in again, here too")


async def test_a_director_that_is_away_learns_on_its_return(ring: PracticeRing, ssh: Client) -> None:
    """Update and down work without it; it says 75 meanwhile, and the ring shows it as away once it is given up."""
    ring.directors["director-2"].away = True
    assert (await ssh("director-2", "doveadm -f tab director status")).exit_status == 75
    assert "ring syncing - last sync" in await ssh.out("director-1", "doveadm -f tab director ring status")
    await ssh.out("director-1", f"doveadm director update {IP} 0")
    table = await ssh.out("director-1", "doveadm -f tab director ring status")
    rows = list(csv.DictReader(io.StringIO(table), delimiter="\t"))
    assert [(row["type"], row["status"]) for row in rows if row["type"] != ""] == [("self", "ring synced")]
    assert [row["last failed"] != "never" for row in rows if row["type"] == ""] == [True]
    ring.directors["director-2"].away = False
    await until(lambda: ring.state.directors["director-2"].knows, "it is back")
    assert (await ssh.row("director-2"))["vhosts"] == "0"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (f"update {IP} 0", 0),
        (f"down {IP}", 0),
        (f"up {IP}", 0),
        (f"flush {IP}", 0),
        ("update 192.0.2.99 0", 75),
        ("flush 192.0.2.99", 68),
        (f"update {IP}", 64),
        (f"update {IP} many", 64),
        ("down", 64),
        (f"add {IP}", 64),
        ("down backend-3", 75),
    ],
)
async def test_director_commands_exit_as_the_real_ones_and_may_be_repeated(
    ssh: Client, command: str, status: int
) -> None:
    """Exit codes are what the bot's doubt is built on."""
    for _ in range(2):
        assert (await ssh("director-1", f"doveadm director {command}")).exit_status == status


async def test_director_status_as_json_and_a_moved_user(ring: PracticeRing, ssh: Client) -> None:
    """`move` pins a user to a backend even at vhosts 0, which a canary login needs."""
    await ssh.out("director-1", f"doveadm director update {IP} 0")
    user = next(name for name, mapping in ring.state.mapped.items() if mapping.backend != IP)
    await ssh.out("director-1", f"doveadm director move {user} {IP}")
    assert ring.state.mapped[user].backend == IP
    await until(lambda: ring.people.connected.get(user) == IP, "the user logs in there")
    rows = json.loads(await ssh.out("director-2", "doveadm -f json director status"))
    assert set(rows[0]) == {"mail server ip", "tag", "vhosts", "state", "state-changed", "users"}
    assert [row["vhosts"] for row in rows] == ["100", "100", "0"]


# the backend


async def test_lmtp_stops_and_comes_back_with_a_reload(ssh: Client) -> None:
    """Service status is how the bot knows."""
    (row,) = json.loads(await ssh.out("backend-1", "doveadm -f json service status lmtp"))
    assert (row["name"], row["listening"], row["doveadm_stop"]) == ("lmtp", "y", "n")
    await ssh.out("backend-1", "doveadm service stop lmtp")
    (row,) = json.loads(await ssh.out("backend-1", "doveadm -f json service status lmtp"))
    assert (row["listening"], row["doveadm_stop"]) == ("n", "y")
    assert (await ssh("backend-1", "doveadm service stop NOSUCH")).exit_status == 68
    await ssh.out("backend-1", "doveadm reload")
    (row,) = json.loads(await ssh.out("backend-1", "doveadm -f json service status lmtp"))
    assert row["listening"] == "y"


async def test_a_stopped_dovecot_answers_nothing(ssh: Client) -> None:
    """After the stop, doveadm exits 75 and no port answers."""
    greet = ["timeout", "5", "bash", "-c", 'exec 3<>"/dev/tcp/$0/$1" && head -n 1 <&3', IP]
    assert (await ssh.out("backend-3", shlex.join([*greet, "143"]))).startswith("* OK [CAPABILITY IMAP4rev1")
    assert (await ssh.out("backend-3", shlex.join([*greet, "24"]))).startswith("220 backend-3 Dovecot ready.")
    await ssh.out("backend-3", "sudo -n systemctl stop dovecot")
    shown = await ssh.out("backend-3", "systemctl show --property=ActiveState,Result,LoadState dovecot")
    assert set(shown.split()) == {"LoadState=loaded", "ActiveState=inactive", "Result=success"}
    for command in ("doveadm -f json service status lmtp", "doveadm service stop lmtp", "doveadm reload"):
        assert (await ssh("backend-3", command)).exit_status == 75
    assert (await ssh("backend-3", "doveadm mailbox list -u practice-test")).exit_status == 75
    refused = await ssh("backend-3", shlex.join([*greet, "143"]))
    assert refused.exit_status == 1
    assert "Connection refused" in str(refused.stderr)


async def test_mail_commands_answer_for_the_test_user(ring: PracticeRing, ssh: Client) -> None:
    """An empty mailbox exits 0 with nothing: exit codes alone prove nothing."""
    user = ring.test_user
    assert "INBOX\n" in await ssh.out("backend-1", f"doveadm mailbox list -u {user}")
    assert "INBOX messages=12\n" in await ssh.out("backend-1", f"doveadm mailbox status -u {user} messages '*'")
    assert "Hello." in await ssh.out("backend-1", f"doveadm fetch -u {user} text all")
    assert (await ssh("backend-1", "doveadm fetch -u nobody text all")).exit_status == 67
    ring.backends["backend-1"].mailboxes_empty = True
    assert await ssh.out("backend-1", f"doveadm fetch -u {user} text all") == ""
    assert "INBOX messages=0\n" in await ssh.out("backend-1", f"doveadm mailbox status -u {user} messages '*'")


@pytest.mark.parametrize("masked", [False, True])
async def test_installing_starts_dovecot_unless_it_is_masked(ssh: Client, masked: bool) -> None:
    """The surprise of Debian's packages, and what holds it off."""
    await ssh.out("backend-2", "systemctl stop dovecot")
    if masked:
        await ssh.out("backend-2", "systemctl mask --runtime dovecot")
        start = await ssh("backend-2", "systemctl start dovecot")
        assert (start.exit_status, "Unit dovecot.service is masked." in str(start.stderr)) == (1, True)
        assert "masked-runtime" in await ssh.out("backend-2", "systemctl show --property=UnitFileState dovecot")
    assert f"| {NEW} |" in await ssh.out("backend-2", "apt-cache madison dovecot-core")
    await ssh.out("backend-2", f"{APT} dovecot-core={NEW} dovecot-imapd={NEW}")
    shape = shlex.quote(r"${Package}\t${Version}\t${db:Status-Status}\n")
    shown = await ssh.out("backend-2", f"dpkg-query --show --showformat={shape} dovecot-core dovecot-lmtpd")
    assert shown == f"dovecot-core\t{NEW}\tinstalled\ndovecot-lmtpd\t{OLD}\tinstalled\n"
    active = await ssh.out("backend-2", "systemctl show --property=ActiveState --value dovecot")
    assert active == ("inactive\n" if masked else "active\n")
    refused = await ssh("backend-2", f"{APT} dovecot-core=9")
    assert (refused.exit_status, "E: Version '9' for 'dovecot-core' was not found" in str(refused.stderr)) == (
        100,
        True,
    )


async def test_a_broken_configuration_is_refused_by_doveconf_and_by_the_start(ring: PracticeRing, ssh: Client) -> None:
    """An included file counts too."""
    assert "auth_mechanisms = plain login" in await ssh.out("backend-1", "doveconf -n")
    ring.backends["backend-1"].disk.write("/etc/dovecot/conf.d/50-new.conf", "\nBROKEN = yes\n")
    wrong = await ssh("backend-1", "doveconf -n -c /etc/dovecot/dovecot.conf")
    assert wrong.exit_status == 89
    assert "Error in configuration file /etc/dovecot/conf.d/50-new.conf line 2" in str(wrong.stderr)
    restart = await ssh("backend-1", "systemctl restart dovecot")
    shown = await ssh.out("backend-1", "systemctl show --property=ActiveState,Result dovecot")
    assert (restart.exit_status, shown) == (1, "Result=exit-code\nActiveState=failed\n")


async def test_the_flush_unit_can_be_there_disabled_or_missing(ring: PracticeRing, ssh: Client) -> None:
    """Preflight has to tell these apart."""
    show = "systemctl show --property=LoadState,UnitFileState dovecot-metacache-flush"
    assert await ssh.out("backend-1", show) == "LoadState=loaded\nUnitFileState=enabled\n"
    ring.backends["backend-1"].metacache_flush = "disabled"
    assert await ssh.out("backend-1", show) == "LoadState=loaded\nUnitFileState=disabled\n"
    ring.backends["backend-1"].metacache_flush = None
    assert await ssh.out("backend-1", show) == "LoadState=not-found\nUnitFileState=\n"


# files and shell


async def test_a_guarded_delete_refuses_while_dovecot_is_active(ring: PracticeRing, ssh: Client) -> None:
    """The command that deletes looks for itself, as things may have changed since the bot looked."""
    disk = ring.backends["backend-1"].disk
    remove = shlex.join(["sh", "-c", f"{GUARD}rm -f {METACACHE}/metacache-users*"])
    clean = shlex.join(["sh", "-c", f"{GUARD}find /var/dovecot/vmail -xdev -mindepth 1 -delete"])
    assert [(await ssh("backend-1", command)).exit_status for command in (remove, clean)] == [97, 97]
    assert len(disk.names(METACACHE)) == 5
    await ssh.out("backend-1", "systemctl stop dovecot")
    assert [(await ssh("backend-1", command)).exit_status for command in (remove, clean)] == [0, 0]
    assert disk.names(METACACHE) == ["instance.id"]
    look = r"find /var/dovecot/vmail -xdev -maxdepth 1 -printf '%y\t%p\n'"
    assert await ssh.out("backend-1", look) == "d\t/var/dovecot/vmail\n"
    assert (await ssh("backend-1", remove)).exit_status == 0, "nothing left to match is no error"


async def test_a_configuration_is_sent_as_tar_compared_swapped_and_swapped_back(
    ring: PracticeRing, ssh: Client
) -> None:
    """The path of a proposed configuration, with its backup."""
    disk, staged, kept = ring.backends["backend-1"].disk, "/etc/dovecot.proposed-1", "/etc/dovecot.before-1"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in {"dovecot.conf": "protocols = imap\n", "conf.d/10-mail.conf": "mail_uid = vmail"}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o640
            archive.addfile(member, io.BytesIO(text.encode()))
    script = f"mkdir -p -m 0700 {staged} && tar --extract --directory={staged} --no-same-owner --file=-"
    sent = await ssh("backend-1", shlex.join(["sh", "-c", script]), input=packed.getvalue(), encoding=None)
    assert sent.exit_status == 0, sent.stderr
    assert disk.look(staged).mode == 0o700  # type: ignore[union-attr]
    difference = await ssh("backend-1", f"diff --recursive --unified --new-file /etc/dovecot {staged}")
    assert difference.exit_status == 1
    assert "+protocols = imap\n" in str(difference.stdout)
    assert "\\ No newline at end of file\n" in str(difference.stdout)
    lines = (await ssh.out("backend-1", TREE.format(staged))).splitlines()
    digest = hashlib.sha256(b"protocols = imap\n").hexdigest()
    assert {"mode 640\tdovecot.conf", f"{digest}  {staged}/dovecot.conf"} <= set(lines)
    swap = f"test -d {staged} || exit 96; test -e {kept} || mv -T /etc/dovecot {kept} && mv -T {staged} /etc/dovecot"
    assert [(await ssh("backend-1", shlex.join(["sh", "-c", swap]))).exit_status for _ in range(2)] == [0, 96]
    assert disk.read("/etc/dovecot/dovecot.conf") == b"protocols = imap\n"
    blocked = await ssh("backend-1", f"mv -T {kept} /etc/dovecot")
    assert (blocked.exit_status, "Directory not empty" in str(blocked.stderr)) == (1, True)
    await ssh.out("backend-1", f"rm -r /etc/dovecot && cp -a -T {kept} /etc/dovecot")
    assert "link ../local.conf\tconf.d/99-local.conf.ext\n" in await ssh.out("backend-1", TREE.format("/etc/dovecot"))
    assert (await ssh("backend-1", f"diff --recursive --unified --new-file {kept} /etc/dovecot")).exit_status == 0


async def test_a_tree_prints_the_same_as_gnu_find_would(ssh: Client) -> None:
    """Modes, links and sums of a directory, dot files and -name too."""
    names = await ssh.out(
        "backend-1", rf"find {METACACHE} -xdev -maxdepth 1 -name 'metacache-users*' -printf '%y\t%p\n'"
    )
    assert sorted(names.splitlines()) == [f"f\t{METACACHE}/metacache-users-{number}" for number in range(1, 5)]
    missing = await ssh("backend-1", r"find /nowhere -xdev -maxdepth 1 -printf '%y\t%p\n'")
    assert (missing.exit_status, str(missing.stderr)) == (1, "find: ‘/nowhere’: No such file or directory\n")


@pytest.mark.parametrize(
    ("script", "status", "out"),
    [
        ("echo a; echo b", 0, "a\nb\n"),
        ("false && echo a || echo b", 0, "b\n"),
        ('{ echo a; false; } || echo "$?"', 0, "a\n1\n"),
        ("x=$(echo 'a  b'); echo \"$x\" $x", 0, "a  b a b\n"),
        ("echo a > /dev/null; echo b 2>/dev/null", 0, "b\n"),
        ("nosuch 2>/dev/null; echo $?", 0, "127\n"),
        ("echo /etc/dovecot/*.conf '/etc/*'", 0, "/etc/dovecot/dovecot.conf /etc/dovecot/local.conf /etc/*\n"),
        ("set -e; false; echo never", 1, ""),
        ("! false && test -d /etc/dovecot && exit 7; echo never", 7, ""),
    ],
)
async def test_the_small_shell_does_what_sh_does(ssh: Client, script: str, status: int, out: str) -> None:
    """Only what the procedure's scripts use."""
    done = await ssh("backend-1", shlex.join(["sh", "-c", script]))
    assert (done.exit_status, done.stdout) == (status, out)


@pytest.mark.parametrize(
    "script", ["a | b", "a && && b", "for x in 1; do a; done", "'open", "a > /etc/passwd", "a &", "$(a"]
)
def test_what_the_small_shell_does_not_understand_is_refused_before_anything_runs(script: str) -> None:
    """Half a script that runs would be worse than none."""
    with pytest.raises(NotUnderstood):
        read_script(script)


async def test_an_unknown_command_and_a_wrong_script_say_so(ssh: Client) -> None:
    """As a shell does: 127 and 2."""
    unknown = await ssh("director-1", "systemd-reboot now")
    assert (unknown.exit_status, unknown.stderr) == (127, "sh: systemd-reboot: not found\n")
    assert (await ssh("director-1", "mkdir -p -m")).exit_status == 1
    wrong = await ssh("director-1", "echo a; echo b | cat")
    assert (wrong.exit_status, wrong.stdout) == (2, "")
    assert "Syntax error" in str(wrong.stderr)


# faults, the log, connections


async def test_a_cut_before_leaves_the_command_undone_and_unlogged(ring: PracticeRing, ssh: Client) -> None:
    """The client cannot tell this one from the next two."""
    ring.fault(Fault(host="director-1", matches=f"update {IP}", when="before", what="cut"))
    assert (await ssh("director-1", f"doveadm director update {IP} 0")).exit_status is None
    assert ring.ran("director update") == []
    await ssh.out("director-1", f"doveadm director update {IP} 0")
    assert [ran.exit_status for ran in ring.ran("director update")] == [0]


@pytest.mark.parametrize("when", ["during", "after"])
async def test_a_command_whose_connection_is_cut_runs_to_its_end(ring: PracticeRing, ssh: Client, when: str) -> None:
    """Its outcome is unknown to the client until it is looked up."""
    ring.fault(Fault(host="backend-1", matches="stop dovecot", when=when, what="cut"))  # type: ignore[arg-type]
    assert (await ssh("backend-1", "systemctl stop dovecot")).exit_status is None
    await until(lambda: all(ran.exit_status == 0 for ran in ring.ran("stop dovecot")), "it ran to its end")
    (ran,) = ring.ran("stop dovecot", host="backend-1")
    assert ran.finished is not None
    assert ran.finished - ran.at >= timedelta(seconds=0.09)
    assert await ssh.out("backend-1", "systemctl show --property=ActiveState --value dovecot") == "inactive\n"


async def test_a_cut_does_not_take_the_input_from_a_command_that_has_begun(ring: PracticeRing, ssh: Client) -> None:
    """A tar that was being read is whole on the host."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("big.conf")
        member.size = 300_000
        archive.addfile(member, io.BytesIO(b"#" * member.size))
    ring.fault(Fault(host="backend-1", matches="tar", when="during", what="cut"))
    command = "mkdir -p /etc/dovecot.new && tar --extract --directory=/etc/dovecot.new --no-same-owner --file=-"
    assert (await ssh("backend-1", command, input=packed.getvalue(), encoding=None)).exit_status is None
    await until(lambda: all(ran.exit_status == 0 for ran in ring.ran("tar")), "tar ended")
    assert len(ring.backends["backend-1"].disk.read("/etc/dovecot.new/big.conf") or b"") == member.size


@pytest.mark.parametrize(("when", "vhosts"), [("before", "100"), ("after", "0")])
async def test_an_exit_status_can_lie_about_what_was_done(
    ring: PracticeRing, ssh: Client, when: str, vhosts: str
) -> None:
    """75 is said both when nothing was done and when it was done and not confirmed."""
    ring.fault(Fault(matches="director update", when=when, what="exit", exit_status=75))  # type: ignore[arg-type]
    assert (await ssh("director-1", f"doveadm director update {IP} 0")).exit_status == 75
    assert (await ssh.row("director-2"))["vhosts"] == vhosts


@pytest.mark.parametrize(("when", "vhosts"), [("before", "100"), ("after", "0")])
async def test_a_command_can_hang_while_others_on_the_same_connection_go_on(
    ring: PracticeRing, ssh: Client, when: str, vhosts: str
) -> None:
    """The bot has to have a time limit of its own."""
    ring.fault(Fault(host="director-1", matches="update", when=when, what="hang"))  # type: ignore[arg-type]
    connection = await ssh.connect("director-1")
    hanging = asyncio.create_task(connection.run(f"doveadm director update {IP} 0"))
    await until(lambda: not ring._faults._armed, "the fault struck")
    assert (await ssh.row("director-1"))["vhosts"] == vhosts
    assert not hanging.done()
    hanging.cancel()


async def test_an_unreachable_host_drops_its_connections_and_takes_no_new_ones(ring: PracticeRing, ssh: Client) -> None:
    """And is there again afterwards, on the same port."""
    connection = await ssh.connect("backend-2")
    ring.backends["backend-2"].unreachable = True
    await asyncio.wait_for(connection.wait_closed(), PATIENCE)
    with pytest.raises((asyncssh.Error, OSError)):
        await ssh("backend-2", "true")
    ring.backends["backend-2"].unreachable = False
    await ssh.out("backend-2", "true")


async def test_files_for_the_client_are_private_and_go_away_with_the_ring() -> None:
    """A key is a key, even for practice."""
    async with PracticeRing(directors=1, backends=1, users=0) as ring:
        directory = ring.directory
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
        assert modes == {"client_key": 0o600, "known_hosts": 0o600, "ssh_config": 0o600}
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect("backend-1", config=[str(ring.ssh_config)], client_keys=[], agent_path=None)
    assert not directory.exists()


async def test_keepalives_are_answered(ring: PracticeRing) -> None:
    """The bot notices a dead host by its silence, so a living one must not be silent."""
    connection = await asyncssh.connect(
        "backend-1", config=[str(ring.ssh_config)], keepalive_interval=0.02, keepalive_count_max=2
    )
    async with connection:
        until_then = asyncio.get_running_loop().time() + 0.2
        await until(lambda: asyncio.get_running_loop().time() > until_then, "several keepalives")
        assert (await connection.run("true")).exit_status == 0
