"""The page of one session: facts in, one self-contained HTML page out."""
