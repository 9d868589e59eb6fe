"""The files of real sessions: whole, of one instant, the same each time, and readable again."""

import shutil
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from scizor_dagster.errors import DataError, InputError
from scizor_dagster.exports.catalogue import FILES, Format
from scizor_dagster.flow import exporting
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.exporting import export_as_configured, export_sessions
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.planning.files import FileSources, read_inputs
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.output_files import write_plan
from tests.flow.desks import FIRST, NOW, SECOND, collected, trade
from tests.projects import project_at

BOTH = tuple(Format)
Copy = Callable[[], Desk]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first session traded and reconciled, the second one planned."""
    folder = tmp_path_factory.mktemp("exported")
    desk = collected(folder)
    trade(desk, FIRST)
    reconcile_session(desk, "main", FIRST)
    consolidate_session(desk, "main", SECOND)
    plan_session(desk, "main", SECOND)
    desk.lake.close()
    desk.ledger.close()
    return folder


@pytest.fixture(scope="module")
def desk(template: Path) -> Desk:
    """The template itself, for tests that only read."""
    return Desk(project_at(template).settings, lambda: NOW)


@pytest.fixture
def copy(template: Path, tmp_path: Path) -> Copy:
    """A desk of the test's own, in `tmp_path`."""

    def make() -> Desk:
        shutil.copytree(template, tmp_path, dirs_exist_ok=True)
        return Desk(project_at(tmp_path).settings, lambda: NOW)

    return make


