"""Strategies that compute their weights: through the same intake as a file, and the same as in a backtest."""

import hashlib
import shutil
from datetime import date
from pathlib import Path

import pytest
import yaml

from scizor_dagster.backtest.engine import BacktestCancelled
from scizor_dagster.backtest.histories import lake_history
from scizor_dagster.backtest.request import read_request
from scizor_dagster.backtest.storage import list_backtests
from scizor_dagster.errors import (
    ConfigError,
    DataError,
    InputError,
    LedgerError,
    PriceUnavailable,
    SignalHeld,
    SignalRefused,
)
from scizor_dagster.flow import backtest_strategies
from scizor_dagster.flow.backtest_strategies import computed_of as computed_in_request
from scizor_dagster.flow.backtests import prepare, run_request
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explaining import explain
from scizor_dagster.flow.optimizing import problem_of, read_search
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.replaying import replay_sessions
from scizor_dagster.flow.signals import consolidate_session, take_signals
from scizor_dagster.flow.strategies import change, records_of, strategy_named, strategy_of, version_row
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.flow.watch import WatchingDesk
from scizor_dagster.flow.watch_inputs import weights_due
from scizor_dagster.flow.weight_files import concerns, missing_files, weight_files_state, weight_sessions
from scizor_dagster.ledger.strategy_records import RecordAction, computed_of, record_history
from scizor_dagster.signals.targets import read_targets
from scizor_dagster.strategies.deciding import strategy_schedule
from tests.flow.desks import FIRST, NOW, SECOND, collected
from tests.projects import project_at, small_project

