"""What a route is asked with where a test asks each: values of path parameters, by name.

A new name of a parameter needs a value here: of something in the home of `conftest` that belongs to portfolio `main`
and its account `paper`, so that a key of another account has something to be kept from.
"""

PATHS: dict[str, str] = {
    "portfolio": "main",
    "symbol": "AAPL",
}
"""By name of the path parameter."""
QUERIES: dict[str, dict[str, str]] = {}
"""Query parameters that a route cannot do without, by its path as the application knows it."""
FILES: dict[tuple[str, str], tuple[str, bytes]] = {}
"""Files that are handed in, with their media type, by method and path; other bodies are the examples of the models."""
