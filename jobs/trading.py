"""Jobs that decide and trade.

What belongs here: which assets run together, and the tags that keep Dagster from repeating a step
by itself. What does not: what keeps an order from being sent twice; that is the ledger's work and
holds whatever is started here, however often.
"""

from typing import TYPE_CHECKING

import dagster as dg

from scizor_dagster.config import Config
from scizor_dagster.flow.closing import PASS
from scizor_dagster.flow.trades import FOLLOW, PURPOSE, TAKE
from scizor_dagster.jobnames import name_for

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

NO_RETRY = {"dagster/max_retries": "0", "dagster/retry_on_asset_or_op_failure": "false", "dagster/max_runtime": "900"}
PURPOSES = {
    "follow_orders": {PURPOSE: FOLLOW},
    "close_day": {PURPOSE: FOLLOW, PASS: "second"},
    "take_signals": {PURPOSE: TAKE},
}
DECIDE = ("target_weights", "planned_orders")
ACT = ("executions", "reconciliations", "performance")
CLOSE = ("reconciliations", "performance")


def trading_jobs(config: Config) -> list["UnresolvedAssetJobDefinition"]:
    """`rebalance`, `plan`, `follow_orders`, `close_day`, `take_signals` and `reconcile` of every portfolio."""
    jobs = []
    for name, portfolio in config.portfolios.items():
        signals = tuple(f"raw_signals/{strategy}" for strategy in portfolio.signals.ids)
        for job, assets, description in (
            ("rebalance", (*signals, *DECIDE, *ACT), "From the weight files to reconciled positions, for one session."),
            ("plan", (*signals, *DECIDE), "From the weight files to the stored plan; admits and sends nothing."),
            ("follow_orders", ACT, "Continues what was admitted to its end; admits no plan."),
            ("close_day", ACT, "The second pass: records what came late, reconciles, and closes the day's books."),
            ("take_signals", (*signals, DECIDE[0]), "Takes the weight files in and consolidates them; plans nothing."),
            ("reconcile", CLOSE, "Compares plan, ledger and broker again, and measures the session."),
        ):
            jobs.append(
                dg.define_asset_job(
                    name_for(job, name, config.portfolios),
                    selection=_assets(name, assets),
                    description=f"Portfolio {name}: {description}",
                    tags={**NO_RETRY, "scizor/portfolio": name, **PURPOSES.get(job, {})},
                    executor_def=dg.in_process_executor,
                )
            )
    return jobs


def _assets(portfolio: str, names: tuple[str, ...]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*[dg.AssetKey([portfolio, *name.split("/")]) for name in names])
