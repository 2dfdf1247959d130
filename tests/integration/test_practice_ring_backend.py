"""The practice ring's backends, seen through a real SSH client: services, mail, packages, configuration."""

import json
import shlex

import pytest

from bot.practice.ring.ring import PracticeRing
from tests.integration.sshclient import IP, Client, ring, ssh

__all__ = ["ring", "ssh"]

APT = "env DEBIAN_FRONTEND=noninteractive apt-get --yes --allow-downgrades -o Dpkg::Options::=--force-confold install"
OLD, NEW = "1:2.3.19.1+dfsg1-2.1+deb12u6", "1:2.3.19.1+dfsg1-2.1+deb12u7"


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
    ring.backends["backend-1"].dovecot.mailboxes_empty = True
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
    assert shown == f"dovecot-core\t{NEW}\tinstalled\ndovecot-lmtpd\t{NEW}\tinstalled\n"
    active = await ssh.out("backend-2", "systemctl show --property=ActiveState --value dovecot")
    assert active == ("inactive\n" if masked else "active\n")
    refused = await ssh("backend-2", f"{APT} dovecot-core=9")
    assert (refused.exit_status, "E: Version '9' for 'dovecot-core' was not found" in str(refused.stderr)) == (
        100,
        True,
    )


async def test_a_broken_configuration_is_refused_by_doveconf_and_by_the_start(ring: PracticeRing, ssh: Client) -> None:
    """An included file counts too."""
    assert "auth_mechanisms = plain login" in await ssh.out("backend-1", "doveconf -n -c /etc/dovecot/dovecot.conf")
    ring.backends["backend-1"].disk.write("/etc/dovecot/conf.d/50-new.conf", "\nBROKEN = yes\n")
    wrong = await ssh("backend-1", "doveconf -n -c /etc/dovecot/dovecot.conf")
    assert wrong.exit_status == 89
    assert "Error in configuration file /etc/dovecot/conf.d/50-new.conf line 2" in str(wrong.stderr)
    await ssh.out("backend-1", "systemctl stop dovecot")
    start = await ssh("backend-1", "systemctl start dovecot")
    shown = await ssh.out("backend-1", "systemctl show --property=ActiveState,Result dovecot")
    assert (start.exit_status, shown) == (1, "Result=exit-code\nActiveState=failed\n")


async def test_the_flush_unit_can_be_there_disabled_or_missing(ring: PracticeRing, ssh: Client) -> None:
    """Preflight has to tell these apart."""
    show = "systemctl show --property=LoadState,UnitFileState dovecot-metacache-flush"
    assert await ssh.out("backend-1", show) == "LoadState=loaded\nUnitFileState=enabled\n"
    ring.backends["backend-1"].metacache_flush = "disabled"
    assert await ssh.out("backend-1", show) == "LoadState=loaded\nUnitFileState=disabled\n"
    ring.backends["backend-1"].metacache_flush = None
    assert await ssh.out("backend-1", show) == "LoadState=not-found\nUnitFileState=\n"
