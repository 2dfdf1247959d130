"""A configuration that parses and does not start is found while the backend serves, or before it is put in place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.adapters.configs import FolderProposals
from bot.core.readings import trees
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.ring.packages import NEW
from bot.practice.site import CONFIG, PACKAGES, propose
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN, Reviewed

ONLY_CONFIG = f"backend-3 config={CONFIG}"
STAGED = f"/etc/dovecot.{RUN}.proposed"
IN_NEW_VERSION = "config-starts-with-new-packages"


def the_new_version_refuses(play: Drill, setting: str = "mail_max_userip_connections") -> None:
    """A setting, one that only the proposed configuration has, is unknown to what the packages bring."""
    doveconf = play.backend.dovecot.doveconf
    play.backend.packages.unpacks = lambda: setattr(doveconf, "unknown", frozenset({setting}))


@virtually
async def test_what_the_new_version_refuses_holds_the_run_before_the_swap() -> None:
    """The old configuration is still in place, and the way back from there needs no other one."""
    async with a_run() as play:
        the_new_version_refuses(play)
        await play.reaches(IN_NEW_VERSION)
        run = await play.held()
        assert run.step is not None
        assert run.step.name == IN_NEW_VERSION
        assert "/etc/dovecot/conf.d/20-imap.conf line 1: Unknown setting: mail_max_userip_connections" in run.reason
        assert "then retry" in play.thread()[-1]
        assert play.sent("install-config") == []
        assert play.backend.disk.look(STAGED) is not None
        await play.go_back()
        assert await play.ends() == "went back"
        assert play.broken() == []


def test_a_file_that_was_missing_is_put_there_and_the_run_goes_on(tmp_path: Path) -> None:
    """Somebody took a certificate away that the proposed configuration names; it lies outside of it."""
    certificate = "/etc/ssl/mail.pem"
    propose(tmp_path / CONFIG, {"dovecot.conf": f"ssl_cert = <{certificate}\n".encode()})
    folder = FolderProposals(tmp_path)
    proposals = Reviewed(asyncio.run(folder.proposal(CONFIG)), folder)

    def proposed(play: Drill) -> None:
        play.proposals = proposals
        play.backend.disk.write(certificate, "a certificate\n")

    @virtually
    async def played() -> None:
        async with a_run(spoil=proposed) as play:
            await play.reaches("install-packages")
            play.backend.disk.remove(certificate)
            run = await play.held()
            assert f"Can't open file {certificate}: No such file or directory (ssl_cert)" in run.reason
            assert run.step is not None
            assert run.step.name == IN_NEW_VERSION
            play.backend.disk.write(certificate, "a certificate\n")
            await play.retry()
            await play.until(lambda run: run.step is not None and run.step.name == "running-config-is-known")

    played()


@pytest.mark.parametrize("refused", ["unshare", "mount"])
@virtually
async def test_what_could_not_be_seen_of_the_configuration_stands_on_the_approval(refused: str) -> None:
    """A host in a container may have no right to namespaces: it parses, and who approves knows that this is all."""
    async with a_run(text=ONLY_CONFIG) as play:
        play.backend.namespaces.refused = refused
        await play.reaches("approve-flush")
        await play.asks()
        told = play.thread(fact.ApprovalAsked)[-1]
        assert "starts not seen" in told
        assert "certificates, keys and other files that it names were not read" in told
        assert f"No mount namespace can be made there: {refused}: " in told
        assert await play.ends() == "done"


@virtually
async def test_what_does_not_even_parse_is_refused_where_no_namespace_can_be_made() -> None:
    async with a_run(text=ONLY_CONFIG) as play:
        play.backend.namespaces.refused = "mount"
        play.backend.dovecot.doveconf.unknown = frozenset({"mail_max_userip_connections"})
        run = await play.until(lambda run: run.status is Status.ENDED)
        assert run.outcome is fact.Outcome.REFUSED
        assert "Unknown setting: mail_max_userip_connections" in run.reason


@virtually
async def test_the_look_changes_nothing_on_the_host() -> None:
    """What is mounted is seen by that one command; dovecot goes on with the configuration in place."""
    async with a_run(text=ONLY_CONFIG) as play:
        in_place = play.backend.disk.look("/etc/dovecot")
        await play.reaches("approve-flush")
        assert play.began("mount --bind")
        assert play.backend.disk.look("/etc/dovecot") is in_place


# many files in place


COUNT = 600


def certificates(play: Drill) -> None:
    for number in range(COUNT):
        path = f"/etc/dovecot/private/certificates/mail.customer-{number:03}.example.pem"
        play.backend.disk.write(path, f"certificate {number}\n", mode=0o600)


@virtually
async def test_six_hundred_certificates_in_place_are_remembered_compared_and_replaced() -> None:
    """Seen: “too long to be compared”, with dovecot down, and no way past it."""
    async with a_run(text=ONLY_CONFIG) as play:
        certificates(play)
        await play.reaches("approve-restore")
        await play.asks()
        assert f"certificates/mail.customer-{COUNT - 1:03}.example.pem" in "".join(
            ran.output for done in play.facts(fact.StepDone) for ran in done.ran
        )
        await play.go_back()
        assert await play.ends() == "went back"
        assert len(play.backend.disk.names("/etc/dovecot/private/certificates")) == COUNT
        assert play.broken() == []


@virtually
async def test_a_tree_whose_list_is_too_long_is_refused_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be compared is found in the first look at it; with less kept, so that six hundred are too many."""
    monkeypatch.setattr(trees, "TREE_KEPT", 64 * 1024)
    async with a_run(text=ONLY_CONFIG) as play:
        certificates(play)
        run = await play.until(lambda run: run.status is Status.ENDED)
        assert run.outcome is fact.Outcome.REFUSED
        assert "too long" in run.reason
        assert play.sent("stage-config") == []


