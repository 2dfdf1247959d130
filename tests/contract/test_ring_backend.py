"""A backend of the practice ring and one of the real ring: mail, configuration, deletions."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.adapters.configs import FolderProposals
from bot.core.plans.effects import GUARD_REFUSED
from bot.errors import Unreadable
from tests.contract.fixtures import practice, real, ring
from tests.contract.rings import NAME, NEVER_WRITTEN_TO, EitherRing
from tests.contract.walking import METACACHE, STAGED, VMAIL, Material, action_of, plan_for, proposed
from tests.lab.fixtures import lab

__all__ = ["lab", "practice", "real", "ring"]


# mail


async def test_the_test_user_has_mail_until_somebody_empties_the_mailbox(ring: EitherRing) -> None:
    """An empty mailbox exits 0 everywhere: only the numbers show that there was something to read."""
    user = ring.target.ring.test_user
    assert int((await ring.read(NAME, "mailbox-status", user=user))["messages"]) >= 3
    assert int((await ring.read(NAME, "fetched-mail", user=user))["bytes"]) > 100
    await ring.empty_mailboxes()
    assert (await ring.read(NAME, "mailbox-status", user=user))["messages"] == 0
    assert (await ring.read(NAME, "fetched-mail", user=user))["bytes"] == 0
    assert int((await ring.read(NAME, "mailbox-list", user=user))["folders"]) >= 1


async def test_a_user_whom_nobody_has_written_to_has_folders_and_nothing_to_count(ring: EitherRing) -> None:
    """No folder is there to have a status: not 0 messages, but no answer at all."""
    assert int((await ring.read(NAME, "mailbox-list", user=NEVER_WRITTEN_TO))["folders"]) >= 1
    assert (await ring.read(NAME, "fetched-mail", user=NEVER_WRITTEN_TO))["bytes"] == 0
    asked = await ring.ask(NAME, "mailbox-status", user=NEVER_WRITTEN_TO)
    assert (asked.exit_status, asked.stdout) == (0, "")
    with pytest.raises(Unreadable, match="no folder"):
        await ring.read(NAME, "mailbox-status", user=NEVER_WRITTEN_TO)


async def test_a_user_who_does_not_exist_is_an_answer_that_cannot_be_read(ring: EitherRing) -> None:
    """A test user who was mistyped in the settings must not look like one without mail."""
    await ring.know_only_some_users()
    for probe in ("mailbox-list", "mailbox-status", "fetched-mail"):
        with pytest.raises(Unreadable, match=r"exited with 67: doveadm\(nobody-here\): Error: User doesn't exist"):
            await ring.read(NAME, probe, user="nobody-here")


# configuration

IN_PLACE = "/etc/dovecot"
BROKEN = {
    "BROKEN = yes\n": "line 1: Unknown setting: BROKEN",
    "service imap {\n": "Missing '}' (section started at {path}:1)",
    "}\n": "line 1: Unexpected '}'",
    "listen\n": "line 1: Expecting '{'",
}


async def stage(ring: EitherRing, folder: Path, text: str) -> None:
    """Copy the backend's own configuration to where it is staged, with one file of that text more."""
    (folder / "review").mkdir()
    ring.config(folder / "review")
    (folder / "review/conf.d/95-broken.conf").write_text(text)
    for path in (path for path in (folder / "review").rglob("*") if path.is_file()):
        path.chmod(0o644)
    proposals = FolderProposals(folder)
    script = f"mkdir -p {STAGED} && tar --extract --directory={STAGED} --no-same-owner --file=-"
    packed = await proposals.archive(await proposals.proposal("review"))
    assert (await ring.run(NAME, ["sh", "-c", script], material=packed)).exit_status == 0


