"""Primitives through the Python Gateway.

Deliberately run by name only: pytest collects tests/ and not this folder.
"""
