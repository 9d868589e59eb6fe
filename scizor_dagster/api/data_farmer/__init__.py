"""The data farmer: symbols, prices, gaps and collections."""

from scizor_dagster.api.data_farmer import symbols

ROUTERS = (symbols.router,)
