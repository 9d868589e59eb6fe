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
BODIES: dict[tuple[str, str], bytes] = {}
"""Bodies that are no JSON, by method and path; those of JSON are the examples of the routes' models."""
