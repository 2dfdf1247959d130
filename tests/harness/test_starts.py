"""A configuration that parses and does not start is found while the backend serves, or before it is put in place."""

from __future__ import annotations

import pytest

from bot.core import events as fact
from bot.core import probes
from bot.core.run import Status
from bot.practice.scene import CONFIG
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN

ONLY_CONFIG = f"backend-3 config={CONFIG}"
STAGED = f"/etc/dovecot.{RUN}.proposed"
IN_NEW_VERSION = "config-starts-with-new-packages"


def the_new_version_refuses(play: Drill) -> None:
    """A setting that only the proposed configuration has is unknown to what the packages bring."""
    doveconf = play.backend.dovecot.doveconf
    play.backend.packages.unpacks = lambda: setattr(doveconf, "unknown", frozenset({"mail_max_userip_connections"}))


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


@virtually
async def test_a_file_that_was_missing_is_put_there_and_the_run_goes_on() -> None:
    """Somebody took a certificate away that the proposed configuration names; it lies outside of it."""
    async with a_run() as play:
        await play.reaches("proposed-config-is-valid")
        certificate = "/etc/ssl/mail.pem"
        play.backend.disk.write(certificate, "a certificate\n")
        play.backend.disk.write(f"{STAGED}/conf.d/20-imap.conf", f"ssl_cert = <{certificate}\n")
        await play.reaches("install-packages")
        play.backend.disk.remove(certificate)
        run = await play.held()
        assert f"Can't open file {certificate}: No such file or directory (ssl_cert)" in run.reason
        assert run.step is not None
        assert run.step.name == IN_NEW_VERSION
        play.backend.disk.write(certificate, "a certificate\n")
        await play.retry()
        await play.until(lambda run: run.step is not None and run.step.name == "running-config-is-known")


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
    monkeypatch.setattr(probes, "TREE_KEPT", 64 * 1024)
    async with a_run(text=ONLY_CONFIG) as play:
        certificates(play)
        run = await play.until(lambda run: run.status is Status.ENDED)
        assert run.outcome is fact.Outcome.REFUSED
        assert "too long" in run.reason
        assert play.sent("stage-config") == []
