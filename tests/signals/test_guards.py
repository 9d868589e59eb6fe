"""What holds weights for a person: the words, the arithmetic, and what stays within its limits."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.config import MappingTable, WeightRules
from scizor_dagster.errors import ConfigError, SignalHeld, SignalRefused
from scizor_dagster.signals.dating import select_session
from scizor_dagster.signals.guards import Background, EarlierWeights, Judgement, TickerChange, judge
from scizor_dagster.signals.identity import KnownMarket, resolve
from scizor_dagster.signals.intake import check_file, take_in
from scizor_dagster.signals.manifest import load_manifest
from scizor_dagster.signals.mapping import IdentifierMap
from tests.signals.builders import NYSE, accept, check, csv_file, entry, found, fractional, mapping

DAY, NEXT = date(2024, 1, 2), date(2024, 1, 3)
HASH = "a" * 64
books = st.dictionaries(st.sampled_from("ABCDEFG"), st.floats(0.0, 0.14), min_size=1)


def rows(weights: Mapping[str, float], day: date = NEXT) -> pd.DataFrame:
    count = len(weights)
    return pd.DataFrame(
        {
            "weights_date": [day] * count, "session": [day] * count, "asset_id": list(weights),
            "weight": list(weights.values()), "sheet": [None] * count, "line": range(2, 2 + count),
        }
    )  # fmt: skip


def judged(new: Mapping[str, float], old: Mapping[str, float] | None, **guards: object) -> Judgement:
    earlier = None if old is None else EarlierWeights(DAY, old, taken=True)
    frame = rows(new)
    item = entry(Path("w.csv"), guards=guards)
    return judge(item, frame, frame, HASH, NEXT, Background("main", earlier))


@settings(deadline=None)
@given(books, books, st.floats(0.01, 1.0))
def test_weights_are_held_exactly_when_what_is_bought_or_sold_exceeds_the_limit(
    new: dict[str, float], old: dict[str, float], limit: float
) -> None:
    names = new.keys() | old.keys()
    changes = [Decimal(new.get(name, 0.0)) - Decimal(old.get(name, 0.0)) for name in names]
    turnover = max(sum(c for c in changes if c > 0), -sum(c for c in changes if c < 0))
    result = judged(new, old, max_turnover=limit, all_zero="accept", one_name="accept")
    if abs(turnover - Decimal(limit)) > Decimal("1e-8"):
        assert bool(result.held) == (turnover > Decimal(limit))
    assert {item.rule for item in result.held} <= {"turnover_jump"}


@settings(deadline=None)
@given(books)
def test_the_same_weights_again_and_the_first_weights_are_no_jump(weights: dict[str, float]) -> None:
    for before in (weights, None):
        result = judged(weights, before, max_turnover=1e-6, max_name_change=1e-6, all_zero="accept", one_name="accept")
        assert result == Judgement(rows_hash=result.rows_hash)


def test_a_finding_says_what_moves_against_what_and_both_ways_to_go_on() -> None:
    (item,) = judged({"A": 0.5, "B": 0.5}, {"C": 0.5, "D": 0.3}).held
    assert item.problem == (
        "Against the weights traded in 2024-01-02, 1 of the portfolio would be bought and 0.8 sold; 0.95 is allowed. "
        "The largest changes: A +0.5, B +0.5, C -0.5."
    )
    assert item.remedy == (
        "If it is meant, approve it with: scizor signals approve --strategy test --portfolio main --date 2024-01-03 "
        "--reason TEXT; if it always is, raise guards.max_turnover in the strategy manifest."
    )
    assert (item.line, item.column, item.value) == (2, "target_weight", "1")


def test_an_asset_that_leaves_the_file_counts_as_sold_and_has_no_line() -> None:
    (item,) = judged({"A": 0.4, "B": 0.3}, {"A": 0.4, "B": 0.3, "C": 0.3}, max_name_change=0.2).held
    assert (item.rule, item.line, item.value) == ("name_jump", None, "-0.3")
    assert "'C' would go from 0.3 to 0" in item.problem


def test_a_ticker_counts_as_the_mapping_table_and_the_universe_read_it(tmp_path: Path) -> None:
    table: MappingTable = mapping(tmp_path / "m.csv", "asset_id,symbol\n1,FB\n2,MSFT\n")
    item = entry(tmp_path / "w.csv", mapping=table)
    frame = rows({"1": 0.5, "2": 0.4})
    known = Background("main", EarlierWeights(DAY, {"1": 0.5, "2": 0.4}), ticker_changes=[TickerChange("FB", NEXT)])
    (finding,) = judge(item, frame, frame, HASH, NEXT, known).held
    assert (finding.rule, finding.column, finding.value) == ("ticker_changed_owner", "asset_id", "1")
    assert "'FB' was given anew on 2024-01-03, after 2024-01-02" in finding.problem
    assert finding.remedy.endswith("--reason TEXT.")


def test_a_retired_asset_refuses_or_is_set_aside_by_policy(record_property: Callable[[str, object], None]) -> None:
    market = KnownMarket("us", retired={"GONE": "is not traded any more on 2024-01-02"})
    frame = rows({"GONE": 0.04, "B": 0.5})
    refused = resolve(frame, entry(Path("w.csv"), on_retired_asset="refuse"), IdentifierMap(), market)
    record_property("corpus", "refused" if refused.violations else "silent acceptance")
    assert [item.rule for item in refused.violations] == ["retired_asset"]
    aside = resolve(frame, entry(Path("w.csv")), IdentifierMap(), market)
    record_property("corpus", "warned" if aside.warnings else "silent acceptance")
    assert [row.status.value for row in aside.rows] == ["retired_asset", "ok"]
    assert not aside.violations
    assert "GONE" in aside.warnings[0]


@pytest.mark.parametrize("layout", ["wide", "auto"])
def test_in_a_wide_file_a_finding_has_a_line_and_no_column(tmp_path: Path, layout: str) -> None:
    path = csv_file(tmp_path, "2024-01-02,0,0", header="date,A,B")
    (item,) = check(path, layout=layout, guards={}).violations
    assert (item.rule, item.line, item.column) == ("all_zero", 2, None)


def test_a_file_that_is_refused_is_never_only_held(tmp_path: Path) -> None:
    report = check(csv_file(tmp_path, "2024-01-02,A,0", "2024-01-02,B,"), guards={})
    assert (report.status, found(report)) == ("refused", [("missing_weight", 3)])


def test_held_weights_are_an_exception_with_the_reasons_and_the_command(tmp_path: Path) -> None:
    accepted = accept(csv_file(tmp_path, "2024-01-02,A,0"), guards={})
    frame = select_session(accepted, DAY, "exact", 0, NYSE)
    (item,) = judge(entry(tmp_path, guards={}), frame, frame, accepted.file_hash, DAY, Background("main")).held
    error = accepted.holding(item, session=DAY)
    assert isinstance(error, SignalHeld)
    assert isinstance(error, SignalRefused)
    assert (error.exit_code, error.violations) == (1, (item,))
    assert "held for a person, for 1 reason(s). First: all_zero" in str(error)
    assert "scizor signals approve --strategy test --portfolio main --date 2024-01-02 --reason TEXT" in error.remedy


def test_a_session_that_is_stale_says_the_day_the_same_content_was_taken_for(tmp_path: Path) -> None:
    accepted = accept(csv_file(tmp_path, "2024-01-02,A,0.5"))
    with pytest.raises(SignalRefused, match="the same content as taken for 2024-01-02") as caught:
        select_session(accepted, NEXT, "exact", 5, NYSE, {accepted.file_hash: DAY})
    assert caught.value.remedy.endswith("--date 2024-01-03")
    assert len(select_session(accepted, NEXT, "latest", 5, NYSE, {accepted.file_hash: DAY})) == 1
    later = date(2024, 2, 1)
    with pytest.raises(SignalRefused, match="21 sessions ago; 5 are allowed"):
        select_session(accepted, later, "exact", 5, NYSE)


@pytest.mark.reference_data
@pytest.mark.parametrize("name", ["equally_weighted.xlsx", "mean_weighted.xlsx", "minimum_weighted.xlsx"])
def test_no_date_of_a_real_file_is_a_jump(reference_data: Path, name: str) -> None:
    columns = {"trade_date": "trade_date", "gvkey": "asset_id", "weights": "target_weight"}
    path = reference_data / "weights_finrl_trading" / name
    item = entry(path, format="xlsx", column_mapping=columns, guards={})
    accepted = take_in(item, NYSE, WeightRules(), fractional())
    for session in accepted.sessions:
        chosen = accepted.frame[accepted.frame["session"] == session]
        assert judge(item, accepted.frame, chosen, accepted.file_hash, session, Background()).held == ()


@pytest.mark.parametrize(
    ("guards", "named"),
    [
        ("{max_turnover: 0}", "max_turnover"),
        ("{max_turnover: .nan}", "max_turnover"),
        ("{max_turnover: never}", "max_turnover"),
        ("{all_zero: ignore}", "all_zero"),
        ("{one_names: hold}", "one_names"),
    ],
)
def test_a_guard_that_cannot_be_meant_is_refused_with_its_key(tmp_path: Path, guards: str, named: str) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(f"strategies:\n- id: s\n  path: w.csv\n  format: csv\n  guards: {guards}\n")
    with pytest.raises(ConfigError, match=named):
        load_manifest(path, {})


def test_a_check_without_a_session_compares_the_last_two_dates_of_the_file(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "2024-01-02,A,0.9", "2024-01-03,B,0.4", "2024-01-03,C,0.56", "2024-01-04,B,0.9")
    limits = {"max_turnover": 0.6, "one_name": "accept"}
    report = check_file(entry(path, guards=limits), NYSE, WeightRules(), fractional())
    assert report.status == "accepted"
    assert check_file(entry(path, guards=limits), NYSE, WeightRules(), fractional(), session=NEXT).status == "held"
