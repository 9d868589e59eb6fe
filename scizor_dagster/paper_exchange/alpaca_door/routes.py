"""Every call at this door, with its name in fault scripts.

What belongs here: method, path, name and handler. What does not: what a handler does.
"""

from __future__ import annotations

from scizor_dagster.paper_exchange.alpaca_door import (
    activities,
    announcements,
    bars,
    closing,
    data,
    orders,
    portfolio,
    positions,
    reference,
    ticks,
    watchlists,
)
from scizor_dagster.paper_exchange.alpaca_door.door import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/v2/account", "get_account", reference.get_account),
    Endpoint("GET", "/v2/account/configurations", "get_configurations", reference.get_configurations),
    Endpoint("PATCH", "/v2/account/configurations", "change_configurations", reference.change_configurations),
    Endpoint("GET", "/v2/account/portfolio/history", "get_portfolio_history", portfolio.get_portfolio_history),
    Endpoint("GET", "/v2/account/activities", "list_activities", activities.list_activities),
    Endpoint("GET", "/v2/account/activities/{activity_type}", "list_activities", activities.list_activities),
    Endpoint("GET", "/v2/assets", "list_assets", reference.list_assets),
    Endpoint("GET", "/v2/assets/{symbol:path}", "get_asset", reference.get_asset),
    Endpoint("GET", "/v2/clock", "get_clock", reference.get_clock),
    Endpoint("GET", "/v2/calendar", "list_calendar", reference.list_calendar),
    Endpoint("POST", "/v2/orders", "submit_order", orders.submit_order),
    Endpoint("GET", "/v2/orders", "list_orders", orders.list_orders),
    Endpoint("DELETE", "/v2/orders", "cancel_orders", orders.cancel_orders),
    Endpoint("GET", "/v2/orders:by_client_order_id", "get_order_by_client_id", orders.get_order_by_client_id),
    Endpoint("GET", "/v2/orders/{order_id}", "get_order", orders.get_order),
    Endpoint("PATCH", "/v2/orders/{order_id}", "replace_order", orders.replace_order),
    Endpoint("DELETE", "/v2/orders/{order_id}", "cancel_order", orders.cancel_order),
    Endpoint("GET", "/v2/positions", "list_positions", positions.list_positions),
    Endpoint("DELETE", "/v2/positions", "close_positions", closing.close_positions),
    Endpoint("GET", "/v2/positions/{symbol:path}", "get_position", positions.get_position),
    Endpoint("DELETE", "/v2/positions/{symbol:path}", "close_position", closing.close_position),
    Endpoint("GET", "/v2/watchlists", "list_watchlists", watchlists.list_watchlists),
    Endpoint("POST", "/v2/watchlists", "create_watchlist", watchlists.create_watchlist),
    Endpoint("GET", "/v2/watchlists/{watchlist_id}", "get_watchlist", watchlists.get_watchlist),
    Endpoint("PUT", "/v2/watchlists/{watchlist_id}", "update_watchlist", watchlists.update_watchlist),
    Endpoint("POST", "/v2/watchlists/{watchlist_id}", "add_to_watchlist", watchlists.add_to_watchlist),
    Endpoint("DELETE", "/v2/watchlists/{watchlist_id}", "delete_watchlist", watchlists.delete_watchlist),
    Endpoint("GET", "/v2/watchlists:by_name", "get_watchlist", watchlists.get_watchlist),
    Endpoint("PUT", "/v2/watchlists:by_name", "update_watchlist", watchlists.update_watchlist),
    Endpoint("POST", "/v2/watchlists:by_name", "add_to_watchlist", watchlists.add_to_watchlist),
    Endpoint("DELETE", "/v2/watchlists:by_name", "delete_watchlist", watchlists.delete_watchlist),
    Endpoint(
        "DELETE",
        "/v2/watchlists/{watchlist_id}/{symbol:path}",
        "remove_from_watchlist",
        watchlists.remove_from_watchlist,
    ),
    Endpoint("GET", "/v2/corporate_actions/announcements", "list_announcements", announcements.list_announcements),
    Endpoint(
        "GET",
        "/v2/corporate_actions/announcements/{announcement_id}",
        "get_announcement",
        announcements.get_announcement,
    ),
    Endpoint("GET", "/v2/stocks/bars", "list_bars", bars.list_bars, data=True),
    Endpoint("GET", "/v2/stocks/bars/latest", "list_latest_bars", data.list_latest_bars, data=True),
    Endpoint("GET", "/v2/stocks/snapshots", "list_snapshots", data.list_snapshots, data=True),
    Endpoint("GET", "/v2/stocks/quotes/latest", "list_latest_quotes", data.list_latest_quotes, data=True),
    Endpoint("GET", "/v2/stocks/trades/latest", "list_latest_trades", data.list_latest_trades, data=True),
    Endpoint("GET", "/v2/stocks/trades", "list_trades", ticks.list_trades, data=True),
    Endpoint("GET", "/v2/stocks/quotes", "list_quotes", ticks.list_quotes, data=True),
    Endpoint("GET", "/v2/stocks/{symbol}/bars/latest", "list_latest_bars", data.get_latest_bar, data=True),
    Endpoint("GET", "/v2/stocks/{symbol}/quotes/latest", "list_latest_quotes", data.get_latest_quote, data=True),
    Endpoint("GET", "/v2/stocks/{symbol}/trades/latest", "list_latest_trades", data.get_latest_trade, data=True),
    Endpoint("GET", "/v2/stocks/{symbol}/trades", "list_trades", ticks.list_trades_of_one, data=True),
    Endpoint("GET", "/v2/stocks/{symbol}/quotes", "list_quotes", ticks.list_quotes_of_one, data=True),
    Endpoint("GET", "/v2/stocks/{symbol}/bars", "list_bars", bars.list_bars_of_one, data=True),
    Endpoint("GET", "/v2/stocks/{symbol}/snapshot", "get_snapshot", data.get_snapshot, data=True),
    Endpoint("GET", "/v1/corporate-actions", "list_corporate_actions", data.list_corporate_actions, data=True),
)
STREAM = "trade_update"
"""Name of one message of the stream in fault scripts."""
