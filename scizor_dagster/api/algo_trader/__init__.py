"""The algo trader: portfolios, plans, orders, risk, reconciliation and the audit."""

from scizor_dagster.api.algo_trader import portfolios

ROUTERS = (portfolios.router,)
