"""A backend of the practice ring and one of the real ring: mail, configuration, deletions, packages."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.adapters.configs import FolderProposals
from bot.core.hosts.command import Command
from bot.core.plans.effects import GUARD_REFUSED
from bot.core.plans.plan import Action, Plan
from bot.core.readings.packages import offers
from bot.errors import Unreadable
from tests.contract.fixtures import practice, real, ring
from tests.contract.rings import NAME, NEVER_WRITTEN_TO, PACKAGES, EitherRing
from tests.contract.walking import FOLDER, METACACHE, STAGED, VMAIL, Material, material, plan_for, proposed
from tests.lab.fixtures import lab

__all__ = ["lab", "practice", "real", "ring"]


def action_of(plan: Plan, step: str) -> Action:
    """What the plan does at a step."""
    return next(one.action for one in plan.changes if one.name == step)


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


# packages


async def install(ring: EitherRing, version: str) -> None:
    command = "env DEBIAN_FRONTEND=noninteractive apt-get --yes --allow-downgrades -o Dpkg::Options::=--force-confold"
    done = await ring.run(NAME, f"{command} install {' '.join(f'{name}={version}' for name in PACKAGES)}")
    assert done.exit_status == 0, done


async def test_without_a_mask_the_installation_starts_a_stopped_dovecot(ring: EitherRing) -> None:
    """That is what the mask is for."""
    version = await ring.other_version()
    await ring.run(NAME, "systemctl stop dovecot")
    await install(ring, version)
    assert (await ring.read(NAME, "unit", name="dovecot"))["active"] == "active"
    read = await ring.read(NAME, "packages", names=f"{PACKAGES[0]}={version}")
    assert read == {"installed": f"{PACKAGES[0]}={version}", "status": "installed"}


async def offered(ring: EitherRing) -> list[tuple[str, bool]]:
    """What apt would install in the place of each package, and whether that is newer."""
    answer = await ring.ask(NAME, "candidate-packages", names=" ".join(f"{name}=1" for name in PACKAGES))
    return [(one.candidate, one.higher) for one in offers(answer.stdout)]


async def test_what_apt_would_bring_a_package_to_is_known_and_whether_that_is_newer(ring: EitherRing) -> None:
    """A bare command brings packages there, and never to a lower version."""
    newest = max(await ring.other_version(), await installed(ring))
    assert await offered(ring) == [(newest, await installed(ring) != newest)] * len(PACKAGES)
    await install(ring, await ring.other_version())
    assert await offered(ring) == [(newest, await installed(ring) != newest)] * len(PACKAGES)


async def test_packages_that_were_downloaded_are_installed_with_the_mirror_away(
    ring: EitherRing, tmp_path: Path
) -> None:
    """Both ways: what is to be installed, and what was there before."""
    brought = await material(ring, tmp_path)
    plan = plan_for(ring, brought)
    for step in ("download-packages", "download-packages-of-before"):
        done = await ring.run(NAME, action_of(plan, step).command)
        assert done.exit_status == 0, done
    await ring.set_mirror_away()
    specs = " ".join(map(str, brought.packages))
    before = " ".join(f"{one.name}={one.before}" for one in brought.packages)
    for probe, names, field, wanted in (
        ("downloaded-packages", specs, "missing", "none"),
        ("packages-of-before", before, "way_back", "there"),
    ):
        assert (await ring.read(NAME, probe, names=names, folder=FOLDER))[field] == wanted
    await ring.run(NAME, "systemctl stop dovecot")
    await ring.run(NAME, "systemctl mask --runtime dovecot")
    there = next(step for step in plan.changes if step.name == "install-packages")
    assert there.undo is not None
    for action, names in ((there.action, specs), (there.undo, before)):
        done = await ring.run(NAME, action.command)
        assert done.exit_status == 0, done
        assert (await ring.read(NAME, "packages", names=names))["installed"] == names


async def test_held_packages_and_a_package_manager_that_is_not_ready_are_seen_before(ring: EitherRing) -> None:
    version = await ring.other_version()
    assert (await ring.read(NAME, "package-manager"))["state"] == "ready"
    await ring.hold(PACKAGES[0])
    said = (await besides(ring, *(f"{name}={version}" for name in PACKAGES)))["refused"]
    assert str(said).startswith("E: Held packages were changed and -y was used")
    await ring.interrupt_dpkg()
    assert str((await ring.read(NAME, "package-manager"))["state"]).startswith("dpkg was interrupted")


LOCKED = "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n"


async def test_apt_waits_for_dpkgs_lock_as_long_as_its_command_says(ring: EitherRing, tmp_path: Path) -> None:
    """Another program may take it after the last look: one that lets it go costs seconds, and no failed upgrade."""
    brought = await material(ring, tmp_path)
    plan = plan_for(ring, brought)
    specs = " ".join(map(str, brought.packages))
    for quickly in ("systemctl stop dovecot", "systemctl mask --runtime dovecot"):
        await ring.run(NAME, quickly)
    before = await ring.read(NAME, "packages", names=specs)
    async with ring.dpkg_locked():
        for step in ("download-packages", "install-packages"):
            refused = await ring.run(NAME, with_wait(action_of(plan, step).command, "2"))
            assert (refused.exit_status, refused.stderr) == (100, LOCKED)
            assert "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process " in refused.stdout
        assert await ring.read(NAME, "packages", names=specs) == before
        waits = asyncio.create_task(ring.run(NAME, action_of(plan, "install-packages").command))
        await asyncio.sleep(3)
        assert not waits.done()
    done = await waits
    assert done.exit_status == 0, done
    assert (await ring.read(NAME, "packages", names=specs))["installed"] == specs


def with_wait(command: Command, seconds: str) -> Command:
    """The command as it is, but for how long it waits for the lock."""
    argv = tuple(one.replace("DPkg::Lock::Timeout=120", f"DPkg::Lock::Timeout={seconds}") for one in command.argv)
    assert argv != command.argv
    return replace(command, argv=argv)


async def besides(ring: EitherRing, *specs: str) -> dict[str, str | int | bool]:
    """What apt would do besides these packages, or why it would not do it; what is `none` left out."""
    reading = await ring.read(NAME, "package-changes", names=" ".join(specs))
    return {key: value for key, value in reading.items() if value != "none"}


async def test_what_apt_would_do_to_packages_that_nobody_named_is_seen_before_upwards_and_downwards(
    ring: EitherRing,
) -> None:
    """Each needs the core of its own version: else it fails while the backend is out, or goes along unasked."""
    core, imapd, lmtpd = PACKAGES
    newest = (await ring.ask(NAME, "offered-packages", names=f"{core}=1")).stdout.split("|")[1].strip()
    oldest = min({await ring.other_version(), (await installed(ring)), newest} - {newest})
    for quickly in ("systemctl stop dovecot", "systemctl mask --runtime dovecot"):
        await ring.run(NAME, quickly)
    await install(ring, newest)
    assert await besides(ring, *(f"{name}={oldest}" for name in PACKAGES)) == {}
    downwards = await besides(ring, f"{core}={oldest}")
    assert downwards["removed_too"] == f"{imapd}, {lmtpd}"
    assert downwards["refused"] == "E: Packages need to be removed but remove is disabled."
    refused = (await besides(ring, f"{imapd}={oldest}"))["refused"]
    assert str(refused).startswith("E: Unable to correct problems, you have held broken packages.")
    assert (await ring.run(NAME, f"apt-get --yes --no-remove --allow-downgrades install {core}={oldest}")).stderr == (
        "E: Packages need to be removed but remove is disabled.\n"
    )
    await install(ring, oldest)
    assert await besides(ring, f"{core}={newest}") == {"changed_too": f"{imapd}, {lmtpd}"}
    assert await besides(ring, f"{imapd}={newest}") == {"changed_too": f"{core}, {lmtpd}"}
    assert (await besides(ring, f"{core}=1:9.9"))["refused"] == f"E: Version '1:9.9' for '{core}' was not found"


async def installed(ring: EitherRing) -> str:
    read = await ring.read(NAME, "packages", names=f"{PACKAGES[0]}=1")
    return str(read["installed"]).partition("=")[2]


async def test_a_version_that_is_not_offered_is_seen_before_and_refused_at_the_installation(ring: EitherRing) -> None:
    """Both, since what apt offers may change in between; nothing is changed by the refusal."""
    spec = f"{PACKAGES[0]}=1:9.9"
    assert (await ring.read(NAME, "offered-packages", names=spec))["missing"] == spec
    assert (await ring.read(NAME, "offered-packages", names="nosuch=1"))["missing"] == "nosuch=1"
    before = await ring.read(NAME, "packages", names=spec)
    assert (await ring.read(NAME, "offered-packages", names=str(before["installed"])))["missing"] == "none"
    done = await ring.run(NAME, f"apt-get --yes install {spec}")
    assert (done.exit_status, done.stderr) == (100, f"E: Version '1:9.9' for '{PACKAGES[0]}' was not found\n")
    assert await ring.read(NAME, "packages", names=spec) == before
    assert (await ring.read(NAME, "packages", names="nosuch=1"))["status"] == "nosuch is not installed"
