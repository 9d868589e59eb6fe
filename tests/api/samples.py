"""What a route is asked with where a test asks each: values of path parameters, by name.

A new name of a parameter needs a value here: of something in the home of `conftest` that belongs to portfolio `main`
and its account `paper`, so that a key of another account has something to be kept from.
"""

PATHS: dict[str, str] = {
    "portfolio": "main",
    "symbol": "AAPL",
    "strategy": "weekly",
    "backtest": "0" * 64,
    "optimization": "0" * 32,
    "code": "0" * 64,
}
"""By name of the path parameter."""
QUERIES: dict[str, dict[str, str]] = {"/api/performance/compare": {"ids": "weekly"}}
"""Query parameters that a route cannot do without, by its path as the application knows it."""
FILES: dict[tuple[str, str], tuple[str, bytes]] = {
    ("POST", "/api/strategies/{strategy}/signals"): (
        "text/csv",
        b"trade_date,asset_id,target_weight\n2025-02-10,MSFT,0.4\n2025-02-10,NVDA,0.3\n",
    ),
}
"""Files that are handed in, with their media type, by method and path; other bodies are the examples of the models."""