@pytest.mark.parametrize("text", BROKEN)
async def test_a_broken_configuration_is_refused_where_it_is_staged(
    ring: EitherRing, tmp_path: Path, text: str
) -> None:
    """And the one in place stays as it is, and serves."""
    await stage(ring, tmp_path, text)
    for probe, path, here in (("config-parses", f"{STAGED}/dovecot.conf", STAGED), ("config-starts", STAGED, IN_PLACE)):
        reading = await ring.read(NAME, probe, path=path)
        said = BROKEN[text].replace("{path}", f"{here}/conf.d/95-broken.conf")
        assert (reading[probe.removeprefix("config-")], str(reading["said"]).endswith(said)) == (False, True), reading
    assert (await ring.read(NAME, "config-parses", path="/etc/dovecot/dovecot.conf"))["parses"]


DOES_NOT_START = {
    "ssl_key = </etc/dovecot/private/missing.pem\n": "line 1: Can't open file /etc/dovecot/private/missing.pem:"
    " No such file or directory (ssl_key)",
    "ssl_cert = <beside.pem\n": f"line 1: Can't open file {IN_PLACE}/conf.d/beside.pem:"
    " No such file or directory (ssl_cert)",
    f"!include {IN_PLACE}/only-in-place.conf\n": "line 1: No matches",
}


@pytest.mark.parametrize("text", DOES_NOT_START)
async def test_a_configuration_that_parses_and_does_not_start_is_seen_where_it_is_staged(
    ring: EitherRing, tmp_path: Path, text: str
) -> None:
    """Seen: `doveconf -n` says yes to each of these, and dovecot exits with 89 once it stands in its place."""
    await stage(ring, tmp_path, text)
    await ring.run(NAME, ["cp", f"{IN_PLACE}/conf.d/10-mail.conf", f"{IN_PLACE}/only-in-place.conf"])
    assert (await ring.read(NAME, "config-parses", path=f"{STAGED}/dovecot.conf"))["parses"]
    asked = await ring.ask(NAME, "config-starts", path=STAGED)
    reading = await ring.read(NAME, "config-starts", path=STAGED)
    assert (reading["starts"], str(reading["said"]).endswith(DOES_NOT_START[text])) == (False, True), reading
    assert (asked.stdout_bytes, asked.exit_status) == (0, 89)
    assert (await ring.read(NAME, "config-starts", path=IN_PLACE))["starts"] is True
    await ring.run(NAME, "systemctl stop dovecot")
    await ring.run(NAME, f"mv -T {IN_PLACE} {IN_PLACE}.set-aside")
    await ring.run(NAME, f"mv -T {STAGED} {IN_PLACE}")
    asked = await ring.ask(NAME, "config-starts", path=IN_PLACE)
    reading = await ring.read(NAME, "config-starts", path=IN_PLACE)
    assert (reading["starts"], str(reading["said"]).endswith(DOES_NOT_START[text])) == (False, True), reading
    assert (asked.stdout_bytes, asked.exit_status) == (0, 89)
    assert (await ring.run(NAME, "systemctl start dovecot")).exit_status == 1


async def test_a_configuration_that_includes_its_own_new_file_by_its_full_path_starts(
    ring: EitherRing, tmp_path: Path
) -> None:
    """The one in place has no such file: read where it lies, it would be refused."""
    await stage(ring, tmp_path, f"!include {IN_PLACE}/new.conf\n")
    await ring.run(NAME, ["cp", f"{STAGED}/conf.d/10-mail.conf", f"{STAGED}/new.conf"])
    assert (await ring.read(NAME, "config-parses", path=f"{STAGED}/dovecot.conf"))["parses"] is False
    assert await ring.read(NAME, "config-starts", path=STAGED) == {"starts": True, "said": ""}


