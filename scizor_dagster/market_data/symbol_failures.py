"""Symbols that fail, and sources that do: one from the other.

What belongs here: which symbols a source has said nothing of, and when that is its own fault; pure. What does not: what
a source's errors mean (its own module), what is kept of a failure (`failed_questions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.market_data.provider import Failing, FailureReason, MarketData, SymbolFailure

IN_A_ROW = 5
_REMEDY = "What was answered is stored, nothing is noted of the others. See that the source works, and run again."


def require_answers(source: str, asked: Sequence[str], failed: Mapping[str, SymbolFailure]) -> None:
    """Tell a source that fails from symbols that do: `asked` is in the order of the questions so far.

    Raises:
        BrokerUnavailable: at least `IN_A_ROW` in a row, and half of all, failed for one reason. That a symbol names
            several contracts is no fault of the source.
    """
    run: list[str] = []
    for symbol in asked:
        reason = failed[symbol].reason if symbol in failed else None
        if reason is None or reason is FailureReason.AMBIGUOUS or (run and failed[run[-1]].reason is not reason):
            run = []
        if reason is not None and reason is not FailureReason.AMBIGUOUS:
            run.append(symbol)
        if len(run) >= IN_A_ROW and 2 * len(run) >= len(asked):
            raise BrokerUnavailable(
                f"{source} has failed for {len(run)} symbols in a row, of {len(asked)}; of {run[-1]} it says: "
                f"{failed[run[-1]].words}",
                remedy=_REMEDY,
            )


def require_any_answer(source: str, symbols: Sequence[str], failed: Mapping[str, SymbolFailure]) -> None:
    """A collection of which every single symbol failed has not taken place.

    Raises:
        BrokerUnavailable: all of `symbols` failed.
    """
    if symbols and all(symbol in failed for symbol in symbols):
        first = failed[symbols[0]]
        raise BrokerUnavailable(
            f"{source} has given no bars of any of {len(symbols)} symbol(s); of {symbols[0]} it says: {first.words}",
            remedy=_REMEDY,
        )


def failed_symbols(provider: MarketData, symbols: Sequence[str]) -> dict[str, SymbolFailure]:
    """Those of `symbols` whose last question had no answer."""
    failed = provider.failed if isinstance(provider, Failing) else {}
    return {symbol: failed[symbol] for symbol in symbols if symbol in failed}
