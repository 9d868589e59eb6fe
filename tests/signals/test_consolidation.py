"""From rows to targets: policies, what is set aside, and the round trip through the lake."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.config import SignalChoice, WeightRules
from scizor_dagster.errors import SignalRefused
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import initialise
from scizor_dagster.signals.consolidation import StrategyRows, consolidate
from scizor_dagster.signals.identity import KnownMarket
from scizor_dagster.signals.mapping import read_identifier_map
from scizor_dagster.signals.targets import TargetWeights, read_targets, store_targets
from tests.signals.builders import NYSE, csv_file, entry, fractional, mapping
from tests.signals.builders import accept as accept_file

DAY = "2024-01-02"
SESSION = date(2024, 1, 2)
NOW = datetime(2024, 1, 2, 12, tzinfo=UTC)
US = {
    name: Instrument(name, "XNAS", "USD")
    for name in ("AAPL", "MSFT", "GOOG", "GOOGL", "NA", "BRK.B", "BF-B", "XX.A", "XX-A", "BAC.PRL")
}
TABLE = "asset_id,symbol\n1,AAPL\n2,GOOG\n2,GOOGL\n3,MSFT\n4,DEAD\n"


def targets(
    folder: Path, *rows: str, priced: frozenset[str] | None = None, rules: WeightRules | None = None,
    table: str | None = None, on_ambiguous: str = "quarantine", retired: tuple[str, ...] = (),
    prefer: tuple[str, ...] = (), **changes: Any,
) -> TargetWeights:  # fmt: skip
    if table is not None:
        changes["mapping"] = mapping(folder / "map.csv", table, on_ambiguous=on_ambiguous, prefer=prefer)
    path = csv_file(folder, *(f"{DAY},{row}" for row in rows))
    accepted = accept_file(path, **changes)
    strategy = entry(path, **changes)
    market = KnownMarket("us", US, priced, dict.fromkeys(retired, "is not traded any more on 2024-01-01"))
    part = StrategyRows(strategy, read_identifier_map(strategy), accepted.frame, accepted)
    choice = SignalChoice(strategy=strategy.id)
    return consolidate([part], choice, market, weights=rules or WeightRules(), fractional=fractional())


def refused(folder: Path, *rows: str, **settings: Any) -> list[tuple[str, int | None]]:
    with pytest.raises(SignalRefused) as caught:
        targets(folder, *rows, **settings)
    return [(item.rule, item.line) for item in caught.value.violations]  # type: ignore[attr-defined]


def test_an_id_becomes_its_instrument_with_the_line_and_hash_it_came_from(tmp_path: Path) -> None:
    result = targets(tmp_path, "3,0.4", "1,0.5", table=TABLE)
    assert [(row.symbol, row.instrument_id, str(row.target_weight)) for row in result.rows] == [
        ("MSFT", "MSFT.XNAS", "0.4"),
        ("AAPL", "AAPL.XNAS", "0.5"),
    ]
    origins = [item for row in result.rows for item in row.contributions]
    assert [(item.strategy, item.asset_id, item.line) for item in origins] == [("test", "3", 2), ("test", "1", 3)]
    assert {row.status for row in result.rows} == {"ok"}
    assert {len(item.file_hash) for item in origins} == {64}
    assert result.total == Decimal("0.9")
    assert result.warnings == ()


def test_without_a_mapping_the_ticker_na_is_a_ticker(tmp_path: Path) -> None:
    assert targets(tmp_path, "NA,0.4").rows[0].instrument_id == "NA.XNAS"


def test_unknown_ids_refuse_the_session_and_every_one_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path, "9,0.01", "1,0.5", "4,0.01", table=TABLE) == [
        ("unknown_id", 2),
        ("unknown_id", 4),
    ]


def test_a_quarantined_id_keeps_its_weight_which_is_not_spread_over_the_others(tmp_path: Path) -> None:
    result = targets(tmp_path, "9,0.01", "1,0.5", "4,0.02", table=TABLE, on_unknown_id="quarantine")
    assert [(row.status, row.symbol, row.instrument_id, row.candidates) for row in result.rows] == [
        ("unknown_id", "", "", ()),
        ("ok", "AAPL", "AAPL.XNAS", ()),
        ("unknown_id", "DEAD", "", ("DEAD",)),
    ]
    assert result.rows[2].note == "'DEAD' is not in the universe of market us"
    assert (result.total, result.weight_set_aside) == (Decimal("0.5"), Decimal("0.03"))
    assert len(result.warnings) == 2


@pytest.mark.parametrize(("weight", "accepted"), [("0.05", True), ("0.0501", False)])
def test_too_much_weight_without_an_instrument_refuses_the_session(tmp_path: Path, weight: str, accepted: bool) -> None:
    settings = {"table": TABLE, "on_unknown_id": "quarantine"}
    if accepted:
        assert targets(tmp_path, f"9,{weight}", "1,0.5", **settings).weight_set_aside == Decimal("0.05")
    else:
        assert refused(tmp_path, f"9,{weight}", "1,0.5", **settings) == [("too_much_quarantined", None)]


def test_an_ambiguous_id_is_set_aside_with_its_candidates(tmp_path: Path) -> None:
    (row,) = targets(tmp_path, "2,0.04", table=TABLE).rows
    assert (row.status, row.symbol, row.candidates) == ("ambiguous_id", "", ("GOOG", "GOOGL"))
    assert row.note == "'2' may be GOOG or GOOGL"


def test_an_ambiguous_id_refuses_where_the_policy_says_so(tmp_path: Path) -> None:
    assert refused(tmp_path, "1,0.1", "2,0.04", table=TABLE, on_ambiguous="refuse") == [("ambiguous_id", 3)]


@pytest.mark.parametrize(
    ("priced", "symbol", "note"),
    [
        (frozenset({"GOOGL", "AAPL"}), "GOOGL", "GOOGL is the first of them with a price"),
        (frozenset({"GOOGL", "GOOG"}), "GOOG", "GOOG is the first of them with a price"),
        (frozenset({"AAPL"}), "", "none of them has a price"),
        (None, "", "no prices were given to decide"),
    ],
)
def test_the_first_candidate_with_a_price_is_taken_and_noted(
    tmp_path: Path, priced: frozenset[str] | None, symbol: str, note: str
) -> None:
    (row,) = targets(tmp_path, "2,0.04", table=TABLE, on_ambiguous="first_priced", priced=priced).rows
    assert (row.symbol, row.status) == (symbol, "ok" if symbol else "ambiguous_id")
    assert note in row.note
    assert row.candidates == ("GOOG", "GOOGL")


def test_the_preferred_candidate_is_taken_and_none_refuses(tmp_path: Path) -> None:
    settings = {"table": TABLE, "on_ambiguous": "prefer"}
    (row,) = targets(tmp_path, "2,0.04", **settings, prefer=("BRK.B", "GOOGL", "GOOG")).rows
    assert (row.symbol, row.status, row.note) == ("GOOGL", "ok", "'2' may be GOOG or GOOGL; GOOGL is preferred")
    assert refused(tmp_path, "1,0.1", "2,0.04", **settings, prefer=("MSFT",)) == [("ambiguous_id", 3)]


def test_a_split_weight_goes_evenly_to_the_candidates_with_a_price_and_loses_nothing(tmp_path: Path) -> None:
    table = "asset_id,symbol\n2,GOOG\n2,GOOGL\n2,MSFT\n2,DEAD\n2,NA\n"
    priced = frozenset({"GOOG", "GOOGL", "MSFT", "DEAD"})
    result = targets(tmp_path, "2,0.1", table=table, on_ambiguous="split", priced=priced)
    third = Decimal("0.033333333333333333333333")
    assert {row.symbol: row.target_weight for row in result.rows} == {
        "GOOG": third,
        "GOOGL": third,
        "MSFT": third + Decimal("1e-24"),
    }
    assert result.total == Decimal("0.1")
    assert {item.weight_stated for row in result.rows for item in row.contributions} == {Decimal("0.1")}
    assert all("split evenly over GOOG, GOOGL, MSFT" in row.note for row in result.rows)
    (row,) = targets(tmp_path, "2,0.04", table=table, on_ambiguous="split", priced=frozenset()).rows
    assert (row.status, row.symbol) == ("ambiguous_id", "")
    (row,) = targets(tmp_path, "2,0.04", table=table, on_ambiguous="split", priced=frozenset({"NA"})).rows
    assert (row.status, row.symbol, row.target_weight) == ("ok", "NA", Decimal("0.04"))


@pytest.mark.parametrize("written", ["BRK-B", "BRK/B", "BRK B", "BRK.B"])
def test_a_share_class_is_found_however_its_ticker_is_written(tmp_path: Path, written: str) -> None:
    result = targets(tmp_path, f"{written},0.04", "BF.B,0.05")
    assert [row.instrument_id for row in result.rows] == ["BRK.B.XNAS", "BF-B.XNAS"]
    assert result.rows[0].status == "ok"
    note = f"'{written}' is written 'BRK.B' in the universe of market us"
    assert result.rows[0].note == ("" if written == "BRK.B" else note)
    assert len(result.warnings) == (1 if written == "BRK.B" else 2)


def test_a_share_class_that_the_universe_writes_in_two_ways_is_ambiguous(tmp_path: Path) -> None:
    (row,) = targets(tmp_path, "XX/A,0.04").rows
    assert (row.status, row.candidates) == ("ambiguous_id", ("XX.A", "XX-A"))
    assert targets(tmp_path, "XX-A,0.04").rows[0].status == "ok"


@pytest.mark.parametrize("other", ["BRKB", "BAC-PRL", "AAPL.B", "GOOG-"])
def test_nothing_but_a_share_class_has_another_spelling(tmp_path: Path, other: str) -> None:
    assert refused(tmp_path, f"{other},0.01") == [("unknown_id", 2)]


def test_one_share_class_in_two_spellings_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "BRK-B,0.1", "BRK/B,0.1") == [("two_ids_one_instrument", 3)]


def test_two_ids_of_one_ticker_refuse_the_session_that_names_both(tmp_path: Path) -> None:
    table = "asset_id,symbol,valid_from,valid_to\n1,AAPL,,\n7,AAPL,,2024-01-03\n8,MSFT,2024-01-03,\n9,MSFT,,\n"
    assert refused(tmp_path, "1,0.1", "7,0.1", table=table) == [("two_ids_one_instrument", 3)]
    assert [row.symbol for row in targets(tmp_path, "1,0.1", "9,0.1", table=table).rows] == ["AAPL", "MSFT"]


def test_an_id_that_may_be_what_another_id_is_refuses_the_session(tmp_path: Path) -> None:
    assert refused(tmp_path, "2,0.01", "5,0.1", table=TABLE + "5,GOOG\n") == [("two_ids_one_instrument", 3)]


def test_a_retired_asset_is_set_aside_or_refused_by_policy_unless_its_weight_is_zero(tmp_path: Path) -> None:
    result = targets(tmp_path, "AAPL,0.04", "MSFT,0.5", retired=("AAPL",))
    assert (result.rows[0].status, result.rows[0].instrument_id) == ("retired_asset", "AAPL.XNAS")
    assert "is not traded any more on 2024-01-01" in result.warnings[0]
    assert result.weight_set_aside == Decimal("0.04")
    assert refused(tmp_path, "AAPL,0.06", retired=("AAPL",)) == [("too_much_quarantined", None)]
    policy = {"on_retired_asset": "refuse", "retired": ("AAPL",)}
    assert refused(tmp_path, "AAPL,0.01", **policy) == [("retired_asset", 2)]
    assert targets(tmp_path, "AAPL,0", **policy).rows[0].status == "ok"


def test_a_blacklisted_ticker_or_id_is_set_aside_without_refusing(tmp_path: Path) -> None:
    rules = WeightRules(blacklist=("AAPL", "3"))
    result = targets(tmp_path, "1,0.5", "3,0.4", table=TABLE, rules=rules)
    assert [(row.status, row.instrument_id) for row in result.rows] == [
        ("quarantined", "AAPL.XNAS"),
        ("quarantined", "MSFT.XNAS"),
    ]
    assert "stays in cash" in result.rows[0].note


def test_two_ids_that_end_at_one_instrument_are_refused(tmp_path: Path) -> None:
    # Two tickers of the universe may name one listing, which no mapping table shows.
    US["AAPL2"] = Instrument("AAPL", "XNAS", "USD")
    try:
        assert refused(tmp_path, "AAPL,0.1", "AAPL2,0.1") == [("two_ids_one_instrument", 3)]
    finally:
        del US["AAPL2"]


def test_a_sum_within_the_tolerance_is_said_and_left_to_the_planner(tmp_path: Path) -> None:
    result = targets(tmp_path, "AAPL,0.5", "MSFT,0.501")
    assert result.total == Decimal("1.001")
    assert "above 1 but within the tolerance" in result.warnings[0]


def test_targets_come_back_from_the_lake_as_they_went_in(tmp_path: Path) -> None:
    lake = Lake(LakeLocation.embedded(tmp_path / "lake"))
    (tmp_path / "lake").mkdir()
    initialise(lake)
    result = targets(tmp_path, "9,0.01", "1,0.5", "2,0.02", "4,0", table=TABLE, on_unknown_id="quarantine")
    assert [store_targets(lake, "main", SESSION, result, NOW) for _ in range(2)] == [4, 4]
    store_targets(lake, "other", SESSION, result, NOW)
    assert read_targets(lake, "main", SESSION).rows == result.rows
    assert read_targets(lake, "main", NYSE.next_session(SESSION)).rows == ()
