"""What a user may set: `config/config.yaml` as frozen models.

What belongs here: one module per section, with names, types, defaults and the checks that need no other
file. What does not: secrets (environment only), the strategy manifest (`signals.manifest`), paths of
stores (`settings`).

Unknown keys are refused, numbers must be finite, a limit is never optional: it is a number or the
word `unlimited`. Percentages are fractions (0.02 is 2 %). Keys of the older system keep their names;
`legacy` says what became of those that have no effect any more.
"""

from __future__ import annotations

from scizor_dagster.config.accounts import Account, AlpacaAccount, IbkrAccount, PaperAccount, PaperExchangeRules
from scizor_dagster.config.api import ApiRules
from scizor_dagster.config.base import SUM_TOLERANCE, UNLIMITED, Fraction, Limit, MisplacedValue, Model, Name, Positive
from scizor_dagster.config.connections import AlpacaConnection, IbkrConnection
from scizor_dagster.config.execution import ExecutionRules, Idempotency, WeightRules
from scizor_dagster.config.fx import FxRules, RateFile
from scizor_dagster.config.lake import LakeRules
from scizor_dagster.config.limits import (
    DEFAULT_LIMITS,
    Cooldown,
    LimitRules,
    MaxDrawdown,
    Protection,
    StoplossGuard,
)
from scizor_dagster.config.loading import NO_LIMIT, load_config, validated
from scizor_dagster.config.markets import (
    AlpacaProvider,
    FilesProvider,
    IbkrProvider,
    Market,
    PriceQuality,
    Provider,
    SampleProvider,
    YahooProvider,
    basis_of,
)
from scizor_dagster.config.notifications import NotificationRules, Target
from scizor_dagster.config.planning import PlanningChoices
from scizor_dagster.config.portfolios import Capital, Portfolio
from scizor_dagster.config.reconciliation import ReconciliationRules
from scizor_dagster.config.risk import FractionalShares, RiskRules
from scizor_dagster.config.root import Config
from scizor_dagster.config.signals import MappingTable, MemberStrategy, OnAmbiguous, Overlay, SignalChoice
from scizor_dagster.config.watchdog import WatchdogRules

__all__ = [
    "DEFAULT_LIMITS",
    "NO_LIMIT",
    "SUM_TOLERANCE",
    "UNLIMITED",
    "Account",
    "AlpacaAccount",
    "AlpacaConnection",
    "AlpacaProvider",
    "ApiRules",
    "Capital",
    "Config",
    "Cooldown",
    "ExecutionRules",
    "FilesProvider",
    "Fraction",
    "FractionalShares",
    "FxRules",
    "IbkrAccount",
    "IbkrConnection",
    "IbkrProvider",
    "Idempotency",
    "LakeRules",
    "Limit",
    "LimitRules",
    "MappingTable",
    "Market",
    "MaxDrawdown",
    "MemberStrategy",
    "MisplacedValue",
    "Model",
    "Name",
    "NotificationRules",
    "OnAmbiguous",
    "Overlay",
    "PaperAccount",
    "PaperExchangeRules",
    "PlanningChoices",
    "Portfolio",
    "Positive",
    "PriceQuality",
    "Protection",
    "Provider",
    "RateFile",
    "ReconciliationRules",
    "RiskRules",
    "SampleProvider",
    "SignalChoice",
    "StoplossGuard",
    "Target",
    "WatchdogRules",
    "WeightRules",
    "YahooProvider",
    "basis_of",
    "load_config",
    "validated",
]
