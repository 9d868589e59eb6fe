"""Where all parts meet: assets, resources, jobs, schedules and sensors of one configuration.

What belongs here: assembly, by explicit lists. What does not: any body. Tests and the command line
call `build_defs` with settings of their own; `workspace.yaml` loads `defs`.
"""

import os
import warnings

import dagster as dg

from assets.backtests import backtest_assets
from assets.maintenance import maintenance, run_history
from assets.markets import market_assets
from assets.portfolios import portfolio_assets
from assets.rates import fx_rates
from jobs.collection import collection_jobs
from jobs.maintenance import maintenance_job
from jobs.research import research_job
from jobs.schedules import schedules
from jobs.sensors import sensors
from jobs.trading import trading_jobs
from resources.alpaca import AlpacaResource, alpaca_secrets
from resources.desk import SystemClock, TradingDesk, fixed, ledger_secrets
from resources.ibkr import IbkrResource
from resources.notifier import NotifierResource
from resources.paper import PaperResource
from scizor_dagster import logs
from scizor_dagster.config import Config, load_config
from scizor_dagster.flow.secrets import late_redaction
from scizor_dagster.settings import Settings


def build_defs(settings: Settings | None = None, *, fixed_now: str | None = None) -> dg.Definitions:
    """Assemble the definitions.

    Args:
        settings: Places of stores and configuration; by default those of the environment.
        fixed_now: ISO 8601 instant that replaces the clock, for replays and tests.

    Raises:
        ConfigError: the configuration or `DATABASE_URL` cannot be used; the UI shows it as the location's load error.
    """
    settings = settings or Settings.from_environment(os.environ)
    config = load_config(settings.config_path, settings.environment)
    _ = settings.ledger_url
    clock = SystemClock(fixed_at=fixed_now)
    desk = TradingDesk(
        home=str(settings.home),
        config_path=str(settings.config_path),
        clock=clock,
        secrets={**alpaca_secrets(config), **ledger_secrets(settings)},
    )
    with warnings.catch_warnings():
        # Single-run backfills are the point of the year partitions; their parameter is still called beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = [asset for market in config.markets for asset in market_assets(config, market)]
        assets += [asset for portfolio in config.portfolios for asset in portfolio_assets(config, portfolio)]
    trading = trading_jobs(config)
    connections = {"desk": desk, "notifier": NotifierResource(desk=desk), **_accounts(config, desk)}
    return dg.Definitions(
        assets=[*assets, *backtest_assets(config), fx_rates, maintenance, run_history],
        jobs=[*collection_jobs(config), *trading, maintenance_job(), research_job()],
        schedules=schedules(config),
        sensors=sensors(config, trading),
        resources={name: fixed(item) for name, item in connections.items()},
        executor=dg.in_process_executor,
    )


def _accounts(config: Config, desk: TradingDesk) -> dict[str, dg.ConfigurableResource[None]]:
    """Each account by its name, as `account_<name>`: for assets beside those of this project, which use the desk."""
    kinds = {"paper": PaperResource, "alpaca": AlpacaResource, "ibkr": IbkrResource}
    return {f"account_{name}": kinds[item.broker](desk=desk, account=name) for name, item in config.accounts.items()}


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` loads: that of the environment's configuration, in a process of Dagster's."""
    redact = late_redaction(os.environ)
    logs.begin(os.environ, redact)
    logs.dress_dagster(os.environ, redact)
    return build_defs()
