"""Tests that begin at a step of a good run: they branch off one, so that what lies before is played once for many.

The good run has a process of its own, and goes from step to step as its tests ask for them; its virtual time stands
still meanwhile. Each test is a fork of it. Where CI=true each test plays its own run from the beginning, as one does
that is to be followed with a debugger.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import multiprocessing
import os
import traceback
from collections.abc import Callable, Coroutine, Sequence
from multiprocessing.connection import Connection
from typing import Any

import pytest

from bot.core.hosts.inventory import TakeDown
from tests.build import plan
from tests.harness.drill import Drill, a_run
from tests.harness.play import reviewed
from tests.harness.virtual import run_virtual

Scene = Callable[..., Coroutine[Any, Any, None]]

_FORK = multiprocessing.get_context("fork")
STEPS = {order: [step.name for step in plan(move_first=order is TakeDown.MOVE_FIRST).steps] for order in TakeDown}
"""Of the good runs, in order."""
Place = tuple[TakeDown, int]
"""Where a test begins: the order of its good run, and the number of the step."""


def from_step(step: str = "", take_down: TakeDown = TakeDown.RUNBOOK) -> Callable[[Scene], Callable[..., None]]:
    """A test in virtual time, of a run in that order that has just come to this step; it takes it first, as `play`.

    Without a name, to the step that the test's parameter `step` names; the test need not take that. Besides it takes
    parameters, and no fixtures.
    """

    def decorated(scene: Scene) -> Callable[..., None]:
        _, *others = inspect.signature(scene).parameters.values()
        if not step and "step" not in {one.name for one in others}:
            others.append(inspect.Parameter("step", inspect.Parameter.POSITIONAL_OR_KEYWORD))

        @functools.wraps(scene)
        def plain(**given: object) -> None:
            reviewed()
            run_virtual(_alone(take_down, step or str(given["step"]), scene, given))

        plain.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]  # what pytest gives
        plain.begins_at = take_down, step  # type: ignore[attr-defined]
        return plain

    return decorated


def begins_at(item: pytest.Function) -> Place | None:
    """Where in a good run a test begins; None where it plays its own."""
    begins: tuple[TakeDown, str] | None = getattr(item.function, "begins_at", None)
    if begins is None:
        return None
    take_down, step = begins
    return take_down, STEPS[take_down].index(step or str(item.callspec.params["step"]))


def branched(item: pytest.Function) -> None:
    """Play a test as a branch; what goes wrong in it is the test's failure."""
    at = begins_at(item)
    assert at is not None
    if _good_runs and not _good_runs[0].comes_to(at):
        _good_runs.pop().end()
    if not _good_runs:
        _good_runs.append(_GoodRun(item.session.items, at))
    try:
        wrong = _good_runs[0].came_of(item, at)
    except BaseException:  # its good run is of no use any more, whatever came: a bound that pytest sets, or its end
        _good_runs.pop().end()
        raise
    if wrong:
        pytest.fail(wrong, pytrace=False)


async def _alone(take_down: TakeDown, step: str, scene: Scene, given: dict[str, object]) -> None:
    async with a_run(take_down=take_down) as play:
        await play.reaches(step)
        await _on(play, scene, given)


async def _on(play: Drill, scene: Scene, given: dict[str, object]) -> None:
    taken = inspect.signature(scene).parameters
    await scene(play, **{name: value for name, value in given.items() if name in taken})


class _GoodRun:
    """A good run in its process, as far as its tests have asked for it."""

    def __init__(self, items: Sequence[pytest.Item], first: Place) -> None:
        reviewed()
        self._at = first
        self._items = items
        self._here, there = _FORK.Pipe()
        take_down, _ = first
        self._process = _FORK.Process(target=_serve, args=(items, take_down, there, self._here), daemon=True)
        self._process.start()
        there.close()

    def comes_to(self, at: Place) -> bool:
        """Whether that lies ahead of it."""
        return self._at[0] is at[0] and self._at <= at

    def came_of(self, item: pytest.Item, at: Place) -> str:
        """What went wrong in a test, or nothing."""
        self._at = at
        self._here.send(self._items.index(item))
        return str(self._here.recv())

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._here.close()


_good_runs: list[_GoodRun] = []
"""The one of this process, if there is one."""


def _serve(items: Sequence[pytest.Item], take_down: TakeDown, asked: Connection, of_the_other: Connection) -> None:
    of_the_other.close()
    gc.disable()  # a branch is short, and collecting garbage copies all memory that it has in common with the others
    wrong = ""
    try:
        run_virtual(_good_run(items, take_down, asked))
    except BaseException:  # noqa: BLE001  whoever waits for the branch hears of it
        wrong = traceback.format_exc()
    asked.send(wrong)
    os._exit(0)  # what is to be cleaned up belongs to the process that all of this was forked from


async def _good_run(items: Sequence[pytest.Item], take_down: TakeDown, asked: Connection) -> None:
    """Come to the steps that are asked for; in each branch, play its test."""
    async with a_run(take_down=take_down) as play:
        while True:
            item = items[asked.recv()]
            assert isinstance(item, pytest.Function)
            at = begins_at(item)
            assert at is not None
            await play.reaches(STEPS[take_down][at[1]])
            loop, child = asyncio.get_running_loop(), os.fork()
            if child == 0:
                asyncio._set_running_loop(loop)  # which loop runs is known per process
                given = item.callspec.params if hasattr(item, "callspec") else {}
                await _on(play, item.function.__wrapped__, given)
                return
            _, status = os.waitpid(child, 0)  # noqa: ASYNC222  time stands still until the branch has ended
            if status:
                asked.send(f"The branch ended with {os.waitstatus_to_exitcode(status)}, and said nothing.")
