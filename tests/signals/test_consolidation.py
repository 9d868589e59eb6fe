"""From rows to targets: policies, what is set aside, and the round trip through the lake."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.config import WeightRules
from scizor_dagster.errors import SignalRefused
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake, LakeLocation
from scizor_dagster.lake.tables import initialise
from scizor_dagster.signals.consolidation import TargetWeights, consolidate, read_targets, store_targets
from scizor_dagster.signals.mapping import read_identifier_map
from tests.signals.builders import NYSE, csv_file, entry, fractional, mapping
from tests.signals.builders import accept as accept_file

DAY = "2024-01-02"
SESSION = date(2024, 1, 2)
NOW = datetime(2024, 1, 2, 12, tzinfo=UTC)
US = {name: Instrument(name, "XNAS", "USD") for name in ("AAPL", "MSFT", "GOOG", "GOOGL", "NA")}
TABLE = "asset_id,symbol\n1,AAPL\n2,GOOG\n2,GOOGL\n3,MSFT\n4,DEAD\n"


def targets(
    folder: Path, *rows: str, priced: frozenset[str] | None = None, rules: WeightRules | None = None,
    table: str | None = None, on_ambiguous: str = "quarantine", **changes: Any,
) -> TargetWeights:  # fmt: skip
    if table is not None:
        changes["mapping"] = mapping(folder / "map.csv", table, on_ambiguous=on_ambiguous)
    path = csv_file(folder, *(f"{DAY},{row}" for row in rows))
    accepted = accept_file(path, **changes)
    strategy = entry(path, **changes)
    return consolidate(
        accepted.frame, strategy, read_identifier_map(strategy), US, priced=priced,
        weights=rules or WeightRules(), fractional=fractional(), accepted=accepted, market="us",
    )  # fmt: skip


def refused(folder: Path, *rows: str, **settings: Any) -> list[tuple[str, int | None]]:
    with pytest.raises(SignalRefused) as caught:
        targets(folder, *rows, **settings)
    return [(item.rule, item.line) for item in caught.value.violations]  # type: ignore[attr-defined]


def test_an_id_becomes_its_instrument_with_the_line_and_hash_it_came_from(tmp_path: Path) -> None:
    result = targets(tmp_path, "3,0.4", "1,0.5", table=TABLE)
    assert [(row.symbol, row.instrument_id, row.target_weight, row.asset_id, row.line) for row in result.rows] == [
        ("MSFT", "MSFT.XNAS", 0.4, "3", 2),
        ("AAPL", "AAPL.XNAS", 0.5, "1", 3),
    ]
    assert {row.status for row in result.rows} == {"ok"}
    assert len(result.rows[0].file_hash) == 64
    assert result.total == pytest.approx(0.9)
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
    assert (result.total, result.weight_set_aside) == (0.5, pytest.approx(0.03))
    assert len(result.warnings) == 2


@pytest.mark.parametrize(("weight", "accepted"), [("0.05", True), ("0.0501", False)])
def test_too_much_weight_without_an_instrument_refuses_the_session(tmp_path: Path, weight: str, accepted: bool) -> None:
    settings = {"table": TABLE, "on_unknown_id": "quarantine"}
    if accepted:
        assert targets(tmp_path, f"9,{weight}", "1,0.5", **settings).weight_set_aside == 0.05
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
    assert result.total == pytest.approx(1.001)
    assert "above 1 but within the tolerance" in result.warnings[0]


def test_targets_come_back_from_the_lake_as_they_went_in(tmp_path: Path) -> None:
    lake = Lake(LakeLocation.embedded(tmp_path / "lake"))
    (tmp_path / "lake").mkdir()
    initialise(lake)
    result = targets(tmp_path, "9,0.01", "1,0.5", "2,0.02", "4,0", table=TABLE, on_unknown_id="quarantine")
    assert [store_targets(lake, "main", SESSION, result, NOW) for _ in range(2)] == [4, 4]
    store_targets(lake, "other", SESSION, result, NOW)
    frame = read_targets(lake, "main", SESSION)
    assert frame["candidates"].tolist() == [row.candidates for row in result.rows]
    written = result.frame().drop(columns="candidates").to_dict("records")
    assert frame.drop(columns="candidates").to_dict("records") == written
    assert read_targets(lake, "main", NYSE.next_session(SESSION)).empty
