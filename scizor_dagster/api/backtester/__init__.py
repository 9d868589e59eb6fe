"""The backtester: strategies, their weights and code, backtests, optimizations and performance."""

from scizor_dagster.api.backtester import backtests, code, optimizations, performance, results, signals, strategies

ROUTERS = (
    strategies.router,
    signals.router,
    backtests.router,
    results.router,
    optimizations.router,
    performance.router,
    code.router,
)
