"""Decides nothing: the folder of the encoder's weights, their digest and what made them.

Does not hold code that a server runs; the encoder itself is Rust.
"""
