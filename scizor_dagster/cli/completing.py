"""What Tab offers: portfolios, strategies, symbols, sessions and ids, from configuration and stores as they lie there.

What belongs here: reading names, fast and without ever failing. What does not: whether the configuration can be used
(`config`), which a person is told of when the command runs.

Nothing that takes long to import is imported: configuration is read as plain YAML, an embedded ledger with the
standard library. A ledger on a server is not asked, because a terminal must not wait for a network.
"""

from __future__ import annotations

import csv
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scizor_dagster.ledger.states import IntentState
from scizor_dagster.settings import Settings
from scizor_dagster.strategies.names import SHIPPED

SHORT = 12
"""Letters of a backtest's id, as they are listed."""
MOST = 50
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_MAX_SECONDS = 0.1
"""How long a ledger that is being written is waited for."""
Source = Callable[[Settings], Iterable[str]]


@dataclass(frozen=True)
class Offer:
    """One word that Tab may put in, as a shell's half of the completion reads it."""

    value: str
    help: str | None = None
    type: str = "plain"


def complete_by_name(parameter: Any) -> None:
    """Offer what a parameter of this name takes, in whichever command it stands.

    Where there is nothing to offer, it is completed as before: choices of a fixed list, names of files.
    """
    name, before = parameter.name or "", parameter.shell_complete
    if name not in SOURCES:
        return

    def offer(ctx: Any, incomplete: str) -> list[Any]:
        return offers(SOURCES[name], incomplete) or before(ctx, incomplete)

    parameter.shell_complete = offer


def offers(source: Source, incomplete: str) -> list[Offer]:
    """What `source` finds that begins like this, up to where anything is amiss: Tab never ends in an error."""
    found: list[str] = []
    # A terminal in which somebody presses Tab is no place to hear of a broken file or a database.
    with suppress(Exception):
        for name in source(Settings.from_environment(os.environ)):
            found.append(name)  # noqa: PERF402 - what came before an error stays
    return [Offer(name) for name in dict.fromkeys(found) if name.startswith(incomplete)][:MOST]


def autocompletion(source: Source) -> Callable[[str], list[str]]:
    """For a parameter whose name says less than what it takes."""

    def complete(incomplete: str) -> list[str]:
        return [offer.value for offer in offers(source, incomplete)]

    return complete


def portfolios(settings: Settings) -> Iterable[str]:
    return _section(settings, "portfolios")


def markets(settings: Settings) -> Iterable[str]:
    return _section(settings, "markets")


def accounts(settings: Settings) -> Iterable[str]:
    return _section(settings, "accounts")


def strategies(settings: Settings) -> Iterable[str]:
    """Those of the manifest, the ones in Python that come along, and records."""
    yield from manifest_ids(settings)
    yield from SHIPPED
    yield from records(settings)


def manifest_ids(settings: Settings) -> Iterable[str]:
    manifest = settings.config_path.parent / str(_configuration(settings).get("strategy_manifest"))
    return [str(entry["id"]) for entry in _yaml(manifest)["strategies"]]


def records(settings: Settings) -> Iterable[str]:
    return _ledger(settings, "SELECT name FROM strategy_records GROUP BY name ORDER BY name")


def symbols(settings: Settings) -> Iterable[str]:
    """Those of every universe file, as far as it can be read."""
    found: list[str] = []
    for market in _section(settings, "markets").values():
        for name in market.get("universes", ()):
            with (settings.config_path.parent / name).open(encoding="utf-8-sig", newline="") as file:
                found += [row["symbol"] for row in csv.DictReader(file)]
    return found


def sessions(settings: Settings) -> Iterable[str]:
    """Those that something was planned in, the newest first."""
    return _ledger(settings, f"SELECT DISTINCT session FROM batches ORDER BY session DESC LIMIT {MOST}")


def orders(settings: Settings) -> Iterable[str]:
    return _ledger(settings, f"SELECT client_order_id FROM orders ORDER BY session DESC, position LIMIT {10 * MOST}")


def open_orders(settings: Settings) -> Iterable[str]:
    over = ", ".join(f"'{state}'" for state in IntentState if state.terminal)
    return _ledger(settings, f"SELECT client_order_id FROM orders WHERE state NOT IN ({over}) ORDER BY session DESC")


