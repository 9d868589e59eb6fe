"""The algo trader: portfolios, plans, orders, risk, reconciliation and the audit."""

from scizor_dagster.api.algo_trader import (
    arming,
    audit,
    manual,
    orders,
    performance,
    plans,
    portfolios,
    positions,
    rebalances,
    reconciliations,
    risk,
    stopping,
    strategies,
    trades,
)

ROUTERS = (
    portfolios.router,
    strategies.router,
    plans.router,
    rebalances.router,
    orders.router,
    manual.router,
    trades.router,
    positions.router,
    risk.router,
    stopping.router,
    arming.router,
    reconciliations.router,
    performance.router,
    audit.router,
)
