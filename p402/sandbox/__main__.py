"""Decides how the sandbox runs as a child process: one ready line, and it ends with its parent.

Does not daemonise. A parent that dies closes our stdin, which is enough: PR_SET_PDEATHSIG would
also strike when merely the thread that started us ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading

from p402.sandbox.fault_table import listing
from p402.sandbox.request import Manners
from p402.sandbox.server import LOOPBACK, Sandbox

READY = "P402_SANDBOX ready"
STDIN_BYTES = 4_096


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, then serve until told to stop."""
    options = _parser().parse_args(arguments)
    if options.list_faults:
        sys.stdout.write(listing() + "\n")
        return 0
    asyncio.run(_run(options))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m p402.sandbox",
        description="A loopback provider that speaks the OpenAI chat format and misbehaves on "
        "command (model sandbox-fault:NAME[,k=v] or header x-sandbox-fault). "
        "Prints one ready line, ends when stdin closes.",
    )
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port (%(default)s)")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="multiplies every delay: 0 none, 1 realistic (%(default)s)",
    )
    parser.add_argument(
        "--log",
        type=int,
        default=0,
        metavar="N",
        help="keep the last N requests of each provider, prompts included, for GET /_sandbox/log "
        "(%(default)s: none)",
    )
    parser.add_argument(
        "--keep-running", action="store_true", help="do not end when stdin closes (for a shell)"
    )
    parser.add_argument(
        "--any-model", action="store_true", help="answer unknown models as `hello` does"
    )
    parser.add_argument("--list-faults", action="store_true", help="print the faults and exit")
    return parser


async def _run(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    sandbox = Sandbox(
        speed=options.speed,
        log_limit=options.log,
        manners=Manners(any_model=options.any_model),
    )
    await sandbox.start(options.host, options.port)
    if not options.keep_running:
        watcher = threading.Thread(target=_watch_stdin, args=(loop, over), daemon=True)
        watcher.start()
    sys.stdout.write(f"{READY} {sandbox.base_url}\n")
    sys.stdout.flush()
    await over.wait()
    await sandbox.stop()


def _watch_stdin(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    """End when stdin does; a thread, because stdin may be a file that no loop can watch."""
    while os.read(0, STDIN_BYTES):
        pass
    loop.call_soon_threadsafe(over.set)


if __name__ == "__main__":
    sys.exit(main())
