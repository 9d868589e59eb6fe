"""The paper exchange as Alpaca's trading and data API: an unmodified client needs only another address.

One port serves `/v2` (trading and stocks data), `/v1/corporate-actions` and the websockets `/stream` and `/v2/iex`.
`routes` names every call; modules by topic answer them from a `Venue`; `render_*` spell what they
answer; `errors` knows what a refusal is called; `server` runs it.
"""
