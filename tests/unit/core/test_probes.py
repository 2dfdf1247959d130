"""Every reading, on outputs recorded from real hosts; and what is no answer is never read as one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.hosts.command import Result
from bot.core.hosts.inventory import Ring, Target
from bot.core.plans.plan import Value
from bot.core.readings.outputs import Reading, version_key
from bot.core.readings.probes import PROBES
from bot.core.readings.sessions import NAMES
from bot.core.readings.trees import tree_digest
from bot.errors import Unreadable
from tests.build import NOON, target

RECORDED = Path(__file__).parent / "recorded"


def lab_target(directors: int = 2) -> Target:
    ring = Ring.model_validate(
        {
            "name": "lab",
            "test_user": "testuser",
            "directors": [{"name": f"director-{n + 1}"} for n in range(directors)],
            "backends": [{"name": f"backend-{n}", "ip": f"127.0.2.{n}"} for n in (1, 2, 3)],
        }
    )
    return Target(ring=ring, backend=ring.backends[2])


def result(stdout: str = "", exit_status: int = 0, stderr: str = "") -> Result:
    return Result(
        host="a-host",
        command="a command",
        exit_status=exit_status,
        stdout=stdout,
        stderr=stderr,
        stdout_bytes=len(stdout.encode()),
        began=NOON,
        took=timedelta(milliseconds=5),
    )


def read(probe: str, file: str, exit_status: int = 0, /, at: Target | None = None, **asks: Any) -> Reading:
    text = (RECORDED / file).read_text()
    return PROBES[probe].read(at or lab_target(), asks, result(text, exit_status))


def test_a_director_says_what_vhosts_state_and_users_the_backend_has() -> None:
    reading = read("director-hosts", "director-status.tab")
    usual = {"usable_others": 2, "others": "as usual", "stranded": 0}
    assert reading == {"vhosts": 100, "state": "up", "users": 3} | usual
    assert read("director-hosts", "director-status-drained.tab")["vhosts"] == 0
    flushed = read("director-hosts", "director-status-flushed.tab")
    assert (flushed["vhosts"], flushed["state"], flushed["users"]) == (0, "down", 0)


def test_another_backend_that_is_out_or_unknown_is_named() -> None:
    text = (RECORDED / "director-status-drained.tab").read_text()
    seen_from_1 = lab_target().model_copy(update={"backend": lab_target().ring.backends[0]})
    reading = PROBES["director-hosts"].read(seen_from_1, {}, result(text))
    assert reading["others"] == "backend-3 is up with vhosts 0"
    assert reading["usable_others"] == 1
    stranger = text + "127.0.2.9\t\t100\tup\t-\t0\n"
    assert "127.0.2.9 is on the list but was not in the settings when this was asked for" in str(
        PROBES["director-hosts"].read(lab_target(), {}, result(stranger))["others"]
    )


def test_backends_of_another_tag_are_no_place_for_this_ones_users() -> None:
    text = "mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n127.0.2.1\tx\t100\tup\t-\t0\n"
    text += "127.0.2.2\t\t0\tup\t-\t0\n127.0.2.3\t\t100\tup\t-\t5\n"
    assert PROBES["director-hosts"].read(lab_target(), {}, result(text))["usable_others"] == 0


def test_columns_are_read_by_name_whatever_their_order() -> None:
    text = "users\tvhosts\tmail server ip\tnew column\tstate\n7\t100\t127.0.2.3\tx\tup\n"
    reading = PROBES["director-hosts"].read(lab_target(), {}, result(text))
    assert (reading["users"], reading["vhosts"]) == (7, 100)


def test_a_ring_with_a_director_away_is_not_synced_and_says_which() -> None:
    assert read("director-ring", "director-ring-status.tab") == {
        "synced": True,
        "status": "ring synced",
        "directors": 2,
        "self": "127.0.1.1:9090",
        "members": "127.0.1.1:9090 127.0.1.2:9090",
    }
    away = read("director-ring", "director-ring-status-one-away.tab")
    assert away["synced"] is False
    assert "127.0.1.2 away" in str(away["status"])


def test_a_director_that_the_inventory_does_not_know_is_not_a_whole_ring() -> None:
    """Nobody would ask it: its view of the backend would stay unseen."""
    reading = read("director-ring", "director-ring-status.tab", at=lab_target(directors=1))
    assert reading["synced"] is False
    assert "2 directors, this was asked for with 1" in str(reading["status"])


def test_in_a_large_ring_a_healthy_director_need_not_be_a_neighbour() -> None:
    head = "director ip\tport\ttype\tlast failed\tstatus\n127.0.1.1\t9090\tself\tnever\tring synced\n"
    rows = "127.0.1.2\t9090\tright\tnever\tsynced\n127.0.1.4\t9090\tleft\tnever\tsynced\n"
    whole = head + rows + "127.0.1.3\t9090\t\tnever\t\n"
    ring_of_4 = lab_target(directors=4)
    assert PROBES["director-ring"].read(ring_of_4, {}, result(whole))["synced"] is True
    broken = head + rows + "127.0.1.3\t9090\t\t2026-03-01 12:00:00\t\n"
    assert PROBES["director-ring"].read(ring_of_4, {}, result(broken))["synced"] is False


def test_lmtp_is_stopped_when_doveadm_says_so_not_when_nobody_listens() -> None:
    """`listening` is n in both of the first two: a waiting process listens in the master's place."""
    assert read("service", "service-status-lmtp.json", name="lmtp")["stopped"] is False
    assert read("service", "service-status-lmtp-stopped.json", name="lmtp")["stopped"] is True
    assert read("service", "service-status-lmtp-idle.json", name="lmtp")["stopped"] is False


