"""What a session of a portfolio leaves as files, under the names that users of the older systems know.

What belongs here: columns and rows, from facts that are handed in. What does not: reading the stores (`flow.exporting`)
and bytes (`tabular`).
"""
