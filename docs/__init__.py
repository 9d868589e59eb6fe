"""The documentation: pages, and in `making` what builds the rest of them from the code."""
