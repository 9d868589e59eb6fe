"""Every figure by name: what it says, and by which labels. All are gauges, computed when somebody asks.

What belongs here: names, words and labels. What does not: where a figure comes from (`prices`, `trading`, `machine`,
`runs`). A label names a market, an account, a portfolio or a word of a fixed list; never a symbol, an order or a run.
An instant is in seconds since 1970, and 0 where it never was.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure. `part` is what has to be read for it."""

    part: str
    says: str
    labels: tuple[str, ...] = ()


PRICES, TRADING, MONEY, MACHINE, RUNS = "prices", "trading", "money", "machine", "dagster"
PARTS = (PRICES, TRADING, MONEY, MACHINE, RUNS)
_OWNER = ("account", "portfolio")
_MARKET = ("market",)

METRICS: dict[str, Metric] = {
    "scizor_up": Metric("", "1 where the part could be read; 0 where not, and its figures are missing.", ("part",)),
    "scizor_measured_timestamp_seconds": Metric("", "When the part was read; it is kept for some seconds.", ("part",)),
    "scizor_measuring_seconds": Metric("", "How long reading the part took.", ("part",)),
    "scizor_build_info": Metric(MACHINE, "1; the release and the Python that answers.", ("version", "python")),
    # Prices.
    "scizor_prices_newest_close_timestamp_seconds": Metric(
        PRICES, "Close of the newest session of which the market has a bar.", _MARKET
    ),
    "scizor_prices_sessions_behind": Metric(
        PRICES, "Sessions whose prices are final by now and that came after the newest stored one.", _MARKET
    ),
    "scizor_prices_max_age_sessions": Metric(PRICES, "Sessions behind up to which prices may size an order.", _MARKET),
    "scizor_symbols_tracked": Metric(PRICES, "Symbols that the market has a row of, retired ones included.", _MARKET),
    "scizor_symbols_with_gaps": Metric(
        PRICES, "Symbols that lack a bar that is due in one of the last five sessions that are final.", _MARKET
    ),
    # Orders and what stands in their way.
    "scizor_orders": Metric(
        TRADING, "Orders of the portfolio's newest session (today's, once it has begun), by state.", (*_OWNER, "state")
    ),
    "scizor_orders_open": Metric(TRADING, "Orders that have not ended, of any session.", _OWNER),
    "scizor_orders_unknown": Metric(
        TRADING,
        "Orders whose outcome at the broker nobody knows, those included that were being sent when their run ended.",
        _OWNER,
    ),
    "scizor_session_state": Metric(
        TRADING, "1 for the state of the portfolio's newest session, 0 for the others.", (*_OWNER, "state")
    ),
    "scizor_trading_state": Metric(TRADING, "1 for the trading state in force, 0 for the others.", (*_OWNER, "state")),
    "scizor_locks": Metric(TRADING, "Locks that hold in the portfolio's session.", _OWNER),
    "scizor_breaks_open": Metric(TRADING, "Open breaks of the account, by what they lock.", ("account", "locks")),
    "scizor_reconciled_timestamp_seconds": Metric(
        TRADING, "When the portfolio was last compared with the broker, in any pass.", _OWNER
    ),
    "scizor_last_traded_close_timestamp_seconds": Metric(
        TRADING, "Close of the last session of which the portfolio has an order.", _OWNER
    ),
    "scizor_last_traded_due_timestamp_seconds": Metric(
        TRADING,
        "By when that session must have ended and be reconciled; an early close does not bring it forward.",
        _OWNER,
    ),
    "scizor_account_entry_timestamp_seconds": Metric(
        TRADING,
        "When the ledger's history last said something of the account. A poll that finds nothing adds none.",
        ("account",),
    ),
    "scizor_account_at_work": Metric(TRADING, "1 while a run holds the account.", ("account",)),
    "scizor_account_abandoned": Metric(
        TRADING, "1 where a run has taken the account and neither gave it back nor renewed its lease.", ("account",)
    ),
    "scizor_live": Metric(TRADING, "1 where the portfolio trades real money.", _OWNER),
    "scizor_armed_until_timestamp_seconds": Metric(
        TRADING, "Until when a portfolio with real money may trade; 0 where it may not.", _OWNER
    ),
    "scizor_notices": Metric(
        TRADING,
        "Notices by what became of them: given_up while their target has taken nothing since, then missed.",
        ("state",),
    ),
    # Money.
    "scizor_equity": Metric(MONEY, "Value of the portfolio after its last measured session.", (*_OWNER, "currency")),
    "scizor_cash": Metric(MONEY, "Cash of the portfolio after its last measured session.", (*_OWNER, "currency")),
    "scizor_drawdown": Metric(MONEY, "Share by which the return lies below its highest; 0 at the highest.", _OWNER),
    "scizor_performance_close_timestamp_seconds": Metric(MONEY, "Close of the session that was measured last.", _OWNER),
    # The machine and the stores.
    "scizor_disk_free_bytes": Metric(MACHINE, "Free space where the home lies."),
    "scizor_lake_bytes": Metric(MACHINE, "Size of what the newest state of the lake refers to."),
    "scizor_lake_files": Metric(MACHINE, "Files of the newest state of the lake."),
    "scizor_lake_snapshots": Metric(MACHINE, "States of the lake that are kept."),
    "scizor_ledger_entries": Metric(MACHINE, "Entries of the ledger's history."),
    "scizor_backup_timestamp_seconds": Metric(MACHINE, "When this home was last backed up by `scizor backup`."),
    "scizor_requests_left": Metric(
        MACHINE,
        "Requests that the serving process may still make in this minute. Runs count for themselves.",
        ("api", "side"),
    ),
    "scizor_requests_limit": Metric(MACHINE, "Requests a minute that it permits itself, by API.", ("api", "side")),
    # Dagster.
    "scizor_dagster_heartbeat_timestamp_seconds": Metric(RUNS, "When the daemon was last heard of.", ("daemon",)),
    "scizor_dagster_switched_on": Metric(RUNS, "Schedules and sensors that somebody has switched on."),
    "scizor_runs": Metric(RUNS, "Runs that have not ended, by status.", ("status",)),
    "scizor_runs_ended_24h": Metric(RUNS, "Runs that ended within 24 hours, by status.", ("status",)),
    "scizor_ticks_failed_24h": Metric(RUNS, "Ticks of schedules and sensors that failed within 24 hours."),
}
