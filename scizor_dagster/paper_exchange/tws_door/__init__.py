"""The exchange as a TWS: a socket at server version 176, for any client of the TWS API.

What belongs here: framing, message layouts, and the translation between the API's words and those of
the venue. What does not: rules, matching and books (`paper_exchange.venue` states what is asked of them).
"""
