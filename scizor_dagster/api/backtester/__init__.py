"""The backtester: strategies, their weights, backtests, optimizations and performance."""

from scizor_dagster.api.backtester import strategies

ROUTERS = (strategies.router,)
