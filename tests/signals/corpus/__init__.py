"""The catalogue of bad weight files, as real files with the response that each must get.

A module of cases exports `CASES`; `test_corpus` runs them all. A case is one way in which one entry of
the catalogue happens; several may share its number.
"""