def test_a_unit_is_told_running_from_stopped_masked_and_not_there() -> None:
    assert read("unit", "systemctl-show-active.txt", name="dovecot")["active"] == "active"
    stopped = read("unit", "systemctl-show-stopped.txt", name="dovecot")
    assert (stopped["load"], stopped["active"], stopped["result"]) == ("loaded", "inactive", "success")
    masked = read("unit", "systemctl-show-masked.txt", name="dovecot")
    assert (masked["load"], masked["enabled"]) == ("masked", "masked-runtime")
    assert read("unit", "systemctl-show-unknown.txt", name="dovecot")["load"] == "not-found"


def test_a_package_that_is_not_offered_or_not_installed_is_named() -> None:
    madison = (RECORDED / "apt-cache-madison.txt").read_text()
    version = madison.split("|")[1].strip()
    offered = PROBES["offered-packages"].read(target(), {"names": f"dovecot-core={version}"}, result(madison))
    assert offered == {"missing": "none", "dovecot": version.split(":", 1)[-1]}
    other = PROBES["offered-packages"].read(target(), {"names": "dovecot-core=1:9.9"}, result(madison))
    assert other["missing"] == "dovecot-core=1:9.9"
    said, complaint = ((RECORDED / f"dpkg-query.{end}").read_text() for end in ("txt", "stderr"))
    asks = {"names": "dovecot-core=1 nosuch=1"}
    installed = PROBES["packages"].read(lab_target(), asks, result(said, 1, complaint))
    assert str(installed["installed"]).startswith("dovecot-core=1:2.3.19.1")
    assert installed["status"] == "nosuch is not installed"


OLDER = "1:2.3.19.1+dfsg1-2.1+deb12u6"


