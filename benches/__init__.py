"""The benches: instruments, contenders, rows, one table.

Deliberately no part of the wheel: nothing in p402 imports this package.
"""
