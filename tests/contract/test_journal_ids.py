"""Bytes, or a text that is no UTF-8, in the place of a run's id: they are told as damaged, and hide no run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot import offline
from bot.adapters.journal import SqlJournal
from bot.config import Settings
from bot.core.decisions.damage import damage_in_words
from bot.errors import RingClaimed
from tests.build import NOON, Story
from tests.contract.journals import path, sql
from tests.contract.releases import RUN, change, other, service, settings, tell

__all__ = ["path", "settings", "sql"]


@pytest.mark.parametrize("id_", ["x'7232303235ff'", "CAST(x'72ff' AS TEXT)", "CAST('r2025a' AS BLOB)"])
@pytest.mark.parametrize("which", ["seq = 9", "seq > 0"], ids=["one fact", "all facts"])
async def test_facts_under_what_is_no_id_are_told_and_hide_no_run(
    sql: SqlJournal, path: Path, settings: Settings, id_: str, which: str
) -> None:
    """A list of all runs was a traceback: bytes and texts cannot be sorted."""
    await tell(sql, Story().until("drain"))
    await sql.listed()
    change(path, f"UPDATE events SET run = {id_} WHERE {which}")
    await sql.append("r2025b", 0, NOON, [replace(Story().run.request, target=other())])
    for verify in (False, True):
        survey = await offline.survey(settings, verify=verify)
        assert [run.id for run in survey.runs] == ["r2025b"]
        (there, spoilt) = sorted(survey.damaged, key=lambda found: found.run != RUN)
        assert (there.run, there.rings, len(there.sound)) == (RUN, ("main",), 8 if which == "seq = 9" else 0)
        assert "that is no id of a run, and" in damage_in_words(spoilt)
        assert await sql.examine(spoilt.run) == spoilt
    if "TEXT" not in id_:  # which shows when the bot starts
        assert {found.run for found in (await service(sql).survey(most=20)).damaged} == {RUN, spoilt.run}
    for _ in range(2):
        async with SqlJournal(f"sqlite:///{path}") as started:
            assert {found.run for found in (await service(started).survey()).damaged} == {RUN, spoilt.run}


@pytest.mark.parametrize("column", ["run", "began"])
async def test_bytes_in_the_index_of_runs_hide_no_run(
    sql: SqlJournal, path: Path, settings: Settings, column: str
) -> None:
    await tell(sql, Story().until(None))
    await sql.append("r2025b", 0, NOON, [replace(Story().run.request, target=other())])
    change(path, f"UPDATE summaries SET {column} = x'ff' WHERE run = '{RUN}'")
    for survey in (await offline.survey(settings), await service(sql).survey(most=20)):
        assert {run.id for run in survey.runs} == {RUN, "r2025b"}
        assert (survey.count, survey.damaged) == (2, ())


@pytest.mark.parametrize("table", ["holds", "claims"])
async def test_bytes_in_the_place_of_whoever_claims_something_keep_it_claimed(
    sql: SqlJournal, path: Path, table: str
) -> None:
    await tell(sql, Story().until("drain"))
    change(path, f"UPDATE {table} SET run = x'ff'")
    with pytest.raises(RingClaimed):
        await sql.append("r2025b", 0, NOON, [Story().run.request])
    assert set(await sql.open_runs()) == {"x'ff'" if table == "holds" else RUN}
    assert (await sql.examine("x'ff'")) is not None
