"""The command line: `dovecot-bot serve`, `check`, `plan`, `runs`, `record`, `sudoers`, `schema`, `try`.

Each command imports what it uses when it is called: help, and a mistyped option, wait for no library.
"""

from __future__ import annotations

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.errors import BotError, Misconfigured, Unprinted

if TYPE_CHECKING:
    from bot.core.plans.dryrun import DryRun

app = typer.Typer(
    help="Upgrades Dovecot backends from Slack, one at a time, without their users noticing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest of help
)

Config = Annotated[Path, typer.Option("--config", help="The settings file (TOML).", envvar="DOVECOT_BOT_CONFIG")]
_DEFAULT = Path("/etc/dovecot-bot/dovecot-bot.toml")


@app.command()
def serve(config: Config = _DEFAULT) -> None:
    """Run the bot. Needs SLACK_BOT_TOKEN and SLACK_APP_TOKEN in the environment."""
    import asyncio

    from bot import bootstrap
    from bot.config import read_tokens

    bootstrap.log_to(sys.stderr)
    tokens = read_tokens()
    raise typer.Exit(asyncio.run(bootstrap.serve(config, tokens)))


@app.command()
def check(config: Config = _DEFAULT) -> None:
    """Name every mistake of settings, procedures and rules, and what they name and is not there.

    Asks nothing of Slack or of any host.
    """
    import asyncio

    from bot.config import read_settings
    from bot.library import library_of, procedures_folder
    from bot.missing import missing

    settings = read_settings(config)
    library = library_of(settings)
    for ring in settings.rings:
        _print(f"ring {ring.name}: {len(ring.directors)} directors, {len(ring.backends)} backends")
    _print(f"procedures in {procedures_folder(settings.bot.procedures)}")
    for procedure in library.procedures:
        _print(f"{procedure.command}: {procedure.summary} ({len(procedure.steps)} steps)")
    _print(f"{len(library.rules.rules)} rules apply. Nothing was asked of Slack or of any host.")
    if absent := asyncio.run(missing(settings)):
        raise Misconfigured("\n".join(f"{config}: {what}" for what in absent))


@app.command()
def plan(
    backend: Annotated[str, typer.Argument(help="The backend, as the inventory names it.")],
    options: Annotated[
        list[str] | None, typer.Argument(help="config=NAME|keep, packages=NAME=VERSION,…|keep, restart=yes")
    ] = None,
    procedure: Annotated[str, typer.Option(help="The procedure's slash command.")] = "/dovecot-upgrade",
    config: Config = _DEFAULT,
) -> None:
    """Show what would run on a backend; changes nothing. Its preflight is looked at now."""
    import asyncio

    from bot import bootstrap
    from bot.config import read_settings
    from bot.engine.planning import Request

    text = " ".join([backend, *(options or [])])
    request = Request(command=procedure, text=text, requester="U000", team="", channel="")
    dry_run = asyncio.run(bootstrap.dry_run(read_settings(config), request))
    _print_plan(dry_run)
    if not all(holds for _, holds, _ in dry_run.checks):
        raise typer.Exit(1)


def _print_plan(dry_run: DryRun) -> None:
    from bot.core.decisions.guards import guards_planned
    from bot.core.plans.plan import PlannedApproval, PlannedChange, PlannedWait
    from bot.core.readings.packages import alarm
    from bot.core.text.duration import length
    from bot.core.text.shown import in_line, set_in

    _print(in_line(dry_run.plan.title))
    for line in dry_run.plan.brings:
        _print(f"  {in_line(line)}")
    for stage in dry_run.plan.stages:
        _print(f"\n{stage.name}: {in_line(stage.says)}")
        for step in stage.steps:
            _print(f"  {step.name}: {in_line(step.says)}")
            if isinstance(step, PlannedChange):
                _print(set_in(f"{step.where}: {step.action.command.text}", 6))
                for guard in guards_planned(dry_run.plan, step, dry_run.target):
                    _print(f"        only if: {in_line(guard.says)}")
            if isinstance(step, PlannedWait | PlannedApproval) and step.length:
                _print(f"      {length(step.length)}")
    for left in dry_run.plan.left_out:
        _print(f"\nnot in this run: {left.step}: {in_line(left.because)}")
    _print("\nPreflight, now:")
    marks = {True: "yes", False: "NO", None: "?"}
    for text, holds, reason in dry_run.checks:
        _print(f"  {marks[holds]:>3}  {'ALARM: ' if alarm(reason) else ''}{in_line(f'{text}: {reason}')}")
    for text in dry_run.later:
        _print(f"       {in_line(text)}: seen in the run itself")


