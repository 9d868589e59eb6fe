"""The embedded paper exchange: a matching engine over daily bars, with books of its own.

Two ways lead through a day. The in-process adapter takes it in three steps: `model`, `rules`,
`buying_power`, `matching`, `overnight`, `late` and `engine` are pure, `store` keeps the books, and
`exchange` joins the two. The doors on the wire ask for a continuous session instead: `venue` is what they
may ask (its words are `venue_orders` and `venue_views`) and `opening` opens one; `paper_venue` answers, over
`desk` (requests), `continuous` (what happens in between), `meeting`, `price_path`, `traces` and `halts`
(prices), `families` (brackets and groups), `house_alpaca` and `house_ibkr` (rules), `venue_margin`,
`venue_overnight` and `venue_store`, `watchlists` and `account_settings` (what an account keeps beside its
trades). Both fill at the same costs and refuse in the same words; an account belongs to one of them.
"""
