"""What a route is asked with where a test asks each: values of path parameters, by name.

A new name of a parameter needs a value here: of something in the home of `conftest` that belongs to portfolio `main`
and its account `paper`, so that a key of another account has something to be kept from.
"""

from tests.filled import RUN

PATHS: dict[str, str] = {
    "portfolio": "main",
    "symbol": "AAPL",
    "strategy": "weekly",
    "date": "2025-02-03",
    "session": "2025-02-03",
    "run": RUN,
    "plan": "of the session that was traded",
    "order": "of the session that was traded",
    "backtest": "0" * 64,
    "optimization": "0" * 32,
    "code": "0" * 64,
    "collection_id": "0b0f5c3e-6a3f-4b0e-9a46-3c1c0f2f3a10",
}
"""By name of the path parameter; ids that the home decides are put in when it is filled."""
QUERIES: dict[str, dict[str, str]] = {
    "/api/symbols/{symbol}": {"reason": "taken private"},
    "/api/performance/compare": {"ids": "weekly"},
    "/api/risk/events": {"passed": "true"},
    "DELETE /api/orders/{order}": {"reason": "test"},
    "/api/risk/check": {"plan": "of the session that was traded"},
}
"""Query parameters that a route cannot do without, by its path as the application knows it, or method and path."""
FILES: dict[tuple[str, str], tuple[str, bytes]] = {
    ("POST", "/api/strategies/{strategy}/signals"): (
        "text/csv",
        b"trade_date,asset_id,target_weight\n2025-02-10,MSFT,0.4\n2025-02-10,NVDA,0.3\n",
    ),
}
"""Files that are handed in, with their media type, by method and path; other bodies are the examples of the models."""