@app.command()
def runs(
    verify: Annotated[bool, typer.Option("--verify", help="Read every fact of every run again. Takes long.")] = False,
    config: Config = _DEFAULT,
) -> None:
    """List the runs in the journal, the newest first. Exits with 1 when there are damaged ones."""
    import asyncio

    from bot import offline
    from bot.config import read_settings
    from bot.core.decisions.damage import damage_in_words
    from bot.core.decisions.summary import summary_of
    from bot.core.text.dates import stamp
    from bot.core.text.shown import in_line, in_lines

    found = asyncio.run(offline.survey(read_settings(config), verify=verify))
    for run in map(summary_of, found.runs):
        state = f"{run.status}" + (f", {run.outcome}" if run.outcome else "")
        who = (run.backend, state, run.requester, *filter(None, (run.ticket, run.reason)))
        _print("  ".join(map(in_line, (run.id, stamp(run.began), *who))))
    for damaged in found.damaged:
        print(f"\n{in_lines(damage_in_words(damaged))}", file=sys.stderr)
    if found.damaged:
        raise typer.Exit(1)


@app.command()
def record(
    run: Annotated[str, typer.Argument(help="The run's id.")],
    config: Config = _DEFAULT,
) -> None:
    """Print the change record of a run, as Markdown."""
    import asyncio

    from bot import offline
    from bot.config import read_settings
    from bot.record.markdown import markdown

    entries, damage = asyncio.run(offline.readable(read_settings(config), run))
    _print(markdown(entries, damage=damage), end="")


@app.command()
def sudoers(
    host: Annotated[str, typer.Argument(help="A director or backend of the inventory.")],
    user: Annotated[str, typer.Option(help="The user that the bot logs in as there.")] = "dovecot-bot",
    config: Config = _DEFAULT,
) -> None:
    """Print the sudo rules that the bot needs on a host. They are for /etc/sudoers.d."""
    from bot import offline
    from bot.config import read_settings

    _print(offline.sudo_rules(read_settings(config), host, user), end="")


class SchemaFile(StrEnum):
    """The files that have a schema: the names of bot/schema.py, which help does not import."""

    PROCEDURE = "procedure"
    RULES = "rules"
    SETTINGS = "settings"


@app.command()
def schema(file: Annotated[SchemaFile, typer.Argument(help="Which file is written.")]) -> None:
    """Print the JSON Schema of a file. An editor completes and checks the file with it."""
    from bot.schema import as_text, schema_of

    _print(as_text(schema_of(file)), end="")


def _print(text: str, end: str = "\n") -> None:
    """As print, at once; raises Unprinted where that cannot be."""
    if sys.stdout is None:
        raise Unprinted("standard output is closed")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an auditor's terminal may have fewer signs
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        raise  # whoever read it has seen enough: typer ends quietly
    except OSError as error:
        sys.stdout = None  # else Python tries again at its end, and says so in words of its own
        raise Unprinted(f"standard output does not take it: {error.strerror}") from None


@app.command("try")
def try_(
    text: Annotated[str, typer.Argument(help="What is typed behind the slash command.")] = "",
    drain: Annotated[str, typer.Option(help="How long the drain is.")] = "10s",
    yes: Annotated[bool, typer.Option("--yes", help="Script the clicks of the second engineer.")] = False,
) -> None:
    """Do the whole job on this machine. A practice ring, a local Slack and the bot, in this terminal."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to stop in order
    from datetime import timedelta

    from bot.core.text.duration import duration
    from bot.practice.demo import TYPED, Trial, until_stopped

    try:
        waited = duration(drain)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if waited < timedelta(seconds=1):
        raise typer.BadParameter("a drain is at least 1s")
    if not yes and (sys.stdin is None or not sys.stdin.isatty()):
        raise typer.BadParameter("nobody answers here, as standard input is no terminal: --yes scripts the clicks")
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # not every terminal has every sign
    trial = Trial(drain=waited, scripted=yes, out=sys.stdout, text=text.strip() or TYPED)
    raise typer.Exit(until_stopped(trial.run()))


def main() -> None:
    """The program: errors that the bot can name go to standard error, with exit status 2."""
    try:
        app()
    except BotError as error:
        from bot.core.text.redact import redact_in_words
        from bot.core.text.shown import in_lines

        print(in_lines(redact_in_words(str(error))), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
