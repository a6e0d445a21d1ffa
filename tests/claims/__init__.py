"""The claims of the billing guard: one script, one claim, one headline number.

`python -m tests.claims` runs them all; the oracle is what a provider billed, never our counters.
"""
