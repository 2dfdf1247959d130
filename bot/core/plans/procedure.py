"""What a procedure file may say: a closed vocabulary, read by pydantic, with every mistake named by its place.

A procedure knows roles (`backend`, `one director`, `every director`), never hosts, and parses no output: it names a
probe and the values it expects. `procedures/README.md` is this module for people who write procedures.
"""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from bot.core.text.duration import Duration
from bot.core.text.strict import Strict


class Where(StrEnum):
    """The role a step or a look is for."""

    BACKEND = "backend"
    ONE_DIRECTOR = "one director"
    EVERY_DIRECTOR = "every director"
    ANSWERING_DIRECTORS = "directors that answer"


class Need(StrEnum):
    """What must be there for a step to be part of a run."""

    CONFIG = "config"
    CONFIG_KEPT = "config-kept"
    PACKAGES = "packages"
    METACACHE = "metacache"
    MOVE_FIRST = "move-first"


class Gate(StrEnum):
    """What an approval opens."""

    FLUSH = "flush"
    RESTORE = "restore"
    GO_BACK = "go back"


StepName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,60}$")]
ShortText = Annotated[str, Field(min_length=3, max_length=500)]


def _one_of(*choices: tuple[str, str]) -> ConfigDict:
    """For the JSON Schema: of each two keys one, and only one; the model has a validator that says it in words."""
    return ConfigDict(
        json_schema_extra={"allOf": [{"oneOf": [{"required": [one]}, {"required": [other]}]} for one, other in choices]}
    )


class Bound(Strict):
    """A condition other than equality: a number at least so large, or a version below another."""

    model_config = _one_of(("at_least", "below"))

    at_least: int | None = None
    below: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.at_least is None) == (self.below is None):
            raise ValueError("say at_least or below, one of them")
        return self


Wanted = str | int | bool | tuple[str | int | bool, ...] | Bound


class Expectation(BaseModel):
    """A probe, where it looks, and what it should read; the other keys are the probe's own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    probe: str
    where: Where = Where.BACKEND
    __pydantic_extra__: dict[str, Wanted]

    @property
    def asks(self) -> dict[str, Wanted]:
        """The probe's own keys: its parameters and its conditions."""
        return dict(self.__pydantic_extra__)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _unless_exit(value: object) -> object:
    return () if value == "exit 0" else _as_list(value)


_OneOrMore = Expectation | Annotated[list[Expectation], Field(min_length=1)]
_Any = Expectation | list[Expectation]
Expectations = Annotated[
    tuple[Expectation, ...], Field(min_length=1), BeforeValidator(_as_list, json_schema_input_type=_OneOrMore)
]


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(shlex.split(value))
    raise ValueError("a command is one line of text")


_TAKEN = re.compile(r"\bexit\s+(94|95|97)\b")
"""What the fence and `while_stopped` answer with: see core/hosts/fence.py and core/plans/effects.py."""


class Running(Strict):
    """Something that runs: `run` is split into arguments when loaded; `shell` is for the few that need a shell.

    `done_when` is looked for as long as `within`, and so much longer for every 100 users that were counted; it has to
    be so for `steady`, on end. `exit 0`: its exit status is all that can be read of it; it may be repeated.
    """

    model_config = _one_of(("run", "shell"))

    run: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(_split, json_schema_input_type=Annotated[str, Field(min_length=1)] | None),
    ] = None
    shell: str | None = None
    while_stopped: Literal["dovecot"] | None = None
    sends: Literal["config"] | None = None
    timeout: Duration = timedelta(seconds=30)
    within: Duration = timedelta(seconds=30)
    within_per_100_users: Duration = timedelta(0)
    steady: Duration = timedelta(0)
    done_when: Annotated[
        tuple[Expectation, ...], BeforeValidator(_unless_exit, json_schema_input_type=Literal["exit 0"] | _Any)
    ]

    @model_validator(mode="after")
    def _one_command(self) -> Self:
        if (self.run is None) == (self.shell is None):
            raise ValueError("say run or shell, one of them")
        if self.run == ():
            raise ValueError("run is empty")
        if taken := _TAKEN.search(self.shell or ""):
            raise ValueError(f"`{taken[0]}`: these exit statuses mean that the host refused a command; take another")
        return self


class Undo(Running):
    """How a change is undone, and how that is seen; it happens where the change did."""

    @model_validator(mode="after")
    def _seen(self) -> Self:
        if not self.done_when:
            raise ValueError("an undo has to be seen: `done_when: exit 0` is not for it")
        return self


