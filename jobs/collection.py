"""Jobs that bring prices into the lake.

What belongs here: which assets run together, and how they may be repeated. What does not: when
(`schedules`). Collecting is idempotent: any of these may run again at any time.
"""

from typing import TYPE_CHECKING

import dagster as dg

from scizor_dagster.config import Config
from scizor_dagster.jobnames import name_for

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DAILY = ("symbols", "corporate_actions", "daily_prices", "prices")
HISTORY = ("symbols", "corporate_actions", "historical_chunks", "prices")


def collection_jobs(config: Config) -> list["UnresolvedAssetJobDefinition"]:
    """`collect_daily` and `collect_history` of every market; the first `collect_daily` takes `fx_rates` along."""
    jobs = []
    for market in config.markets:
        shared = dg.AssetSelection.assets("fx_rates") if market == next(iter(config.markets)) else None
        daily = _assets(market, DAILY)
        jobs.append(
            dg.define_asset_job(
                name_for("collect_daily", market, config.markets),
                selection=daily | shared if shared else daily,
                description=f"One closed session of market {market}: universe, actions, bars, the continuous view.",
                tags={"dagster/max_runtime": "3600"},
                executor_def=dg.in_process_executor,
            )
        )
        jobs.append(
            dg.define_asset_job(
                name_for("collect_history", market, config.markets),
                selection=_assets(market, HISTORY),
                description=f"Years of market {market}, gap-driven; any range of years in one run.",
                tags={"dagster/max_runtime": "21600"},
                executor_def=dg.in_process_executor,
            )
        )
    return jobs


def _assets(market: str, names: tuple[str, ...]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*[dg.AssetKey([market, name]) for name in names])
