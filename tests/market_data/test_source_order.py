"""Bars of several sources in one series: whose stay, whose make way, and what is compared with what."""

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd

from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import Origin, insert_missing, stored_closes
from scizor_dagster.market_data.collect import collect_session
from scizor_dagster.market_data.fallback import FallbackMarket
from scizor_dagster.market_data.provider import Adjustment
from scizor_dagster.market_data.quality import check_bars
from scizor_dagster.market_data.reports import SessionReport
from scizor_dagster.market_data.revisions import revisions
from scizor_dagster.market_data.source_order import Parted, on_another_basis, part_by_source
from scizor_dagster.market_data.statistics import restatements
from tests.market_data.support import NOW, XNYS, flat_bars, market, rows
from tests.market_data.test_fallback import Source

DAYS = XNYS.sessions(date(2024, 2, 1), date(2024, 3, 1))
SYMBOLS = ("AAA", "BBB", "CCC")
PRICES = ["open", "high", "low", "close"]
BARS = flat_bars(SYMBOLS, DAYS, 30.0)


def _on(days: Sequence[date], bars: pd.DataFrame = BARS) -> pd.DataFrame:
    return bars[bars["session"].isin(pd.to_datetime(list(days)))]


def _scaled(bars: pd.DataFrame, factor: float, volume: float = 1.0) -> pd.DataFrame:
    return bars.assign(**{name: bars[name] * factor for name in PRICES}, volume=bars["volume"] * volume)


def _as_others_have_it() -> pd.DataFrame:
    """AAA equal, BBB rounded otherwise, CCC almost 1 % apart, with half of the volume, as at a split."""
    parts = dict(iter(BARS.groupby("symbol")))
    parts["BBB"] = parts["BBB"].assign(**{name: parts["BBB"][name] + 0.004 for name in PRICES})
    parts["CCC"] = _scaled(parts["CCC"], 1.009, 0.5)
    return pd.concat(parts.values(), ignore_index=True)


def _keep(lake: Lake, bars: pd.DataFrame, source: str, adjustment: Adjustment = "raw") -> None:
    with lake.write() as cursor:
        insert_missing(cursor, bars, Origin("us", adjustment, False, source, NOW))


def _sources(
    lake: Lake, first: pd.DataFrame, second: pd.DataFrame, tolerance: float = 0.01, adjustment: Adjustment = "raw"
) -> FallbackMarket:
    def stored(symbols: Sequence[str], lower: date, upper: date) -> pd.DataFrame:
        with lake.read() as cursor:
            return stored_closes(cursor, "us", symbols, lower, upper)

    opened = [Source("one", first), Source("two", second)]
    for source in opened:
        source.adjustment = adjustment
    return FallbackMarket(opened, XNYS, tolerance, stored)


def _collect(lake: Lake, provider: FallbackMarket, session: date) -> SessionReport:
    now = NOW + timedelta(hours=DAYS.index(session))
    return collect_session(lake, "us", market(DAYS[0]), provider, XNYS, SYMBOLS, session, now)


def _by_source(lake: Lake) -> dict[str, set[date]]:
    found: dict[str, set[date]] = {}
    for source, session in rows(lake, "SELECT DISTINCT source, session FROM bars"):
        found.setdefault(source, set()).add(session)
    return found


def test_an_outage_of_a_day_is_stood_in_for_and_made_good_without_a_restatement(lake: Lake) -> None:
    _keep(lake, _on(DAYS[:-2]), "one")
    provider = _sources(lake, flat_bars((), DAYS), _as_others_have_it())
    provider.sources[0].down = True
    away = _collect(lake, provider, DAYS[-2])
    assert (away.inserted, away.changed, away.missing) == (3, 0, ())
    assert _by_source(lake) == {"one": set(DAYS[:-2]), "two": {DAYS[-2]}}
    provider.sources[0].down, provider.sources[0].bars = False, BARS
    back = _collect(lake, provider, DAYS[-1])
    assert (back.inserted, back.preferred) == (3, 3)
    for report in (away, back):
        assert (report.restatements, report.suspected_splits, report.differing) == ((), (), ())
    assert _by_source(lake) == {"one": set(DAYS)}
    replaced = "SELECT DISTINCT reason, source, session FROM bar_revisions"
    assert rows(lake, replaced) == [("preferred_source", "two", DAYS[-2])]
    assert restatements(lake, "us", DAYS[0], DAYS[-1]) == 0
    third = _collect(lake, provider, DAYS[-1])
    assert (third.changed, third.preferred, third.restatements) == (0, 0, ())
    assert rows(lake, replaced) == [("preferred_source", "two", DAYS[-2])]
    assert rows(lake, "SELECT count(*), count(DISTINCT (symbol, session)) FROM bars") == [(3 * len(DAYS),) * 2]


