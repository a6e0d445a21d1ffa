"""Decides nothing: the folder of the verifier's trees, the pairs they are judged by, and the card.

Does not hold code that a server runs; the trees are walked in Rust.
"""
