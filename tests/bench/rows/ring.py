"""The rows of the real ring: whole runs beside a playbook and a shell script."""

from __future__ import annotations

from tests.bench.row import By, Mark, Measured, NotMeasured, Row, times

PLAYBOOK = "an Ansible playbook that reads back the same proofs"


async def _not_yet(runs: int) -> Measured:
    raise NotMeasured(f"nothing measures it yet, in {runs} runs")


ROWS = (
    Row(
        name="whole-playbook",
        what="whole run with `restart=yes`, runbook order, users logging in, no waits, instant clicks",
        against=PLAYBOOK,
        mark=times(most=0.4),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="whole-shell",
        what="the same",
        against="a shell script with OpenSSH connection sharing, which reads nothing back",
        mark=times(most=1.5),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="packages",
        what="with packages: time beyond what the commands themselves take",
        against="the playbook's",
        mark=times(most=0.4),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="take-down",
        what="take-down in runbook order, from the first command to users 0 read on every director",
        against="the bare commands over one kept asyncssh connection",
        mark=times(most=1.2),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="first-command",
        what="first command sent after the approval's click",
        against="",
        mark=Mark(by=By.VALUE, unit="s", most=0.3),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="hanging",
        what="users moved after the stop, one director hanging",
        against="none hanging",
        mark=Mark(by=By.MORE, unit="s", most=4),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="failed-logins",
        what="failed logins and deferred mails, 10 s of upgrade, move-first (runbook order and the playbook beside)",
        against="",
        mark=Mark(by=By.VALUE, most=0, every=True),
        runs=1,
        measure=_not_yet,
    ),
    Row(
        name="without-users",
        what="backend without users (vhosts 0 read → users coming), drain left out",
        against=PLAYBOOK,
        mark=times(most=1),
        runs=3,
        measure=_not_yet,
    ),
)