def found(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_reconciled_session_has_every_file_in_each_format_and_the_same_bytes_each_time(
    desk: Desk, tmp_path: Path
) -> None:
    made = export_sessions(desk, "main", [FIRST], tmp_path / "one", formats=BOTH)
    export_sessions(desk, "main", [FIRST], tmp_path / "two", formats=BOTH)
    assert set(found(tmp_path / "one")) == {name for file in FILES for name in file.file_names(FIRST, BOTH)}
    assert found(tmp_path / "one") == found(tmp_path / "two")
    assert (made.notes, made.missing) == ((), {FIRST: {}})
    for file in FILES:
        if file.columns:
            names = file.file_names(FIRST, BOTH)
            table = pq.read_table(tmp_path / "one" / names[1])
            csv = pd.read_csv(tmp_path / "one" / names[0], dtype=str)
            assert table.column_names == list(csv.columns) == [column.name for column in file.columns]
            assert table.num_rows == len(csv) > 0


def test_the_files_of_the_plan_are_those_of_scizor_plan_to_the_byte(desk: Desk, tmp_path: Path) -> None:
    plan = read_plan(desk.lake, "main", FIRST)
    assert plan is not None
    export_sessions(desk, "main", [FIRST], tmp_path / "exported")
    for name, path in write_plan(plan, tmp_path / "planned").items():
        assert path.read_bytes() == (tmp_path / "exported" / name).read_bytes()
        assert path.read_bytes().count(b"\n") > 1


@pytest.mark.parametrize("ending", list(Format))
def test_positions_and_prices_are_read_again_as_the_ledger_and_the_plan_have_them(
    desk: Desk, tmp_path: Path, ending: Format
) -> None:
    export_sessions(desk, "main", [FIRST], tmp_path, formats=[ending])
    (tmp_path / "targets.csv").write_text("trade_date,symbol,target_weight\n2025-03-04,AAPL,0.5\n")
    sources = FileSources(
        tmp_path / "targets.csv", tmp_path / f"real_prices.{ending}", tmp_path / f"current_positions.{ending}"
    )
    read = read_inputs(sources, equity=Decimal(100000), day=None).inputs
    plan = read_plan(desk.lake, "main", FIRST)
    with desk.ledger.read() as connection:
        held = owned(connection, "paper", "main", through=FIRST)
    assert plan is not None
    assert dict(read.holdings) == held
    assert len(held) == 3
    assert {name: quote.price for name, quote in read.prices.items()} == {
        line.symbol: line.price for line in plan.lines if line.price is not None
    }


def test_parquet_is_typed(desk: Desk, tmp_path: Path) -> None:
    export_sessions(desk, "main", [FIRST], tmp_path, formats=[Format.PARQUET], only=["filled_orders", "real_prices"])
    filled, prices = pq.read_table(tmp_path / "filled_orders.parquet"), pq.read_table(tmp_path / "real_prices.parquet")
    assert filled.schema.field("qty").type == pa.decimal128(38, 9)
    assert filled.schema.field("first_fill").type == pa.timestamp("us", tz="UTC")
    assert filled.schema.field("fills").type == pa.int64()
    assert prices.schema.field("price").type == pa.decimal128(38, 18)
    assert prices.schema.field("session").type == pa.date32()


def test_what_has_filled_adds_up_to_what_is_held(desk: Desk, tmp_path: Path) -> None:
    export_sessions(desk, "main", [FIRST], tmp_path)
    text = {"dtype": str, "keep_default_na": False}
    filled, log = (
        pd.read_csv(tmp_path / "filled_orders.csv", **text),
        pd.read_csv(tmp_path / "execution_log.csv", **text),
    )
    held = pd.read_csv(tmp_path / "current_positions.csv", **text)
    sums = {symbol: sum(map(Decimal, group["qty"])) for symbol, group in filled.groupby("symbol")}
    assert sums == {row["symbol"]: Decimal(row["qty"]) for row in held.to_dict("records")}
    assert set(log["client_order_id"]) == set(filled["client_order_id"])
    assert list(log["ts"]) == sorted(log["ts"])
    assert list(log["event"]).count("intent_filled") == len(filled)


def test_a_planned_session_has_the_files_of_its_plan_and_says_what_is_missing(desk: Desk, tmp_path: Path) -> None:
    made = export_sessions(desk, "main", [SECOND], tmp_path)
    assert sorted(made.files) == [
        "current_positions.csv", "planned_orders.csv", "planned_orders_real.csv", "real_prices.csv",
        "rebalance_plan.csv", "rebalance_plan_real.csv",
    ]  # fmt: skip
    assert made.notes == (
        f"{SECOND}: no plan of the session was admitted, so that there is no execution_log, filled_orders.",
        f"{SECOND}: the session was not reconciled, so that there is no recon_single, recon_final, recon_summary, "
        "positions_eod.",
    )


def test_a_file_of_another_session_never_stays_beside_those_of_this_one_unsaid(desk: Desk, tmp_path: Path) -> None:
    export_sessions(desk, "main", [FIRST], tmp_path, formats=BOTH)
    (tmp_path / "mine.txt").write_text("mine")
    made = export_sessions(desk, "main", [SECOND], tmp_path)
    assert made.removed == ("execution_log.csv", "filled_orders.csv")
    assert not (tmp_path / "filled_orders.csv").exists()
    assert {"filled_orders.parquet", "planned_orders.parquet"} <= set(made.left)
    assert {f"recon_single_{FIRST:%Y%m%d}.csv", "mine.txt", "filled_orders.parquet"} <= set(found(tmp_path))
    assert "Removed, as of an earlier export: execution_log.csv, filled_orders.csv." in made.notes
    assert any(note.startswith("Not of this export, and left as it is: planned_orders.parquet") for note in made.notes)


def test_only_the_files_that_are_named_are_written(desk: Desk, tmp_path: Path) -> None:
    made = export_sessions(desk, "main", [FIRST], tmp_path, only=["recon_summary", "filled_orders"])
    assert set(made.files) == set(found(tmp_path)) == {"filled_orders.csv", f"recon_summary_{FIRST:%Y%m%d}.txt"}
    with pytest.raises(InputError, match="There is no file fills"):
        export_sessions(desk, "main", [FIRST], tmp_path, only=["fills", "filled_orders"])


def test_several_sessions_have_a_folder_each_and_one_without_a_plan_has_what_there_is(
    desk: Desk, tmp_path: Path
) -> None:
    between = date(2025, 3, 4)
    made = export_sessions(desk, "main", [FIRST, between, SECOND], tmp_path, per_session=True)
    assert {name.split("/")[0] for name in made.files} == {str(FIRST), str(between), str(SECOND)}
    assert [name for name in made.files if name.startswith(str(between))] == [f"{between}/current_positions.csv"]
    alone = export_sessions(desk, "main", [FIRST], tmp_path / "alone")
    for name, path in alone.files.items():
        assert path.read_bytes() == (tmp_path / str(FIRST) / name).read_bytes()


def test_a_session_of_which_nothing_is_known_is_refused_and_leaves_no_folder(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Nothing is stored of 2025-02-03") as refused:
        export_sessions(desk, "main", [date(2025, 2, 3)], tmp_path / "out")
    assert "scizor run --portfolio main --date 2025-02-03" in refused.value.remedy
    with pytest.raises(DataError, match="Nothing is stored of"):
        export_sessions(desk, "main", [SECOND], tmp_path / "out", only=["filled_orders"])
    assert not (tmp_path / "out").exists()


def test_the_admitted_plan_is_the_one_that_is_written_whatever_was_stored_after_it(copy: Copy, tmp_path: Path) -> None:
    desk = copy()
    export_sessions(desk, "main", [FIRST], tmp_path / "before")
    with desk.lake.write() as cursor:
        cursor.execute(
            "INSERT INTO plans SELECT * REPLACE ('other' AS plan_id, 9 AS batch) FROM plans WHERE session = ?", [FIRST]
        )
    export_sessions(desk, "main", [FIRST], tmp_path / "after")
    assert found(tmp_path / "before") == found(tmp_path / "after")


def test_what_is_written_meanwhile_is_in_no_file(copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = copy()
    export_sessions(desk, "main", [FIRST, SECOND], tmp_path / "before", per_session=True)
    contents = exporting._contents

    def meddled(task: object, facts: object) -> object:
        with desk.lake.write() as cursor:
            for table in ("plans", "plan_lines", "planned_orders", "order_results", "reconciliations"):
                cursor.execute(f"DELETE FROM {table}")
        return contents(task, facts)

    monkeypatch.setattr(exporting, "_contents", meddled)
    export_sessions(desk, "main", [FIRST, SECOND], tmp_path / "during", per_session=True)
    assert found(tmp_path / "before") == found(tmp_path / "during")


def test_a_lake_without_a_ledger_gives_what_was_planned(copy: Copy, tmp_path: Path) -> None:
    desk = copy()
    for path in (tmp_path / "home").glob("ledger*"):
        path.unlink()
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM order_results")
    made = export_sessions(desk, "main", [SECOND], tmp_path / "out")
    assert "planned_orders.csv" in made.files
    assert "current_positions.csv" not in made.files
    assert f"{SECOND}: the ledger knows nothing of the portfolio by then, so that there is no current_positions." in (
        made.notes
    )


def test_nothing_at_all_is_refused_without_making_a_store(template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "fresh", ignore=shutil.ignore_patterns("home"))
    desk = Desk(project_at(tmp_path / "fresh").settings, lambda: NOW)
    with pytest.raises(DataError, match="Nothing is stored of"):
        export_sessions(desk, "main", [FIRST], tmp_path / "out")
    assert not (tmp_path / "fresh" / "home").exists()


def configured(desk: Desk, **rules: object) -> Desk:
    path = desk.settings.config_path
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"exports": rules}))
    return Desk(desk.settings, lambda: NOW)


