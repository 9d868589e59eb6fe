"""Tables that leave Scizor as files: typed columns, CSV that no spreadsheet runs, Parquet, all files or none.

What belongs here: how a table becomes bytes, and bytes become files. What does not: what is in a table (`planning`,
`exports`), and reading the tables of others (`planning.table_files`).
"""