async def test_without_its_configuration_dovecot_does_not_start_and_doveadm_does_not_answer(
    ring: EitherRing,
) -> None:
    """The harm that the check before the take-down prevents: nothing can even be asked any more."""
    await ring.run(NAME, "systemctl stop dovecot")
    await ring.run(NAME, "mv -T /etc/dovecot /etc/dovecot.set-aside")
    assert (await ring.run(NAME, "systemctl start dovecot")).exit_status == 1
    unit = await ring.read(NAME, "unit", name="dovecot")
    assert (unit["active"], unit["result"]) == ("failed", "exit-code")
    asked = await ring.ask(NAME, "service", name="lmtp")
    assert (asked.exit_status, "stat(/etc/dovecot/dovecot.conf) failed" in asked.stderr) == (75, True)
    assert (await ring.run(NAME, "mv -T /etc/dovecot.set-aside /etc/dovecot")).exit_status == 0
    assert (await ring.run(NAME, "systemctl start dovecot")).exit_status == 0
    assert (await ring.read(NAME, "unit", name="dovecot"))["active"] == "active"


async def test_the_digest_of_a_proposal_is_the_digest_of_its_tree_on_the_host(ring: EitherRing, tmp_path: Path) -> None:
    """Files, links and folders, and whose they are: what was approved is what lies there, and another byte is seen."""
    proposals, proposal = await proposed(ring, tmp_path)
    brought = Material(proposals=proposals, proposal=proposal, packages=())
    stage = action_of(plan_for(ring, brought), "stage-config").command
    like = await ring.read(NAME, "owned-tree", path="/etc/dovecot")
    packed = await proposals.archive(proposal, str(like["listing"]))
    assert (await ring.run(NAME, stage, material=packed)).exit_status == 0
    assert (await ring.read(NAME, "tree", path=STAGED))["contents"] == proposal.contents
    assert (await ring.read(NAME, "ownership", path=STAGED, like="/etc/dovecot"))["difference"] == "none"
    assert (await ring.run(NAME, f"rm {STAGED}/newest.conf.ext")).exit_status == 0
    assert (await ring.read(NAME, "tree", path=STAGED))["contents"] != proposal.contents
    assert (await ring.read(NAME, "tree", path="/nowhere")) == {"digest": "none", "files": 0, "contents": "none"}


# deletions


async def test_the_deletions_refuse_while_dovecot_runs_and_leave_what_is_not_theirs(ring: EitherRing) -> None:
    """Deleting while dovecot runs can corrupt indexes, so the same command looks and deletes."""
    plan = plan_for(ring)
    deletions = [action_of(plan, step).command for step in ("remove-old-metacache-database", "clean-metacache")]
    before = [await ring.read(NAME, "files", path=path) for path in (METACACHE, VMAIL)]
    for deletion in deletions:
        assert (await ring.run(NAME, deletion)).exit_status == GUARD_REFUSED
    assert [await ring.read(NAME, "files", path=path) for path in (METACACHE, VMAIL)] == before
    await ring.run(NAME, "systemctl stop dovecot")
    for deletion in (*deletions, *deletions):
        assert (await ring.run(NAME, deletion)).exit_status == 0
    assert await ring.read(NAME, "files", path=METACACHE, named="metacache-users*") == {"exists": True, "count": 0}
    assert await ring.read(NAME, "files", path=METACACHE) == {"exists": True, "count": 1}
    assert await ring.read(NAME, "files", path=VMAIL) == {"exists": True, "count": 0}


async def test_a_start_of_dovecot_has_an_id_that_nothing_but_the_next_start_changes(ring: EitherRing) -> None:
    """By it a deletion knows whether a dovecot has written to the metacache since it was flushed."""

    async def last_start() -> str:
        return str((await ring.read(NAME, "metacache-flush", unit="dovecot-metacache-flush"))["invocation"])

    first = await last_start()
    assert len(first) == 32
    for command in ("stop", "mask --runtime", "unmask --runtime"):
        assert (await ring.run(NAME, f"systemctl {command} dovecot")).exit_status == 0
        assert await last_start() == first
    assert (await ring.run(NAME, "systemctl start dovecot")).exit_status == 0
    assert await last_start() not in {first, ""}
