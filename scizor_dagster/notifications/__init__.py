"""Telling people: notices, the targets that take them, and what is remembered of who was told.

What belongs here: the words of each event, sending, and doing it once. What does not: what has happened (`flow.notices`
looks, `jobs` asks), and when it is looked for. No failure here ever reaches a run or an order.
"""
