"""Decides that `p402 demo` is the demonstration of p402/demo.py. Does nothing else."""

from __future__ import annotations

import argparse

from p402.demo import Show, real, sandbox


def run(options: argparse.Namespace) -> int:
    """Runs the demonstration to its end."""
    show = Show(
        requests=options.requests, plain=options.plain, svg=options.svg, speed=options.speed
    )
    return real(show, options.gguf) if options.real else sandbox(show)
