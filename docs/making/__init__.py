"""What of the documentation is made from the code, when the site is built.

What belongs here: reading codes, models, tables, commands and transitions out of the code, and writing pages and
diagrams of them. What does not: the pages that people write (`docs/*.md`), and the meaning of a code, which stands
once, in `docs/handbook/*.yaml`.
"""
