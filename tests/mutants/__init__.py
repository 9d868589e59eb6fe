"""Mutants of the order core: how much of a deliberate change to its code the core's own tests notice.

    python -m tests.mutants                      a seeded sample; `make mutants` is this
    python -m tests.mutants --sample 0           every mutant: hours
    python -m tests.mutants --only risk/limits.py:40   those of one module or line, with their diffs

`mutating` makes the mutants with mutmut's operators, `watching` learns which tests run which line, `trials` forks a
process per mutant, `reporting` counts. `equivalent.toml` names, with reasons, the mutants that change no behaviour.
"""
