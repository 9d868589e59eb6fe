"""One route of each service, as the example of how the others are written and asked."""

from tests.api.client import Client


def test_health_says_which_stores_there_are(empty_api: Client) -> None:
    answer = empty_api.get("/api/health")
    assert (answer.status, answer.json["status"], answer.json["lake"], answer.json["ledger"]) == (
        200,
        "ok",
        False,
        True,
    )


def test_symbols_of_an_empty_home_are_an_empty_page(empty_api: Client) -> None:
    assert empty_api.get("/api/symbols").json == {"items": [], "next": None}


def test_portfolios_are_those_of_the_configuration(empty_api: Client) -> None:
    assert [item["name"] for item in empty_api.get("/api/portfolios").json["items"]] == ["main"]


def test_a_market_that_is_not_configured_is_a_problem(empty_api: Client) -> None:
    answer = empty_api.get("/api/symbols?market=mars")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json["problem"] == "There is no market 'mars'."


def test_a_parameter_that_is_not_declared_is_refused_by_name(empty_api: Client) -> None:
    answer = empty_api.get("/api/symbols?markets=us")
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "query.markets")


def test_strategies_without_a_record_are_an_empty_page(empty_api: Client) -> None:
    assert empty_api.get("/api/strategies?kind=record").json["items"] == []


def test_without_a_key_nothing_is_answered(empty_api: Client) -> None:
    answer = empty_api.holding(None).get("/api/health")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="scizor"')