def locks(settings: Settings) -> Iterable[str]:
    return _ledger(settings, "SELECT lock_id FROM risk_locks WHERE lifted_at IS NULL ORDER BY created_at DESC")


def breaks(settings: Settings) -> Iterable[str]:
    return _ledger(settings, "SELECT break_id FROM breaks WHERE cleared_at IS NULL ORDER BY opened_at DESC")


def plans(settings: Settings) -> Iterable[str]:
    """Portfolios, one of whose plans is meant, and whatever was admitted."""
    yield from portfolios(settings)
    yield from _ledger(settings, f"SELECT plan_id FROM batches ORDER BY session DESC LIMIT {MOST}")


def explained(settings: Settings) -> Iterable[str]:
    """What `scizor explain` takes: tickers and orders."""
    yield from symbols(settings)
    yield from orders(settings)


def account_ids(settings: Settings) -> Iterable[str]:
    """Accounts as their brokers call them, where the configuration pins one."""
    found = (account.get("account_id") for account in _section(settings, "accounts").values())
    return [_filled(settings, str(name)) for name in found if name]


def backtests(settings: Settings) -> Iterable[str]:
    """Ids and names, the newest first: new rows lie in the lake's catalog, older ones in files beside it."""
    if settings.on_server:
        return []
    path = settings.lake_folder / "catalog.sqlite"
    rows: list[tuple[str, str]] = []
    with _read_only(path) as catalog:
        tables = "SELECT table_id FROM ducklake_table WHERE table_name = 'backtests' AND end_snapshot IS NULL"
        inlined = catalog.execute(f"SELECT table_name FROM ducklake_inlined_data_tables WHERE table_id IN ({tables})")
        for (table,) in inlined.fetchall():
            kept = f'FROM "{table}" WHERE end_snapshot IS NULL ORDER BY begin_snapshot DESC'
            rows += catalog.execute(f"SELECT backtest_id, name {kept}").fetchall()
        files = catalog.execute(
            f"SELECT path FROM ducklake_data_file WHERE end_snapshot IS NULL AND table_id IN ({tables})"
        ).fetchall()
    found = [next((settings.lake_folder / "data").rglob(Path(name).name)) for (name,) in files]
    if found:
        import duckdb

        asked = "SELECT backtest_id, name FROM read_parquet(?) ORDER BY fetched_at DESC"
        rows += duckdb.connect().execute(asked, [[str(file) for file in found]]).fetchall()
    return [word for key, name in rows for word in ((key[:SHORT], name) if name else (key[:SHORT],))]


def _section(settings: Settings, name: str) -> dict[str, Any]:
    found = _configuration(settings)[name]
    return found if isinstance(found, dict) else {}


def _configuration(settings: Settings) -> dict[str, Any]:
    return dict(_yaml(settings.config_path))


def _yaml(path: Path) -> Any:
    import yaml

    return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def _filled(settings: Settings, text: str) -> str:
    """With the environment in place of `${NAME}`."""
    return _VARIABLE.sub(lambda found: settings.environment.get(found[1], ""), text)


def _ledger(settings: Settings, query: str) -> list[str]:
    if settings.on_server:
        return []
    with _read_only(settings.ledger_file) as ledger:
        return [str(name) for (name,) in ledger.execute(query).fetchall()]


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """An embedded store that is there; it is never created, changed, or waited for."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_MAX_SECONDS)) as found:
        yield found


SOURCES: dict[str, Source] = {
    "portfolio": portfolios,
    "adopt_to": portfolios,
    "market": markets,
    "account": accounts,
    "strategy": strategies,
    "symbol": symbols,
    "symbols": symbols,
    "renamed_from": symbols,
    "benchmark": symbols,
    "day": sessions,
    "first": sessions,
    "last": sessions,
    "start": sessions,
    "end": sessions,
    "backtest": backtests,
    "client_order_id": open_orders,
    "lock_id": locks,
    "break_id": breaks,
}
"""What is offered, by the name of the parameter: one name means one thing in every command."""
