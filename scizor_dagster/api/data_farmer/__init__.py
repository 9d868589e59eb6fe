"""The data farmer: symbols, prices, gaps and collections."""

from scizor_dagster.api.data_farmer import acceptances, collections, prices, quality, symbols

# A symbol may have a slash in its name: what is below one comes before the symbol itself.
ROUTERS = (symbols.router, quality.router, prices.router, collections.router, acceptances.router)