def test_the_section_exports_writes_each_session_to_a_folder_beside_the_configuration(
    copy: Copy, tmp_path: Path
) -> None:
    desk = configured(copy(), folder="files", formats=["parquet", "csv"])
    assert export_as_configured(desk, "main", FIRST) == ""
    names = {name for file in FILES for name in file.file_names(FIRST, BOTH)}
    assert set(found(tmp_path / "files")) == {f"main/{FIRST}/{name}" for name in names}


def test_without_the_section_nothing_is_written(copy: Copy, tmp_path: Path) -> None:
    desk = copy()
    before = set(found(tmp_path))
    assert export_as_configured(desk, "main", FIRST) == ""
    assert {name for name in found(tmp_path) if "home" not in name} == {name for name in before if "home" not in name}


def test_no_trouble_with_the_files_is_one_of_the_session(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = configured(copy(), folder="files")
    (tmp_path / "files").write_text("in the way")
    assert "The export cannot be written" in export_as_configured(desk, "main", FIRST)
    (tmp_path / "files").unlink()

    def broken(*_: object) -> object:
        raise KeyError("qty")

    monkeypatch.setattr(exporting, "_contents", broken)
    assert export_as_configured(desk, "main", FIRST) == "The files of the session cannot be made (KeyError: 'qty')."
    assert not (tmp_path / "files").exists()
