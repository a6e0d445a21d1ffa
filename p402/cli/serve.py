"""Decides what `p402 serve` does: read the settings, then serve them. Does not know granian."""

from __future__ import annotations

import argparse

from p402.settings import load


def run(options: argparse.Namespace) -> int:
    """Serves until a signal ends it."""
    settings = load(options.config, host=options.host, port=options.port)
    from p402.server import serve

    return serve(settings, options.config, options.started)
