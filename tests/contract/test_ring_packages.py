"""Packages of a backend of the practice ring and of one of the real ring."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from bot.core.hosts.command import Command
from bot.core.readings.packages import offers
from tests.contract.fixtures import practice, real, ring
from tests.contract.rings import NAME, PACKAGES, EitherRing
from tests.contract.walking import FOLDER, action_of, material, plan_for
from tests.lab.fixtures import lab

__all__ = ["lab", "practice", "real", "ring"]


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
