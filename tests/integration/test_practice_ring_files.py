"""Files and the small shell of the practice ring: scripts do there what they do on a real host, or are refused."""

import hashlib
import io
import shlex
import tarfile

import pytest

from bot.practice.machine.files import Directory
from bot.practice.machine.shell import NotUnderstood, read_script
from bot.practice.ring.ring import PracticeRing
from tests.integration.sshclient import Client, ring, ssh

__all__ = ["ring", "ssh"]

METACACHE = "/var/lib/dovecot/metacache"
GUARD = 'test "$(systemctl show --property=ActiveState --value dovecot)" = inactive || exit 97; '
DIFF = "diff --recursive --unified --new-file --no-dereference"
TREE = r"""find {} '(' -type l -printf 'link %l\t%P\n' ')' , '(' -type f -printf 'mode %m\t%P\n' ')' , """
TREE += r"""'(' -type f -exec sha256sum '{{}}' + ')'"""


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
    folder = disk.look(staged)
    assert isinstance(folder, Directory)
    assert folder.mode == 0o700
    difference = await ssh("backend-1", f"{DIFF} /etc/dovecot {staged}")
    assert difference.exit_status == 2, "as of GNU diff where a link is on one side only"
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
    await ssh.out("backend-1", f"mv -T /etc/dovecot {staged} && mv -T {kept} /etc/dovecot")
    assert "link ../local.conf\tconf.d/99-local.conf.ext\n" in await ssh.out("backend-1", TREE.format("/etc/dovecot"))
    assert (await ssh("backend-1", f"{DIFF} /etc/dovecot /etc/dovecot")).exit_status == 0


async def test_a_tree_prints_the_same_as_gnu_find_would(ssh: Client) -> None:
    """Modes, links and sums of a directory, dot files and -name too."""
    names = await ssh.out(
        "backend-1", rf"find {METACACHE} -xdev -maxdepth 1 -name 'metacache-users*' -printf '%y\t%p\n'"
    )
    assert sorted(names.splitlines()) == [f"f\t{METACACHE}/metacache-users-{number}" for number in range(1, 5)]
    missing = await ssh("backend-1", r"find /nowhere -xdev -maxdepth 1 -printf '%y\t%p\n'")
    assert (missing.exit_status, str(missing.stderr)) == (1, "find: ‘/nowhere’: No such file or directory\n")


@pytest.mark.parametrize(
    "script", ["a | b", "a && && b", "for x in 1; do a; done", "'open", "a > /etc/passwd", "a &", "$(a", "! a", "${a}"]
)
def test_what_the_small_shell_does_not_understand_is_refused_before_anything_runs(script: str) -> None:
    """Half a script that runs would be worse than none."""
    with pytest.raises(NotUnderstood):
        read_script(script)


async def test_an_unknown_command_and_a_wrong_script_say_so(ssh: Client) -> None:
    """As a shell does: 127 and 2."""
    unknown = await ssh("director-1", "systemd-reboot now")
    assert (unknown.exit_status, unknown.stderr) == (127, "sh: 1: systemd-reboot: not found\n")
    assert (await ssh("director-1", "mkdir -p -m")).exit_status == 1
    wrong = await ssh("director-1", "echo a; echo b | cat")
    assert (wrong.exit_status, wrong.stdout) == (2, "")
    assert "Syntax error" in str(wrong.stderr)