PARAMETERS = {"lookback": 20, "skip": 2, "top": 3, "invested": 0.9}
OWN = """
from scizor_dagster.strategies.prices import Prices

def weights(prices: Prices):
    return {weights}
"""
VARYING = """
from scizor_dagster.strategies.prices import Prices
from scizor_dagster.strategies.protocol import Parameters

class Some(Parameters):
    some: int = 1

def weights(prices: Prices, parameters: Some):
    return {weights}
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    collected(folder).lake.close()
    return folder


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    return tmp_path


def opened(folder: Path, entry: dict | None = None, kind: type[Desk] = Desk, **signals) -> Desk:
    chosen = {"mode": "select", "strategy": "own"} | signals
    small_project(folder, portfolios={"main": {"signals": chosen}})
    entries = [{"id": "own", "function": "momentum", "parameters": PARAMETERS} | (entry or {})]
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))
    return kind(project_at(folder).settings, lambda: NOW)


def own_strategy(folder: Path, weights: str) -> dict:
    (folder / "strategies").mkdir(exist_ok=True)
    (folder / "strategies" / "idea.py").write_text(OWN.replace("{weights}", weights))
    return {"function": "idea", "parameters": {}}


def targets(desk: Desk, session: date) -> dict[str, float]:
    return {row.symbol: float(row.target_weight) for row in read_targets(desk.lake, "main", session).rows}


def traded(desk: Desk, session: date) -> None:
    consolidate_session(desk, "main", session)
    plan_session(desk, "main", session)
    trade_session(desk, "main", session, "run")


def test_twenty_sessions_have_the_same_weights_live_and_in_a_backtest(folder):
    desk = opened(folder)
    calendar = desk.calendar("us")
    days = calendar.sessions(date(2025, 1, 2), date(2025, 3, 28))
    history = lake_history(desk.lake, "us", days, desk.instruments("us"), "USD")
    chosen = strategy_of(desk, desk.manifest.strategy("own"))
    schedule = strategy_schedule(chosen, history, first=FIRST, vectorised=False)
    symbols = [item.symbol for item in history.instruments]
    assert len(schedule.rows) == 20
    seen = set()
    for row, weights in zip(schedule.rows, schedule.weights, strict=True):
        consolidate_session(desk, "main", history.sessions[row])
        expected = {symbol: weight for symbol, weight in zip(symbols, weights, strict=True) if weight}
        assert targets(desk, history.sessions[row]) == expected
        seen.add(tuple(expected))
    assert len(seen) > 3


def test_a_computed_weight_is_explained_down_to_its_line_and_the_version_that_made_it(folder):
    desk = opened(folder)
    traded(desk, FIRST)
    symbol = min(targets(desk, FIRST))
    told = explain(desk, symbol, portfolio="main", session=FIRST)
    link = told.links[0]
    version = strategy_of(desk, desk.manifest.strategy("own")).version
    file = folder / "home" / "signals" / "own" / f"{FIRST}.csv"
    assert any(symbol in str(link) for link in explain(desk, f"{file}:2", portfolio="main", session=FIRST).links)
    assert f"signals/own/{FIRST}.csv:2 says {symbol} 0.3 for {FIRST}." in link.sentences[0]
    assert "The line as it stands:" in link.sentences[1]
    assert f"Computed by version {version[:12]} of momentum on the closes up to 2025-02-28." in link.sentences
    assert version_row(desk, version).source.count("class Momentum:") == 1
    (replay,) = replay_sessions(desk, "main", FIRST, FIRST).sessions
    assert replay.findings == ()


def test_a_function_that_changes_is_another_version_and_leaves_a_plan_in_force_alone(folder):
    entry = own_strategy(folder, '{"AAPL": 0.4, "MSFT": 0.4}')
    desk = opened(folder, entry)
    first = take_signals(desk, "main", FIRST, "own").file_hash
    before = weight_files_state(desk, "main")
    own_strategy(folder, '{"AAPL": 0.2, "MSFT": 0.4}')
    assert weight_files_state(desk, "main") != before
    traded(desk, FIRST)
    assert targets(desk, FIRST) == {"AAPL": 0.2, "MSFT": 0.4}
    file = folder / "home" / "signals" / "own" / f"{FIRST}.csv"
    second = hashlib.sha256(file.read_bytes()).hexdigest()
    own_strategy(folder, '{"NVDA": 0.4}')
    consolidate_session(desk, "main", FIRST)
    assert take_signals(desk, "main", FIRST, "own").file_hash == second
    assert hashlib.sha256(file.read_bytes()).hexdigest() == second
    with desk.ledger.read() as connection:
        made = [computed_of(connection, "own", item) for item in (first, second)]
    assert [len(rows) for rows in made] == [1, 1]
    assert made[0][0].version == before != made[1][0].version
    assert [row.priced_on for rows in made for row in rows] == [date(2025, 2, 28)] * 2


def test_no_weights_are_made_before_the_closes_that_they_are_made_on(folder):
    desk = opened(folder)
    with pytest.raises(PriceUnavailable, match="closes of 2025-04-02, and 0 of 6 are collected"):
        consolidate_session(desk, "main", date(2025, 4, 3))
    assert not (folder / "home" / "signals" / "own").exists()


def test_a_strategy_has_weights_in_the_first_session_of_its_periods_and_in_no_other(folder):
    desk = opened(folder, {"rebalance": "weekly"})
    assert {FIRST, SECOND} <= weight_sessions(desk, "main")
    assert concerns(desk, "main", SECOND)
    assert not concerns(desk, "main", date(2025, 3, 11))
    with pytest.raises(SignalRefused, match="It decides anew weekly, and 2025-03-11 is none of its sessions"):
        consolidate_session(desk, "main", date(2025, 3, 11))


def test_between_its_sessions_a_strategy_is_followed_on_with_the_weights_that_it_had(folder):
    desk = opened(folder, {"rebalance": "weekly"}, as_of="latest")
    traded(desk, SECOND)
    made = (folder / "home" / "signals" / "own" / f"{SECOND}.csv").stat().st_mtime_ns
    consolidate_session(desk, "main", date(2025, 3, 12))
    assert targets(desk, date(2025, 3, 12)) == targets(desk, SECOND)
    assert (folder / "home" / "signals" / "own" / f"{SECOND}.csv").stat().st_mtime_ns == made
    consolidate_session(desk, "main", date(2025, 3, 18))
    assert (folder / "home" / "signals" / "own" / "2025-03-17.csv").is_file()


def test_weights_that_sell_everything_are_held_for_a_person_as_those_of_a_file(folder):
    desk = opened(folder, own_strategy(folder, "{}"))
    with pytest.raises(SignalHeld, match="own"):
        consolidate_session(desk, "main", FIRST)
    accepting = opened(folder, own_strategy(folder, "{}") | {"guards": {"all_zero": "accept"}})
    consolidate_session(accepting, "main", FIRST)
    assert set(targets(accepting, FIRST).values()) == {0.0}
    assert len(targets(accepting, FIRST)) == 6


def test_weights_are_judged_by_the_rules_of_every_file(folder):
    desk = opened(folder, own_strategy(folder, '{"AAPL": 0.8}'))
    with pytest.raises(SignalRefused, match=r"One asset may have at most 0\.5"):
        consolidate_session(desk, "main", FIRST)
    with pytest.raises(SignalRefused, match="decides nothing for session 2025-03-03"):
        consolidate_session(opened(folder, own_strategy(folder, "None")), "main", FIRST)


@pytest.mark.parametrize(
    ("weights", "rules", "told"),
    [
        ('{"AAPL": 0.8}', {}, r"wants 0\.8 of AAPL in session 2025-03-03, and one asset may have at most 0\.5"),
        ('{"MSFT": -0.2}', {}, r"wants -0\.2 of MSFT in session 2025-03-03, and short positions are off"),
        ("{name: 0.4 for name in prices.symbols}", {}, r"for session 2025-03-03 sum to 2\.4; at most 1"),
        ('{"AAPL": 0.4}', {"max_total_weight": 0.3}, r"for session 2025-03-03 sum to 0\.4; at most 0\.3"),
    ],
)
def test_a_backtest_and_a_search_refuse_the_decisions_that_a_live_session_would_refuse(folder, weights, rules, told):
    asked = {"strategy": "own", "portfolio": "main", "first": str(FIRST), "last": str(SECOND)}
    desk = opened(folder, own_strategy(folder, weights) | rules)
    with pytest.raises(SignalRefused):
        consolidate_session(desk, "main", FIRST)
    with pytest.raises(DataError, match=told) as refused:
        prepare(desk, read_request(asked))
    assert str(folder / "strategies" / "idea.py") in str(refused.value.where)
    (folder / "strategies" / "idea.py").write_text(VARYING.replace("{weights}", weights))
    problem, _, _ = problem_of(desk, read_search({"backtest": asked, "space": ["some=1,2"]}))
    with pytest.raises(DataError, match=told):
        list(problem.maker(problem.history, [{"some": 1}]))


BLEND = {
    "mode": "blend",
    "strategy": None,
    "strategies": [{"id": "own", "capital": 0.5}, {"id": "idea", "capital": 0.2}, {"id": "weekly", "capital": 0.3}],
}
ENSEMBLE = {"mode": "ensemble", "strategy": None, "strategies": ["own", "weekly"], "combine": "mean"}
FOLLOWED = {"as_of": "latest", "max_age_sessions": 3}
SOMETIMES = "None if prices.last.day == 7 else {} if prices.last.day == 12 else {'AAPL': 0.5, prices.symbols[-1]: 0.1}"


def combined(folder: Path, **signals) -> Desk:
    """A portfolio of two strategies in Python and a weight file."""
    opened(folder, **signals)
    own = own_strategy(folder, SOMETIMES)
    entries = yaml.safe_load((folder / "strategy_manifest.yaml").read_text())["strategies"]
    entries[0] |= {"rebalance": "weekly"} if signals.get("as_of") == "latest" else {}
    entries += [{"id": "idea", "guards": {"all_zero": "accept"}} | own]
    entries += [{"id": "weekly", "path": "weights.csv", "format": "csv", "unallocated": "cash"}]
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))
    return Desk(project_at(folder).settings, lambda: NOW)


LOOKED_AT = [date(2025, 3, day) for day in (3, 5, 10, 11, 13)]
"""Of the 10th one strategy decides nothing, of the 13th it sells everything."""


@pytest.mark.parametrize(
    ("signals", "first", "trading"),
    [
        (BLEND | FOLLOWED, date(2025, 3, 5), 3),
        (BLEND | {"overlays": [{"cap_per_name": 0.2}]}, None, 1),
        (ENSEMBLE | FOLLOWED, None, 5),
        ({"overlays": [{"cap_per_name": 0.25}]}, date(2025, 3, 5), 4),
        ({"mode": "blend", "strategy": None, "strategies": [{"id": "own", "capital": 0.5}]}, None, 5),
    ],
    ids=["blend", "overlay", "ensemble", "one with an overlay", "half of the capital"],
)
def test_strategies_together_have_the_same_weights_live_and_in_a_backtest(folder, signals, first, trading):
    desk = combined(folder, **signals)
    asked = {"portfolio": "main", "last": "2025-03-14"} | ({"first": str(first)} if first else {})
    prepared = prepare(desk, read_request(asked))
    history, schedule = prepared.history, prepared.schedule
    by_day = {history.sessions[row]: weights for row, weights in zip(schedule.rows, schedule.weights, strict=True)}
    names = [item.symbol for item in history.instruments]
    served = 0
    for day in LOOKED_AT[first is not None :]:
        try:
            rows = consolidate_session(desk, "main", day).rows
        except SignalRefused:
            assert day not in by_day
            continue
        served += 1
        found = dict(zip(names, by_day[day].tolist(), strict=True))
        assert found == dict.fromkeys(names, 0.0) | {row.symbol: float(row.target_weight) for row in rows}
    assert served == trading
    assert first is None or min(by_day) >= first


def test_what_one_strategy_in_python_wants_is_what_live_makes_of_it_where_it_decides_nothing(folder):
    desk = opened(folder, own_strategy(folder, SOMETIMES) | {"guards": {"all_zero": "accept"}}, **FOLLOWED)
    prepared = prepare(desk, read_request({"portfolio": "main", "first": "2025-03-03", "last": "2025-03-14"}))
    traded_in = [prepared.history.sessions[row] for row in prepared.schedule.rows]
    # Nothing is decided on the close of 7 March: the session after has no weights, as live.
    assert date(2025, 3, 10) not in traded_in
    with pytest.raises(SignalRefused, match="decides nothing for session 2025-03-10"):
        consolidate_session(desk, "main", date(2025, 3, 10))
    assert len(traded_in) == 9


@pytest.mark.parametrize("signals", [{}, BLEND | FOLLOWED], ids=["one", "several"])
def test_a_strategy_that_decides_is_watched_and_ended_between_its_decisions(folder, signals):
    desk, said = combined(folder, **signals), list[tuple[int, int]]()
    request = read_request({"portfolio": "main", "first": "2025-03-03"})
    if not signals:
        desk = opened(folder, own_strategy(folder, "{}"))

    def until_the_fifth(done, total):
        said.append((done, total))
        return len(said) < 5

    with pytest.raises(BacktestCancelled, match=r"while its weights were made, after \d of \d+"):
        run_request(desk, request, until_the_fifth)
    # Of many at once, all are made when any is.
    assert [done for done, _ in said] == [5, 1, 2, 3, 4] if signals else [1, 2, 3, 4, 5]
    assert list_backtests(desk.lake) == []
    sessions = list[tuple[int, int]]()
    run_request(desk, request, lambda *told: bool(sessions.append(told)) or True, deciding=lambda *_: True)
    assert sessions[-1][0] == sessions[-1][1]


def test_a_look_for_the_future_is_of_the_sessions_asked_for_and_has_a_future_to_alter(folder, monkeypatch):
    desk, asked = opened(folder), {"strategy": "own", "first": "2025-03-03", "last": "2025-03-07"}
    seen = []
    monkeypatch.setattr(backtest_strategies, "check_lookahead", lambda *given, **span: seen.append((given, span)) or [])
    assert computed_in_request(desk, read_request(asked)).check() == []
    [((history, _), span)] = seen
    assert span == {"first": date(2025, 3, 3), "last": date(2025, 3, 7)}
    assert history.sessions[-1] == date(2025, 3, 31)
    assert history.sessions.index(date(2025, 3, 3)) > PARAMETERS["lookback"]
    with pytest.raises(InputError, match="decides monthly, and for no session of this time"):
        computed_in_request(desk, read_request(asked | {"first": "2025-03-04", "rebalance": "monthly"})).check()


def test_parameters_of_several_strategies_belong_to_nobody(folder):
    desk = combined(folder, **BLEND)
    with pytest.raises(InputError, match="parameters and rebalance are of one"):
        prepare(desk, read_request({"portfolio": "main", "parameters": {"top": 2}}))


def test_a_symbol_that_the_market_does_not_know_is_refused(folder):
    desk = opened(folder, {"function": "equal_weight", "parameters": {"symbols": ["AAPL", "APPL"]}})
    with pytest.raises(ConfigError, match="'equal_weight' name APPL, which market 'us' does not know"):
        consolidate_session(desk, "main", FIRST)


def test_code_that_cannot_be_loaded_stops_the_session_and_says_where(folder):
    desk = opened(folder, own_strategy(folder, "{"))
    with pytest.raises(ConfigError, match="SyntaxError"):
        consolidate_session(desk, "main", FIRST)
    assert concerns(desk, "main", FIRST)
    assert weight_sessions(desk, "main") == frozenset()
    assert (weight_files_state(desk, "main"), missing_files(desk, "main")) == ("unread", ())


def test_a_watchdog_computes_nothing_and_knows_when_weights_are_due(folder):
    opened(folder).ledger.close()
    desk = opened(folder, {"rebalance": "weekly"}, WatchingDesk)
    assert weights_due(desk, "main", FIRST).weights
    assert not weights_due(desk, "main", date(2025, 3, 11)).weights
    assert not (folder / "home" / "signals").exists()


def record(desk: Desk, action: RecordAction, **changes):
    told = {"function": "momentum", "values": {"top": 2}, "actor": "ann", "reason": "a try"} | changes
    return change(desk, "fast", action, **told)


def test_a_record_is_traded_with_its_own_parameters_and_its_changes_are_kept(folder):
    desk = opened(folder, {"function": "fast", "parameters": {}})
    record(desk, RecordAction.CREATED, values=PARAMETERS | {"top": 2}, rebalance="weekly", description="tried")
    chosen = strategy_of(desk, desk.manifest.strategy("own"))
    assert (chosen.parameters.top, chosen.parameters.lookback, chosen.rebalance) == (2, 20, "weekly")
    consolidate_session(desk, "main", FIRST)
    assert sorted(targets(desk, FIRST).values()) == [0.45, 0.45]
    updated = record(desk, RecordAction.UPDATED, values={"top": 3})
    assert strategy_named(desk, "fast").version == updated.version != chosen.version
    assert strategy_named(desk, "fast").parameters.lookback == 20
    assert strategy_named(desk, "fast", {"top": 4}, "monthly").rebalance == "monthly"
    with desk.ledger.read() as connection:
        rows = record_history(connection, "fast")
    assert [(row.action, row.description) for row in rows] == [("created", "tried"), ("updated", "tried")]
    assert '"top":2' in version_row(desk, rows[0].version).parameters
    with pytest.raises(InputError, match="used by strategy own of the manifest, followed by portfolio main"):
        record(desk, RecordAction.DELETED)


def test_a_record_that_nobody_uses_is_deleted_and_its_name_is_free(folder):
    desk = opened(folder)
    with pytest.raises(ConfigError, match="no strategy 'fast'"):
        strategy_named(desk, "fast")
    record(desk, RecordAction.CREATED)
    record(desk, RecordAction.DELETED)
    with pytest.raises(ConfigError, match="no strategy 'fast'"):
        strategy_named(desk, "fast")
    with pytest.raises(LedgerError, match="no record 'fast'"):
        record(desk, RecordAction.UPDATED)
    with pytest.raises(LedgerError, match="no record 'fast'"):
        record(desk, RecordAction.DELETED)


def test_a_record_of_a_name_of_the_manifest_is_refused_with_the_line_that_has_it(folder):
    desk = opened(folder)
    with pytest.raises(InputError, match=r"'own' is a strategy of the manifest already \(.*manifest.yaml:\d+\)"):
        change(desk, "own", RecordAction.CREATED, function="momentum", actor="me", reason="a try")
    assert records_of(desk) == {}


def test_names_and_parameters_that_would_say_two_things_are_refused(folder):
    desk = opened(folder, {"function": "fast", "parameters": {"top": 3}})
    with pytest.raises(InputError, match="'equal_weight' is the name of a strategy already"):
        change(desk, "equal_weight", RecordAction.CREATED, function="momentum", actor="ann", reason="x")
    record(desk, RecordAction.CREATED)
    with pytest.raises(ConfigError, match="names the record 'fast' and parameters as well"):
        strategy_of(desk, desk.manifest.strategy("own"))
    own_strategy(folder, "{}")
    (folder / "strategies" / "idea.py").rename(folder / "strategies" / "fast.py")
    with pytest.raises(ConfigError, match="'fast' is a record and a strategy's own name"):
        strategy_named(desk, "fast")