# the configuration stays


ONLY_PACKAGES = f"backend-3 config=keep packages={PACKAGES}"
RESTART = "backend-3 restart=yes"
STAYS = [ONLY_PACKAGES, RESTART]
MAIL = "/etc/dovecot/conf.d/10-mail.conf"
CERTIFICATE = "/etc/ssl/mail.pem"
AS_INSTALLED = "config-in-place-starts-as-installed"
MISSING = f"Can't open file {CERTIFICATE}: No such file or directory (ssl_cert)"


def names_a_certificate(play: Drill) -> None:
    play.backend.disk.write(CERTIFICATE, "a certificate\n")
    play.backend.disk.write("/etc/dovecot/local.conf", f"ssl_cert = <{CERTIFICATE}\n")


@virtually
async def test_a_configuration_in_place_that_the_new_version_refuses_is_seen_before_dovecot_is_started() -> None:
    """Nothing that cannot be brought back is deleted yet either; the packages of before start with it again."""
    async with a_run(text=ONLY_PACKAGES) as play:
        doveconf, packages = play.backend.dovecot.doveconf, play.backend.packages

        def unpacks() -> None:
            new = NEW in packages.installed.values()
            doveconf.unknown = frozenset({"mail_uid"} if new else ())

        packages.unpacks = unpacks
        run = await play.held_in_the_end()
        assert run.step is not None
        assert run.step.name == AS_INSTALLED
        assert "/etc/dovecot starts is no, expected yes" in run.reason
        assert f"{MAIL} line 2: Unknown setting: mail_uid" in run.reason
        assert "then retry" in play.thread()[-1]
        assert play.sent("start-dovecot") == []
        assert play.sent("clean-metacache") == []
        await play.go_back()
        assert await play.ends() == "went back"
        assert play.broken() == []


@virtually
async def test_what_the_new_version_refuses_is_mended_in_place_and_the_run_goes_on() -> None:
    async with a_run(text=ONLY_PACKAGES) as play:
        the_new_version_refuses(play, "mail_uid")
        await play.held_in_the_end()
        play.backend.disk.write(MAIL, "mail_gid = vmail\n")
        await play.retry()
        assert await play.ends() == "done"
        assert play.broken() == []


@pytest.mark.parametrize("text", STAYS)
@virtually
async def test_a_configuration_in_place_that_would_not_start_is_found_before_anybody_is_disturbed(text: str) -> None:
    """Dovecot runs with what it read weeks ago; the next start is this run's."""
    async with a_run(text=text, spoil=lambda play: play.backend.disk.write(MAIL, "mail_locaton BROKEN = x\n")) as play:
        run = await play.until(lambda run: run.status is Status.ENDED)
        assert run.outcome is fact.Outcome.REFUSED
        assert "/etc/dovecot starts is no, expected yes" in run.reason
        assert f"{MAIL} line 1: Unknown setting" in run.reason
        assert not [one for one in play.facts(fact.StageBegan) if one.stage != "preflight"]


@pytest.mark.parametrize("text", STAYS)
@virtually
async def test_a_file_that_is_lost_during_the_drain_is_seen_before_the_approval(text: str) -> None:
    async with a_run(text=text, spoil=names_a_certificate) as play:
        await play.reaches("drain")
        play.backend.disk.remove(CERTIFICATE)
        run = await play.held()
        assert MISSING in run.reason
        play.backend.disk.write(CERTIFICATE, "a certificate\n")
        await play.retry()
        assert await play.ends() == "done"


@pytest.mark.parametrize("text", STAYS)
@virtually
async def test_a_file_that_is_lost_after_the_approval_is_asked_about_before_anything_stops(text: str) -> None:
    async with a_run(text=text, spoil=names_a_certificate) as play:
        await play.asks()
        play.backend.disk.remove(CERTIFICATE)
        await play.approve()
        await play.asks()
        assert MISSING in play.facts(fact.ApprovalLapsed)[0].reason
        assert play.sent("stop-lmtp") == []


@virtually
async def test_a_proposed_configuration_may_mend_one_that_would_not_start() -> None:
    def spoil(play: Drill) -> None:
        play.backend.disk.write("/etc/dovecot/conf.d/98-lost.conf", "mail_locaton BROKEN = x\n")

    async with a_run(text=ONLY_CONFIG, spoil=spoil) as play:
        assert await play.ends() == "done"