class _Step(Strict):
    step: StepName
    says: ShortText
    because: ShortText
    runbook: int | None = Field(default=None, ge=1, le=99)
    needs: Annotated[tuple[Need, ...], BeforeValidator(_as_tuple, json_schema_input_type=Need | list[Need])] = ()


class Hopes(Strict):
    """What is looked for as long as `within`, once the check holds; it is reported as seen, and judged by nobody."""

    expect: Expectations
    within: Duration


class Check(_Step):
    """Reads and judges; also runs in a plan. `remember` keeps what a probe read, under a name for later commands."""

    expect: Expectations
    within: Duration = timedelta(0)
    hopes: Hopes | None = None
    remember: dict[Annotated[str, Field(pattern=r"^[a-z_]{2,40}$")], str] = Field(default_factory=dict)
    attach: bool = False


class Change(Running, _Step):
    """The only kind that alters a host; it says when it is done, and how it is undone or why it is not.

    `only_if` is looked at right before it, beside what the laws ask for.
    """

    model_config = _one_of(("run", "shell"), ("undo", "no_undo_because"))

    where: Literal[Where.BACKEND, Where.ONE_DIRECTOR]
    only_if: Annotated[tuple[Expectation, ...], BeforeValidator(_as_list, json_schema_input_type=_Any)] = ()
    repeatable: bool = True
    undo: Undo | None = None
    no_undo_because: ShortText | None = None

    @model_validator(mode="after")
    def _undone_and_proved(self) -> Self:
        if (self.undo is None) == (self.no_undo_because is None):
            raise ValueError("a change says undo or no_undo_because, one of them")
        # What is sent is sent over the connection of a look, so there has to be one.
        if not self.done_when and not (self.only_if and self.repeatable):
            raise ValueError("`done_when: exit 0` is for what may be repeated, and says only_if")
        return self


class Wait(_Step):
    """A length of time, and what is counted meanwhile; `drain` is the length that the settings give."""

    wait: Literal["drain"] | Duration
    watch: Expectation | None = None


class Approval(_Step):
    """A gate that a second engineer opens; `evidence` names the checks whose readings it shows."""

    approval: Literal[Gate.FLUSH, Gate.RESTORE]
    evidence: tuple[StepName, ...] = ()


_KINDS = {"expect": "check", "run": "change", "shell": "change", "wait": "wait", "approval": "approval"}


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((kind for key, kind in _KINDS.items() if key in value), None)
    return type(value).__name__.lower()


Step = Annotated[
    Annotated[Check, Tag("check")]
    | Annotated[Change, Tag("change")]
    | Annotated[Wait, Tag("wait")]
    | Annotated[Approval, Tag("approval")],
    Discriminator(
        _kind,
        custom_error_type="step_kind",
        custom_error_message="a step has one of the keys expect, run, shell, wait or approval",
    ),
]


class Stage(Strict):
    """Steps that belong together. `uninterrupted`: once begun it waits for nobody. `verifies`: going back repeats its
    checks before it restores.
    """

    stage: StepName
    says: ShortText
    uninterrupted: bool = False
    verifies: bool = False
    steps: tuple[Step, ...] = Field(min_length=1)


class Procedure(Strict):
    """A procedure: a slash command, what it takes, and its stages."""

    procedure: StepName
    command: Annotated[str, Field(pattern=r"^/[a-z][a-z0-9_-]{1,30}$")]
    title: ShortText
    summary: ShortText
    takes: tuple[Literal[Need.CONFIG, Need.PACKAGES], ...] = ()
    stages: tuple[Stage, ...] = Field(min_length=1)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step in order."""
        return tuple(step for stage in self.stages for step in stage.steps)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        names = [step.step for step in self.steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"step named twice: {', '.join(twice)}")
        for gate in Gate:
            asking = [step.step for step in self.steps if isinstance(step, Approval) and step.approval is gate]
            if len(asking) > 1:
                raise ValueError(f"the {gate} approval is asked for twice: {', '.join(asking)}")
        checks: set[str] = set()
        for step in self.steps:
            if isinstance(step, Check):
                checks.add(step.step)
            if isinstance(step, Approval) and (unknown := set(step.evidence) - checks):
                raise ValueError(f"{step.step}: its evidence is no earlier check: {', '.join(sorted(unknown))}")
            for need in {Need.CONFIG, Need.PACKAGES}.intersection(step.needs) - set(self.takes):
                raise ValueError(f"{step.step}: needs {need}, which this procedure does not take")
        return self