def test_a_series_on_another_basis_is_fetched_whole_and_no_bar_of_it_counts_as_corrected_besides(lake: Lake) -> None:
    """One session of its own source is too few to tell a factor: what differs in it is the factor all the same."""
    twice = _scaled(BARS, 2.0, 1.0)
    _keep(lake, _on(DAYS[:-3]), "before", "split")
    _keep(lake, _on(DAYS[-3:-2]), "one", "split")
    _keep(lake, _on(DAYS[-2:-1]), "before", "split")
    report = _collect(lake, _sources(lake, twice, flat_bars((), DAYS), adjustment="split"), DAYS[-1])
    assert [(item.symbol, item.refetched) for item in report.suspected_splits] == [(name, True) for name in SYMBOLS]
    assert (report.restatements, report.differing) == ((), ())
    assert rows(lake, "SELECT DISTINCT reason FROM bar_revisions") == [("restated_series",)]


def test_a_split_during_an_outage_is_named_by_the_first_sources_own_bars(lake: Lake) -> None:
    _keep(lake, _on(DAYS[:-2]), "one", "split")
    _keep(lake, _on(DAYS[-2:-1], _as_others_have_it()), "two", "split")
    provider = _sources(lake, _scaled(BARS, 0.5, 2.0), BARS, adjustment="split")
    report = _collect(lake, provider, DAYS[-1])
    assert {(item.symbol, item.kind, item.ratios, item.refetched) for item in report.suspected_splits} == {
        (symbol, "split", (2.0,), True) for symbol in SYMBOLS
    }
    assert _by_source(lake) == {"one": set(DAYS)}
    assert rows(lake, "SELECT max(close) < 20 FROM bars") == [(True,)]


def test_a_later_source_on_another_basis_never_replaces_the_history_of_an_earlier_one(lake: Lake) -> None:
    _keep(lake, _on(DAYS[:3]), "one", "split")
    _keep(lake, _on(DAYS[3:-1]), "two", "split")
    provider = _sources(lake, flat_bars((), DAYS), _scaled(BARS, 0.5, 2.0), 1.0, adjustment="split")
    provider.sources[0].down = True
    report = _collect(lake, provider, DAYS[-1])
    assert [item.refetched for item in report.suspected_splits] == [False, False, False]
    assert _by_source(lake) == {"one": set(DAYS[:3]), "two": set(DAYS[3:-1])}
    assert rows(lake, "SELECT min(close) > 20 FROM bars") == [(True,)]


def test_a_sources_own_correction_is_still_a_restatement_beside_anothers_bars(lake: Lake) -> None:
    corrected = BARS.copy()
    corrected.loc[(BARS["session"] == pd.Timestamp(DAYS[-3])) & (BARS["symbol"] == "AAA"), "close"] += 0.05
    _keep(lake, _on(DAYS[-4:-3]), "two")
    _keep(lake, _on(DAYS[:-1]), "one")
    report = _collect(lake, _sources(lake, corrected, BARS), DAYS[-1])
    assert [(item.symbol, item.session) for item in report.restatements] == [("AAA", DAYS[-3])]
    assert report.preferred == 3
    assert [belief.reason for belief in revisions(lake, "us", "AAA", DAYS[-4])] == ["preferred_source", ""]


def _parted(stored: pd.DataFrame, fetched: pd.DataFrame, order: tuple[str, ...]) -> Parted:
    return part_by_source(stored, check_bars(fetched, XNYS, NOW, SYMBOLS), order)


def test_a_source_that_is_configured_no_more_makes_way_for_any_other() -> None:
    parted = _parted(BARS.assign(source="before"), _as_others_have_it(), ("now",))
    assert len(parted.preferred) == len(parted.displaced) == len(BARS)
    assert parted.same.empty
    assert on_another_basis(parted, 0.01) == {}


def test_the_series_of_another_provider_on_another_basis_is_named_by_its_prices_alone() -> None:
    """Volumes of two sources prove nothing; a factor on every price does."""
    moved = pd.concat([BARS[BARS["symbol"] != "BBB"], _scaled(BARS[BARS["symbol"] == "BBB"], 2.0, 0.5)])
    parted = _parted(BARS.assign(source="before"), moved, ("now",))
    (found,) = on_another_basis(parted, 0.01).items()
    assert (found[0], found[1].kind, found[1].splits) == ("BBB", "price_factor", ())
    witness = BARS.assign(source="before")
    witness.loc[witness["session"].isin(pd.to_datetime(DAYS[:2])), "source"] = "now"
    assert on_another_basis(_parted(witness, moved, ("now",)), 0.01) == {}


def test_bars_of_a_later_source_good_or_bad_say_nothing_where_an_earlier_one_has_given_its_own() -> None:
    days = DAYS[-3:]
    bad = BARS["session"] == pd.Timestamp(days[0])
    answer = _on(days, BARS.assign(source="two", high=BARS["high"].where(~bad, 1.0)))
    parted = _parted(_on(days[:-1]).assign(source="one"), answer, ("one", "two"))
    assert set(parted.answer.good["session"].dt.date) == {days[-1]}
    assert parted.answer.quarantined.empty
    assert parted.preferred.empty
