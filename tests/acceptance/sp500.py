"""A project on real prices and real weights: S&P 500 bars of 2018 to 2023 through the `files` provider."""

from pathlib import Path

import pandas as pd

from tests.projects import Project, project_at

CONFIG = """
strategy_manifest: strategy_manifest.yaml
markets:
  us:
    calendar: XNYS
    currency: USD
    first_session: 2018-01-02
    universes: [universe.csv]
    provider:
      type: files
      path: {prices}
      layout: long
      format: parquet
      adjustment: split
      columns: {{session: date}}
accounts:
  paper: {{broker: paper, currency: USD, initial_cash: 1000000.0}}
portfolios:
  main:
    market: us
    account: paper
    capital: {{share: 1.0}}
    signals: {{mode: select, strategy: equal, as_of: exact}}
risk:
  fractional_shares:
    enabled: true
    min_order_notional: 5.0
    quantity_precision: 4
    max_total_weight: 1.0
    adjust_for_overflow: true
  max_notional_per_order: 25000.0
  max_share_per_order: 100000.0
  max_total_notional: 5000000.0
  min_cash_buffer_pct: 0.02
weights: {{max_weight: 0.2}}
idempotency: {{client_order_id_prefix: SPX}}
"""

MANIFEST = """
strategies:
  - id: equal
    path: {weights}
    format: xlsx
    weights_dated: trade_session
    column_mapping: {{trade_date: trade_date, gvkey: asset_id, weights: target_weight}}
    mapping: {{file: {mapping}, id_column: gvkey, symbol_column: tic, on_ambiguous: first_priced}}
    on_unknown_id: quarantine
    max_quarantined_weight: 0.6
"""


def write_project(folder: Path, data: Path) -> Project:
    """Write configuration, manifest and universe into `folder`."""
    prices = data / "sp500_2018_2023" / "ohlcv.parquet"
    weights = data / "weights_finrl_trading"
    (folder / "config.yaml").write_text(CONFIG.format(prices=prices), encoding="utf-8")
    manifest = MANIFEST.format(
        weights=weights / "equally_weighted.xlsx", mapping=weights / "tic_gvkey_mapping_2025.csv"
    )
    (folder / "strategy_manifest.yaml").write_text(manifest, encoding="utf-8")
    symbols = sorted(pd.read_parquet(prices, columns=["symbol"])["symbol"].unique())
    universe = pd.DataFrame({"symbol": symbols, "mic": "XNYS", "name": symbols, "currency": "USD"})
    universe.assign(sector="", category="", exchange="NYSE").to_csv(folder / "universe.csv", index=False)
    return project_at(folder)
