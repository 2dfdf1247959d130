"""A configuration of ten thousand files, from its folder to the file in the thread and the record: all are listed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bot.adapters.configs import FolderProposals
from bot.adapters.journal import SqlJournal
from bot.adapters.slack.messages.replies import replies
from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Host
from bot.core.plans.plan import Expected
from bot.core.plans.procedure import Where
from bot.core.runs import events as fact
from bot.core.runs.fold import fold
from bot.engine.looks.looking import Looking
from bot.engine.ports import Timings
from bot.record.markdown import markdown
from tests.build import Story, plan, target
from tests.fakes import FakeClock, FakeHosts, answered

COUNT = 10_000
STEP = "proposed-config-is-valid"


def here(folders: Mapping[str, Path]) -> FakeHosts:
    """A host whose folders are these."""

    def run(host: Host, command: Command) -> Result:
        argv = [str(folders.get(word, word)) for word in command.argv]
        ran = subprocess.run(argv, capture_output=True, text=True, check=False)
        out, err = ran.stdout, ran.stderr
        for name, folder in folders.items():
            out, err = out.replace(str(folder), name), err.replace(str(folder), name)
        result = answered(host, command, out, stderr=err, status=ran.returncode)
        return replace(result, connection=host.name, kept=command.keeps)

    return FakeHosts(run)


def unpack(packed: bytes, folder: Path) -> None:
    subprocess.run(["tar", "--extract", f"--directory={folder}", "--no-same-owner"], input=packed, check=True)


async def test_ten_thousand_files_are_staged_compared_listed_and_kept_and_none_is_left_out(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after, tmp_path / "configs" / "many" / "conf.d"):
        folder.mkdir(parents=True)
    (before / "dovecot.conf").write_text("as it was\n")
    (tmp_path / "configs/many/dovecot.conf").write_text("as it is to be\n")
    names = [f"conf.d/{number:05}-of-a-site-with-many.conf" for number in range(COUNT)]
    for name in names:
        (tmp_path / "configs/many" / name).hardlink_to(tmp_path / "configs/many/dovecot.conf")
    proposals = FolderProposals(tmp_path / "configs")
    packed = await proposals.archive(await proposals.proposal("many"))
    unpack(packed, after)

    staged = "/etc/dovecot.r2025a.proposed"
    hosts = here({"/etc/dovecot": before, staged: after})
    asks = {"path": "/etc/dovecot", "to": staged}
    compared = Expected(probe="config-difference", where=Where.BACKEND, asks=asks)
    observation = await Looking(hosts, FakeClock(), Timings(), target()).look([compared])
    assert f"added {COUNT}" in observation.verdict.reason
    whole = Expected(probe="owned-tree", where=Where.BACKEND, asks={"path": staged, "files": COUNT + 1})
    listed = await Looking(hosts, FakeClock(), Timings(), target()).look([whole])
    assert listed.verdict.holds, listed.verdict.reason
    wanted = {f"added: {name}" for name in names} | {"changed: dovecot.conf"}
    (ran,) = observation.ran
    assert wanted <= set(ran.output.splitlines()), "what the journal keeps of the command"

    story = Story(plan(config=True)).until(STEP)
    done = fact.StepDone(
        step=STEP,
        how=fact.How.RAN,
        ran=observation.ran,
        reason=observation.verdict.reason,
        attachment=observation.last_output(),
    )
    story.tell(done)
    async with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        for entry in story.entries:
            await journal.append(entry.run, entry.seq - 1, entry.at, (entry.fact,))
        kept = await journal.entries(story.run.id)
    told, after_it = fold(kept[:-1]), fold(kept)
    assert after_it is not None
    (message,) = replies(kept[-1], told, after_it, approvers="@mail")
    assert f"added {COUNT}" in str(message.blocks)
    assert any(wanted <= set(file.content.splitlines()) for file in message.files)
    assert wanted <= set(markdown(kept).splitlines())
