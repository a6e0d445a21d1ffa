"""Decides whether the faults that happen around the store are borne by a whole gateway.

Those of Redis and the network before it are tests of the Rust crates (p402-io, tests/redis).
"""