@pytest.mark.parametrize(
    ("file", "names", "expected"),
    [
        ("apt-get-simulate.txt", ("core", "imapd", "lmtpd"), {}),
        ("apt-get-simulate-adds.txt", ("core", "imapd", "lmtpd"), {"added_too": "dovecot-sieve"}),
        ("apt-get-simulate-removes.txt", ("core",), {"removed_too": "dovecot-imapd, dovecot-lmtpd"}),
        ("apt-get-simulate-also.txt", ("core",), {"changed_too": "dovecot-imapd, dovecot-lmtpd"}),
    ],
)
def test_what_apt_would_change_besides_the_packages_asked_for_is_listed(
    file: str, names: tuple[str, ...], expected: dict[str, str]
) -> None:
    named = " ".join(f"dovecot-{name}={OLDER}" for name in names)
    nothing = dict.fromkeys(("refused", "removed_too", "changed_too", "added_too"), "none")
    assert read("package-changes", file, names=named) == nothing | expected


def test_why_apt_would_not_do_it_is_read_with_the_dependency_that_is_in_the_way() -> None:
    said = (RECORDED / "apt-get-simulate-refused.txt").read_text()
    errors = (RECORDED / "apt-get-simulate-refused.stderr").read_text()
    asks = {"names": f"dovecot-imapd={OLDER}"}
    reading = PROBES["package-changes"].read(target(), asks, result(said, 100, errors))
    assert str(reading["refused"]).startswith("E: Unable to correct problems, you have held broken packages.; dovecot-")
    assert f"Depends: dovecot-core (= {OLDER})" in str(reading["refused"])
    with pytest.raises(Unreadable):
        PROBES["package-changes"].read(target(), asks, result("", 100))


def test_the_test_users_mails_and_folders_are_counted() -> None:
    assert read("mailbox-status", "mailbox-status.txt", user="testuser")["messages"] == 3
    assert read("mailbox-list", "mailbox-list.txt", user="testuser")["folders"] == 3
    with pytest.raises(Unreadable):
        PROBES["mailbox-status"].read(target(), {"user": "nobody"}, result(""))


def test_only_a_greeting_of_imap_or_lmtp_is_one() -> None:
    assert read("greeting", "banner-imap.txt", port=143)["greets"] is True
    assert read("greeting", "banner-lmtp.txt", port=24)["greets"] is True
    refused = "bash: connect: Connection refused"
    assert PROBES["greeting"].read(target(), {"port": 143}, result("", 1, refused))["greets"] is False
    assert PROBES["greeting"].read(target(), {"port": 143}, result("", 124))["greets"] is False
    assert PROBES["greeting"].read(target(), {"port": 143}, result("SSH-2.0-x\n"))["greets"] is False


def test_dovecots_version_is_read_without_its_revision() -> None:
    assert read("dovecot-version", "dovecot-version.txt")["version"] == "2.3.19.1"


def test_a_tree_has_one_digest_whatever_the_order_of_its_lines() -> None:
    text = (RECORDED / "find-tree.txt").read_text()
    lines = text.splitlines()
    one = PROBES["tree"].read(target(), {"path": "/etc/dovecot"}, result(text))
    other = PROBES["tree"].read(target(), {"path": "/etc/dovecot"}, result("\n".join(reversed(lines)) + "\n"))
    assert one["digest"] == other["digest"]
    moved = text.replace("/etc/dovecot/", "/etc/dovecot.r1.proposed/")
    staged = PROBES["tree"].read(target(), {"path": "/etc/dovecot.r1.proposed"}, result(moved))
    assert staged["digest"] == one["digest"]
    changed = text.replace("mode 644", "mode 666", 1)
    assert PROBES["tree"].read(target(), {"path": "/etc/dovecot"}, result(changed))["digest"] != one["digest"]
    assert tree_digest([]) != one["digest"]


def test_a_tree_that_is_not_there_has_no_digest() -> None:
    missing = result("", 1, "find: ‘/etc/dovecot.r1.proposed’: No such file or directory")
    assert PROBES["tree"].read(target(), {"path": "/etc/dovecot.r1.proposed"}, missing) == {
        "digest": "none",
        "files": 0,
        "contents": "none",
    }
    with pytest.raises(Unreadable):
        PROBES["tree"].read(target(), {"path": "/etc/dovecot"}, result("mode 644\tdovecot.conf\n", 1, "find: denied"))


