"""Several sources of one market: which is asked for what, and what is never put beside each other."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import yaml

from scizor_dagster.config import load_config
from scizor_dagster.errors import BrokerUnavailable, ConfigError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.absences import absences
from scizor_dagster.market_data.bar_store import stored_closes
from scizor_dagster.market_data.collect import collect_actions, collect_session
from scizor_dagster.market_data.fallback import FallbackMarket, nothing_stored, with_fallbacks
from scizor_dagster.market_data.provider import FailureReason, LatestPrice, Listing, Metered, SymbolFailure
from tests.market_data.support import NOW, XNYS, FrameMarket, actions_frame, flat_bars, market, rows
from tests.projects import small_project

DAYS = XNYS.sessions(date(2024, 2, 20), date(2024, 3, 1))
SYMBOLS = ("AAA", "BBB")


class Source(FrameMarket):
    """A provider that may be out of reach, fail for single symbols, or not show them."""

    def __init__(self, name: str, bars: pd.DataFrame, actions: pd.DataFrame | None = None) -> None:
        super().__init__(bars, actions)
        self.name = name
        self.down = False
        self.prices: dict[str, LatestPrice] = {}
        self.failed: dict[str, SymbolFailure] = {}
        self.refused: dict[str, str] = {}

    def _reach(self) -> None:
        if self.down:
            raise BrokerUnavailable(f"{self.name} is out of reach.", remedy="Wait.")

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        self._reach()
        return {symbol: self.listings.get(symbol, ()) for symbol in symbols}

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        yield from super().daily_bars(symbols, first, last, now)
        self._reach()

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        self._reach()
        return tuple(self.prices[symbol] for symbol in symbols if symbol in self.prices)

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        self._reach()
        return super().corporate_actions(symbols, first, last)


class MeteredSource(Source):
    """One that counts what it is asked."""

    @property
    def calls_made(self) -> int:
        return len(self.asked)

    def calls(self, symbols: int, sessions: int) -> int:
        return symbols

    def symbols_per_batch(self, sessions: int) -> int:
        return 2


ERROR = SymbolFailure(FailureReason.REFUSED_QUESTION, "321: Error validating request")


def _both(first: pd.DataFrame, second: pd.DataFrame, lake: Lake | None = None) -> FallbackMarket:
    def stored(symbols: Sequence[str], lower: date, upper: date) -> pd.DataFrame:
        if lake is None:
            return nothing_stored(symbols, lower, upper)
        with lake.read() as cursor:
            return stored_closes(cursor, "us", symbols, lower, upper)

    return FallbackMarket([Source("one", first), Source("two", second)], XNYS, 0.01, stored)


def _sources(provider: FallbackMarket, first: date = DAYS[0], last: date = DAYS[-1]) -> dict[tuple[str, date], str]:
    batches = [batch for batch in provider.daily_bars(SYMBOLS, first, last, NOW) if len(batch)]
    bars = pd.concat(batches)
    keys = list(zip(bars["symbol"], bars["session"].dt.date, strict=True))
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, bars["source"], strict=True))


def test_a_whole_answer_of_the_first_source_leaves_the_second_unasked() -> None:
    provider = _both(flat_bars(SYMBOLS, DAYS), flat_bars(SYMBOLS, DAYS))
    assert set(_sources(provider).values()) == {"one"}
    assert provider.sources[1].asked == []
    assert (provider.name, provider.adjustment, provider.synthetic) == ("one", "raw", False)


def test_the_second_source_gives_the_symbols_and_sessions_that_the_first_lacks_and_no_others() -> None:
    first = flat_bars(SYMBOLS, DAYS)
    lacking = (first["symbol"] == "AAA") & (first["session"] == pd.Timestamp(DAYS[3]))
    provider = _both(first[~lacking], flat_bars(SYMBOLS, DAYS))
    found = _sources(provider)
    assert {key for key, source in found.items() if source == "two"} == {("AAA", DAYS[3])}
    assert len(found) == 2 * len(DAYS)
    assert [symbols for symbols, *_ in provider.sources[1].asked] == [("AAA",)]
    only = _both(first[first["symbol"] == "AAA"], flat_bars(SYMBOLS, DAYS))
    assert {symbol for (symbol, _), source in _sources(only).items() if source == "two"} == {"BBB"}


def test_sessions_before_a_symbols_first_bar_are_not_filled_from_elsewhere() -> None:
    first = flat_bars(SYMBOLS, DAYS)
    listed = (first["symbol"] != "AAA") | (first["session"] >= pd.Timestamp(DAYS[4]))
    provider = _both(first[listed], flat_bars(SYMBOLS, DAYS))
    assert ("AAA", DAYS[0]) not in _sources(provider)
    assert provider.sources[1].asked == []


def test_a_first_source_that_does_not_answer_is_stood_in_for_and_named() -> None:
    provider = _both(flat_bars((), DAYS), flat_bars(SYMBOLS, DAYS))
    provider.sources[0].down = True
    assert set(_sources(provider).values()) == {"two"}
    assert provider.outages == {"one": "one is out of reach."}
    provider.sources[0].down = False
    provider.sources[0].bars = flat_bars(SYMBOLS, DAYS)
    assert set(_sources(provider).values()) == {"one"}
    assert provider.outages == {}


def test_what_came_before_the_first_source_failed_is_kept() -> None:
    provider = _both(flat_bars(("AAA",), DAYS), flat_bars(SYMBOLS, DAYS))
    provider.sources[0].down = True
    found = _sources(provider)
    assert {symbol: found[symbol, DAYS[-1]] for symbol in SYMBOLS} == {"AAA": "one", "BBB": "two"}


def test_no_source_that_answers_is_an_error_that_names_them_all() -> None:
    provider = _both(flat_bars((), DAYS), flat_bars((), DAYS))
    for source in provider.sources:
        source.down = True
    questions = (
        lambda: list(provider.daily_bars(SYMBOLS, DAYS[0], DAYS[-1], NOW)),
        lambda: provider.latest_prices(SYMBOLS, NOW),
        lambda: provider.corporate_actions(SYMBOLS, DAYS[0], DAYS[-1]),
    )
    for question in questions:
        with pytest.raises(BrokerUnavailable, match=r"one is out of reach\. two: two is out of reach"):
            question()


def test_prices_of_another_size_do_not_stand_in_beside_the_firsts_of_the_same_answer() -> None:
    first = flat_bars(SYMBOLS, DAYS, 30.0)
    provider = _both(first[first["session"] != pd.Timestamp(DAYS[3])], flat_bars(SYMBOLS, DAYS, 20.0))
    found = _sources(provider)
    assert set(found.values()) == {"one"}
    assert set(provider.unfit) == set(SYMBOLS)
    assert "two" in provider.unfit["AAA"]


def test_prices_of_another_size_do_not_stand_in_beside_stored_ones(lake: Lake) -> None:
    """A split of 3 for 2 that one of two sources has not heard of is no jump that the rules of quality see."""
    steady = flat_bars(SYMBOLS, DAYS, 30.0)
    noisy = flat_bars(SYMBOLS, DAYS, 30.0)
    noisy["close"] *= 1.001
    split = noisy.copy()
    marks = split["symbol"] == "AAA"
    split.loc[marks, ["open", "high", "low", "close"]] /= 1.5
    provider = _both(steady, split, lake)
    collect_session(lake, "us", market(), provider, XNYS, SYMBOLS, DAYS[-2], NOW)
    provider.sources[0].down = True
    provider.sources[0].bars = flat_bars((), DAYS)
    report = collect_session(lake, "us", market(), provider, XNYS, SYMBOLS, DAYS[-1], NOW)
    assert report.missing == ("AAA",)
    assert set(provider.unfit) == {"AAA"}
    found = rows(lake, f"SELECT symbol, source FROM bars WHERE session = '{DAYS[-1]}' ORDER BY symbol")
    assert found == [("BBB", "two")]


def test_each_stored_bar_says_its_source_and_the_first_source_takes_over_when_it_answers_again(lake: Lake) -> None:
    provider = _both(flat_bars(("AAA",), DAYS), flat_bars(SYMBOLS, DAYS), lake)
    collect_session(lake, "us", market(), provider, XNYS, SYMBOLS, DAYS[-1], NOW)
    query = f"SELECT symbol, source FROM bars WHERE session = '{DAYS[-1]}' ORDER BY symbol"
    assert rows(lake, query) == [("AAA", "one"), ("BBB", "two")]
    provider.sources[0].bars = flat_bars(SYMBOLS, DAYS)
    report = collect_session(lake, "us", market(), provider, XNYS, SYMBOLS, DAYS[-1], NOW)
    assert (report.changed, report.preferred, report.unchanged) == (0, 1, 1)
    assert rows(lake, query) == [("AAA", "one"), ("BBB", "one")]


def test_what_a_symbol_is_says_the_first_source_alone() -> None:
    """What the first one does not know, a later one cannot verify; while it is out, nothing is verified."""
    provider = _both(flat_bars((), DAYS), flat_bars((), DAYS))
    one, two = provider.sources
    one.listings = {"AAA": (Listing("AAA", "1"), Listing("AAA", "2"))}
    two.listings = {"AAA": (Listing("AAA", "3"),), "BBB": (Listing("BBB", "4"),)}
    assert [[match.provider_id for match in provider.lookup(SYMBOLS)[symbol]] for symbol in SYMBOLS] == [["1", "2"], []]
    one.down = True
    with pytest.raises(BrokerUnavailable, match="one is out of reach"):
        provider.lookup(SYMBOLS)
    one.lookup_calls = "one"
    assert provider.lookup_calls == "one"


def test_a_symbol_that_fails_at_the_first_source_is_asked_of_the_second_and_has_failed_where_that_lacks_it() -> None:
    provider = _both(flat_bars(("AAA",), DAYS), flat_bars(("BBB",), DAYS))
    provider.sources[0].failed = {"BBB": ERROR, "CCC": ERROR}
    symbols = ("AAA", "BBB", "CCC")
    batches = list(provider.daily_bars(symbols, DAYS[0], DAYS[-1], NOW))
    assert {symbol for batch in batches for symbol in batch["symbol"]} == {"AAA", "BBB"}
    assert provider.failed == {"CCC": ERROR}
    provider.sources[0].failed = {}
    list(provider.daily_bars(symbols, DAYS[0], DAYS[-1], NOW))
    assert provider.failed == {}


def test_what_a_source_that_is_out_might_have_had_has_failed_and_is_not_absent() -> None:
    provider = _both(flat_bars(("AAA",), DAYS), flat_bars((), DAYS))
    provider.sources[1].down = True
    list(provider.daily_bars(SYMBOLS, DAYS[0], DAYS[-1], NOW))
    assert {symbol: item.reason for symbol, item in provider.failed.items()} == {"BBB": FailureReason.NO_ANSWER}
    assert "two does not answer: two is out of reach." in provider.failed["BBB"].words


def test_a_symbol_is_refused_where_the_first_source_does_not_show_it_and_no_other_has_it() -> None:
    provider = _both(flat_bars((), DAYS), flat_bars(("AAA",), DAYS))
    provider.sources[0].refused = dict.fromkeys(SYMBOLS, "354: not subscribed")
    list(provider.daily_bars(SYMBOLS, DAYS[0], DAYS[-1], NOW))
    assert provider.refused == {"BBB": "354: not subscribed"}
    provider.sources[1].down, provider.sources[1].bars = True, flat_bars((), DAYS)
    list(provider.daily_bars(SYMBOLS, DAYS[0], DAYS[-1], NOW))
    assert provider.refused == {}
    assert set(provider.failed) == set(SYMBOLS)


def test_bars_on_another_basis_are_a_failure_of_that_symbol_and_no_absence() -> None:
    first = flat_bars(SYMBOLS, DAYS, 30.0)
    provider = _both(first[first["session"] != pd.Timestamp(DAYS[3])], flat_bars(SYMBOLS, DAYS, 20.0))
    _sources(provider)
    assert {item.reason for item in provider.failed.values()} == {FailureReason.OTHER_BASIS}
    assert set(provider.failed) == set(SYMBOLS)


def test_with_a_first_source_that_counts_its_calls_all_are_asked_in_its_batches_and_counted() -> None:
    sources = [MeteredSource("one", flat_bars(("AAA",), DAYS)), MeteredSource("two", flat_bars(SYMBOLS, DAYS))]
    provider = with_fallbacks(sources, XNYS, 0.01, nothing_stored)
    assert isinstance(provider, Metered)
    list(provider.daily_bars(SYMBOLS, DAYS[0], DAYS[-1], NOW))
    assert (provider.calls_made, provider.calls(7, 3), provider.symbols_per_batch(3)) == (2, 7, 2)
    plain = with_fallbacks([Source("one", flat_bars((), DAYS)), sources[1]], XNYS, 0.01, nothing_stored)
    assert not isinstance(plain, Metered)


def test_what_every_source_has_answered_that_it_has_not_is_remembered_and_an_outage_settles_nothing(lake: Lake) -> None:
    bars = flat_bars(SYMBOLS, DAYS)
    gap = bars[(bars["symbol"] != "AAA") | (bars["session"] != pd.Timestamp(DAYS[1]))]
    sources = [MeteredSource("one", gap), MeteredSource("two", gap)]
    provider = with_fallbacks(sources, XNYS, 0.01, nothing_stored)
    question = (lake, "us", market(DAYS[0]), provider, XNYS, SYMBOLS, DAYS[-1], NOW)
    sources[1].down = True
    report = collect_session(*question, first=DAYS[0])
    assert [(item.symbol, item.reason) for item in report.failed] == [("AAA", FailureReason.NO_ANSWER)]
    assert rows(lake, "SELECT * FROM absent_bars") == []
    assert absences(lake, "us", [DAYS[1]]).empty
    sources[1].down = False
    assert collect_session(*question).failed == ()
    assert rows(lake, "SELECT symbol, first_session, settled, source FROM absent_bars") == [
        ("AAA", DAYS[1], True, "one, then two")
    ]
    calls = provider.calls_made
    collect_session(*question)
    assert provider.calls_made == calls
    third = with_fallbacks([*sources, MeteredSource("three", bars)], XNYS, 0.01, nothing_stored)
    assert collect_session(*question[:3], third, *question[4:]).inserted == 1


def test_actions_and_newest_prices_come_from_the_first_source_that_has_them() -> None:
    provider = _both(flat_bars((), DAYS), flat_bars((), DAYS))
    one, two = provider.sources
    split = ("2024-02-22", "split", 2.0, None, None, None)
    one.actions = actions_frame([("AAA", *split)])
    two.actions = actions_frame([("AAA", *split), ("BBB", *split)])
    assert provider.corporate_actions(SYMBOLS, DAYS[0], DAYS[-1])["symbol"].tolist() == ["AAA", "BBB"]
    at = datetime(2024, 3, 1, 20, tzinfo=UTC)
    one.prices = {"BBB": LatestPrice("BBB", Decimal(7), at, "one")}
    two.prices = {symbol: LatestPrice(symbol, Decimal(8), at, "two") for symbol in SYMBOLS}
    assert [price.source for price in provider.latest_prices(SYMBOLS, NOW)] == ["two", "one"]


def test_actions_say_their_source_and_an_outage_deletes_none_that_are_stored(lake: Lake) -> None:
    provider = _both(flat_bars((), DAYS), flat_bars((), DAYS))
    one, two = provider.sources
    split = ("2024-02-22", "split", 2.0, None, None, None)
    one.actions, two.actions = actions_frame([("AAA", *split)]), actions_frame([("BBB", *split)])
    question = (lake, "us", market(), provider, SYMBOLS, DAYS[0], DAYS[-1], NOW)
    collect_actions(*question)
    stored = rows(lake, "SELECT symbol, source FROM corporate_actions ORDER BY symbol")
    assert stored == [("AAA", "one"), ("BBB", "two")]
    one.down = True
    assert not collect_actions(*question).changed
    assert rows(lake, "SELECT symbol, source FROM corporate_actions ORDER BY symbol") == stored
    one.down, one.actions, one.failed = False, actions_frame([]), {"AAA": ERROR}
    assert not collect_actions(*question).changed
    one.failed = {}
    collect_actions(*question)
    assert rows(lake, "SELECT symbol FROM corporate_actions") == [("BBB",)]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"fallbacks": [{"type": "yahoo"}]},
            r"markets\.us\.fallbacks\.0 gives split prices, and markets\.us\.provider",
        ),
        ({"fallbacks": [{"type": "sample"}]}, r"made-up raw prices, and markets\.us\.provider raw prices"),
        ({"compare_with": {"type": "sample"}}, "made-up prices say nothing about real ones"),
    ],
)
def test_a_configuration_that_would_mix_prices_is_refused_with_both_keys(tmp_path: Path, keys: dict, said: str) -> None:
    path = small_project(tmp_path).folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["markets"]["us"] |= {"provider": {"type": "files", "path": "p.csv", "adjustment": "raw"}, **keys}
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(path, {})
    assert "config.yaml" in str(caught.value)


def test_a_fallback_that_is_the_provider_itself_is_refused(tmp_path: Path) -> None:
    path = small_project(tmp_path).folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["markets"]["us"] |= {"provider": {"type": "yahoo"}, "fallbacks": [{"type": "yahoo"}]}
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match="same source"):
        load_config(path, {})


def test_sessions_before_a_fallbacks_first_bar_are_not_absent_while_the_first_source_is_out(lake: Lake) -> None:
    sources = [MeteredSource("one", flat_bars(SYMBOLS, DAYS)), MeteredSource("two", flat_bars(SYMBOLS, DAYS[4:]))]
    sources[0].down, sources[0].bars = True, flat_bars((), DAYS)
    provider = with_fallbacks(sources, XNYS, 0.01, nothing_stored)
    question = (lake, "us", market(DAYS[0]), provider, XNYS, SYMBOLS, DAYS[-1], NOW)
    collect_session(*question, first=DAYS[0])
    assert rows(lake, "SELECT * FROM absent_bars WHERE settled") == []
    sources[0].down, sources[0].bars = False, flat_bars(SYMBOLS, DAYS)
    assert collect_session(*question, first=DAYS[0]).inserted == 4 * len(SYMBOLS)


def test_pages_of_a_fallback_are_judged_together_so_that_no_two_sizes_of_one_symbol_are_mixed() -> None:
    class Paged(Source):
        def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
            for frame in super().daily_bars(symbols, first, last, now):
                yield from (frame.iloc[:2], frame.iloc[2:])

    doubled = flat_bars(("AAA",), DAYS)
    doubled[["open", "high", "low", "close"]] *= 2
    sources = [Source("one", flat_bars(("AAA",), DAYS[:2])), Paged("two", doubled)]
    provider = FallbackMarket(sources, XNYS, 0.01, nothing_stored)
    found = pd.concat(list(provider.daily_bars(("AAA",), DAYS[0], DAYS[-1], NOW)))
    assert set(found["source"]) == {"one"}
    assert set(provider.unfit) == {"AAA"}
