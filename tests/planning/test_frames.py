"""Plans in the lake: stored and read back as equal objects."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scizor_dagster.errors import DataError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import initialise
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.frames import read_inputs, read_plan, store_plan
from scizor_dagster.planning.inputs import Target
from tests.planning.books import SESSION, number, random_book

ORIGIN = {
    "lake_snapshot": 7,
    "code_version": "test",
    "source": "test",
    "fetched_at": datetime(2025, 7, 28, 13, tzinfo=UTC),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = Lake(LakeLocation.embedded(tmp_path_factory.mktemp("lake")))
    initialise(lake)
    yield lake
    lake.close()


def rich_archive(portfolio, seed=54):
    inputs, rules, capabilities = random_book(seed, True)
    odd = Target(("1", "2"), "", "", number("0.000000001"), "ambiguous_id", "Which?", ("Y", "Z"))
    inputs = replace(inputs, portfolio=portfolio, targets=(*inputs.targets, odd), notes=("A note, with 'quotes'.",))
    return PlanArchive(inputs, rules, capabilities)


def rich_plan(portfolio, seed=54):
    return rich_archive(portfolio, seed).plan()


def count(lake, table, portfolio):
    with lake.read() as cursor:
        return cursor.execute(f"SELECT count(*) FROM {table} WHERE portfolio = ?", [portfolio]).fetchone()[0]


@pytest.mark.parametrize("seed", [54, 369, 12])
def test_a_stored_plan_is_read_back_equal(lake, seed):
    plan = rich_plan(f"round_{seed}", seed)
    assert plan.orders
    store_plan(lake, plan, rich_archive(plan.portfolio), **ORIGIN)
    assert read_plan(lake, plan.portfolio, SESSION) == plan
    assert read_plan(lake, plan.portfolio, SESSION, plan.plan_id) == plan


def test_a_plan_without_lines_is_read_back_equal(lake):
    plan = replace(rich_plan("empty"), lines=(), orders=(), notes=(), priced_on=None)
    store_plan(lake, plan, rich_archive(plan.portfolio), **ORIGIN)
    assert read_plan(lake, "empty", SESSION) == plan


def test_every_plan_of_a_session_is_kept_and_the_newest_of_the_highest_batch_is_read(lake):
    first, second = rich_plan("again"), rich_plan("again", 12)
    for minute, plan in enumerate((first, second, first, second)):
        store_plan(
            lake,
            plan,
            rich_archive(plan.portfolio),
            **(ORIGIN | {"fetched_at": ORIGIN["fetched_at"] + timedelta(minutes=minute)}),
        )
    assert read_plan(lake, "again", SESSION) == second
    assert read_plan(lake, "again", SESSION, first.plan_id) == first
    assert read_plan(lake, "again", SESSION, "0" * 64) is None
    assert count(lake, "plan_lines", "again") == len(first.lines) + len(second.lines)
    assert count(lake, "planned_orders", "again") == len(first.orders) + len(second.orders)
    later = replace(rich_plan("again", 369), batch=2)
    store_plan(lake, later, rich_archive("again"), **ORIGIN)
    assert read_plan(lake, "again", SESSION) == later


def test_no_plan_is_none(lake):
    assert read_plan(lake, "nobody", SESSION) is None


def test_what_a_plan_was_made_from_is_read_back_and_gives_the_plan_again(lake):
    archive = rich_archive("sources")
    plan = archive.plan()
    store_plan(lake, plan, archive, **ORIGIN)
    kept = read_inputs(lake, plan.plan_id)
    assert kept is not None
    assert repr(kept.plan()) == repr(plan)
    assert read_inputs(lake, "0" * 64) is None


def test_inputs_that_were_changed_in_the_lake_are_refused_and_name_their_plan(lake):
    archive = rich_archive("changed")
    plan = archive.plan()
    store_plan(lake, plan, archive, **ORIGIN)
    with lake.write() as cursor:
        cursor.execute("UPDATE plan_inputs SET inputs = inputs || ' ' WHERE plan_id = ?", [plan.plan_id])
    with pytest.raises(DataError, match=f"plan {plan.plan_id[:12]}: .*changed after the plan was made"):
        read_inputs(lake, plan.plan_id)