def test_files_of_a_directory_are_counted() -> None:
    listing = "d\t/var/dovecot/vmail\nf\t/var/dovecot/vmail/.dot\nd\t/var/dovecot/vmail/a\n"
    asks = {"path": "/var/dovecot/vmail"}
    assert PROBES["files"].read(target(), asks, result(listing)) == {"exists": True, "count": 2}
    assert PROBES["files"].read(target(), asks, result("d\t/var/dovecot/vmail\n")) == {"exists": True, "count": 0}
    with pytest.raises(Unreadable):
        PROBES["files"].read(target(), asks, result("", 1, "find: ‘/var/dovecot/vmail’: No such file or directory"))


_ASKS: dict[str, Value] = {
    "name": "lmtp",
    "names": "dovecot-core=1",
    "path": "/x",
    "to": "/y",
    "like": "/z",
    "since": "conf.d\td\t755\troot\troot\t",
    "port": 143,
    "user": "u",
    "unit": "f",
}


_EXITS = {
    "greeting": {1, 124},
    "config-parses": {89},
    "config-starts": {66, 77, 89},
    "config-difference": {1, 2},
    "packages": {1},
    "dovecot-packages": {1, 127},
    "package-changes": {100},
    "tree": {1},
}
"""The exits, beside 0, with which a probe's command answers."""

_REFUSALS = ["sudo: a password is required", "Sorry, user bot is not allowed to execute '/usr/bin/sh' as root on b."]


def is_read(probe: str, answer: Result) -> bool:
    try:
        PROBES[probe].read(lab_target(), _ASKS, answer)
    except Unreadable:
        return False
    return True


def test_an_exit_status_that_is_not_the_commands_own_is_never_a_reading() -> None:
    """sudo, sshd, timeout and a shell that finds no command exit too, and know nothing of what was asked."""
    others = {1, 2, 64, 75, 78, 89, 100, 124, 126, 127, 137, 255}
    asked = ((probe, exit_status) for probe in PROBES for exit_status in others - _EXITS.get(probe, set()))
    assert [one for one in asked if is_read(one[0], result("d\t755\t/x/a\t\n", one[1], "no"))] == []


def test_what_sudo_refuses_and_what_says_nothing_is_never_a_reading() -> None:
    """Seen: sudo refused diff, and the run said that nothing differs. It exits with 1, as diff and find do."""
    asked = ((probe, said) for probe in PROBES for said in ("", *_REFUSALS))
    assert [one for one in asked if is_read(one[0], result("", 1, one[1]))] == []


def test_that_there_is_no_dpkg_is_an_answer() -> None:
    reading = PROBES["dovecot-packages"].read(lab_target(), _ASKS, result("", 127, "dpkg-query: command not found"))
    assert "not known" in str(reading["installed"])


@pytest.mark.parametrize("said", ["find: ‘/x’: Permission denied", "find: ‘/y’: No such file or directory"])
def test_a_tree_that_cannot_be_read_is_not_one_that_is_not_there(said: str) -> None:
    with pytest.raises(Unreadable):
        PROBES["tree"].read(lab_target(), {"path": "/x"}, result("", 1, said))


@given(text=st.text(max_size=400), probe=st.sampled_from(sorted(PROBES)))
def test_whatever_a_host_says_it_is_a_reading_or_unreadable(text: str, probe: str) -> None:
    """Nothing that a host prints may stop the bot."""
    try:
        reading = PROBES[probe].read(lab_target(), _ASKS, result(text))
    except Unreadable:
        return
    assert set(reading) - {NAMES} == PROBES[probe].fields


@given(st.text(max_size=40))
def test_a_version_is_compared_by_its_numbers(text: str) -> None:
    assert version_key("2.3.21" + text[:0]) < version_key("2.4")
    assert version_key("2.10") > version_key("2.9")
    version_key(text)
