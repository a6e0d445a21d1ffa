"""Decides the command `p402`: its verbs, their options, and how a mistake ends.

Does not do a verb's work: each lives in its own file and is imported when it is asked for.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING

from p402 import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

MODES = ("cost", "quality", "speed", "balanced")
TASKS = (
    "auto",
    "reasoning",
    "coding",
    "agentic",
    "math",
    "extraction",
    "summarisation",
    "creative",
    "chat",
    "instruction",
)
BUCKETS = ("day", "model", "provider", "mode", "session", "key", "tenant")
USAGE_ERROR = 2

_TOP = """\
One OpenAI-compatible endpoint; each request goes to the best model for its target.

  p402 serve                                   start the gateway on http://127.0.0.1:4020/api/v2
  p402 check --config p402.toml                is my configuration right, and what is live?
  p402 models --search haiku                   what is there, at what price?
  p402 route 'prove Fermat' --mode quality     which model would answer, and why? (calls nobody)
  p402 usage                                   what was used, by day, model, provider, …
  p402 ledger verify                           is every nano-dollar in its place?
  p402 cache stats                             what is kept, and what it has served
  p402 demo                                    watch it work, without any key

Keys come from the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, GROQ_API_KEY, …).
Without any key the built-in sandbox answers. `p402 VERB --help` shows each verb's options.
"""

_SERVE = """\
examples:
  p402 serve
  p402 serve --port 8080 --config p402.toml
  OPENAI_API_KEY=sk-… GROQ_API_KEY=gsk-a,gsk-b p402 serve      two providers, two keys for one

then, in any OpenAI client:
  client = OpenAI(base_url="http://127.0.0.1:4020/api/v2", api_key="any")
  client.chat.completions.create(model="auto", messages=[…],
                                 extra_body={"p402": {"mode": "cost"}})

signals: SIGTERM and Ctrl-C finish open requests first; SIGHUP reads configuration and catalogue
anew, and keeps the old ones if something is wrong with the new.
"""

_ROUTE = """\
examples:
  p402 route 'Translate "good morning" into Finnish' --mode cost
  p402 route 'Prove that sqrt(2) is irrational' --mode quality --task math
  p402 route 'Hi' --mode speed --allow 'groq/*' --allow 'google/*'
  p402 route 'Hi' --model claude-haiku-4-5 --pin
  p402 route -f request.json --max-cost-usd 0.01 --json

--keys all decides as if every provider had a key; --keys configured uses those that are there.
Without the option: configured, where there is one; otherwise all.
"""

_USAGE = """\
examples:
  p402 usage --data-dir /var/lib/p402
  p402 usage --data-dir /var/lib/p402 --tenant acme --by model --since 2026-11-01 --json
  p402 usage --session-id sess_xyz --by model          what one conversation cost, and saved
"""

_LEDGER_STEPS = {
    "show": "what each tenant spent, what is open; or the rows of one request",
    "verify": "add every row up again and compare with the counters; 1 where a nano-dollar differs",
    "export": "write the rows to files by UTC day and hour, sorted by tenant",
    "settle": "end an open request, or correct an ended one; a gateway that runs is told",
}

_LEDGER_EXAMPLES = {
    "show": "  p402 ledger show --data-dir /var/lib/p402\n"
    "  p402 ledger show req_019a… --data-dir /var/lib/p402\n",
    "verify": "  p402 ledger verify --data-dir /var/lib/p402 --parquet out\n",
    "export": "  p402 ledger export --data-dir /var/lib/p402 --out out     (needs p402[parquet])\n"
    "  p402 ledger export --data-dir /var/lib/p402 --out out --format csv --since 2026-11-01\n",
    "settle": "  p402 ledger settle req_019a… --data-dir /var/lib/p402     at its hold\n"
    "  p402 ledger settle req_019a… --cost-usd 0.0042 --data-dir /var/lib/p402\n",
}

_CACHE_STEPS = {
    "stats": "how many answers are kept, and what came of them",
    "purge": "take answers away: all, by model, by age, or one",
    "export": "the pairs of questions that feedback has called wrong, as JSON lines",
}

_CACHE = """\
examples:
  p402 cache stats                                   of the gateway on this machine
  p402 cache purge --model gpt-5.4 --key-file key --url https://gateway.example/api/v2
  p402 cache purge --tenant acme --data-dir /var/lib/p402      no gateway may run on the directory
"""

_DEMO = """\
examples:
  p402 demo                          a live table of two dozen requests against the sandbox
  p402 demo --requests 100 --plain   one line a request, for pipes
  p402 demo --svg demo.svg           the final table as a picture
  p402 demo --real                   a real small model on this machine instead of the sandbox
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit status (2: the operator must mend something)."""
    started = time.monotonic()
    top = parser()
    options, rest = top.parse_known_args(arguments)
    options.started = started
    if hasattr(options, "step"):
        options.rest = rest  # the builder's own options: it parses them itself
    elif rest:
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    from p402.settings import SettingsError

    try:
        status: int = import_module(options.module).run(options)
    except SettingsError as error:
        sys.stderr.write(f"p402: the configuration needs mending\n\n{error.block()}\n\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our pipe has left: nothing more to say to anyone
        return 0
    return status


def parser() -> argparse.ArgumentParser:
    """Every verb and option."""
    top = _new(argparse.ArgumentParser(prog="p402", description=_TOP, usage="p402 VERB [options]"))
    top.add_argument("--version", action="version", version=f"p402 {__version__}")
    verbs = top.add_subparsers(prog="p402", metavar="VERB", required=True)
    _serve(verbs)
    _check(verbs)
    _models(verbs)
    _route(verbs)
    _usage(verbs)
    _ledger(verbs)
    _cache(verbs)
    _demo(verbs)
    _catalog(verbs)
    return top


def _new(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    return made


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, says: str, epilog: str
) -> argparse.ArgumentParser:
    made = _new(verbs.add_parser(name, help=says, description=says, epilog=epilog))
    made.set_defaults(module=f"p402.cli.{name}")
    return made


def _config(made: argparse.ArgumentParser) -> None:
    made.add_argument("--config", metavar="FILE", help="TOML file (default: $P402_CONFIG, or none)")


def _serve(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _verb(verbs, "serve", "start the gateway", _SERVE)
    _config(made)
    made.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    made.add_argument(
        "--port", type=int, help="port to listen on (default 4020; 0 takes a free one)"
    )


def _check(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _verb(
        verbs,
        "check",
        "validate the configuration and show what is live",
        "examples:\n  p402 check\n  p402 check --config p402.toml --json\n",
    )
    _config(made)
    made.add_argument("--json", action="store_true", help="machine-readable")


def _models(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _verb(
        verbs,
        "models",
        "list models, prices and providers",
        "examples:\n  p402 models --search sonnet\n  p402 models --provider groq\n"
        "  p402 models --live\n  p402 models --json | head -c 400\n",
    )
    _config(made)
    made.add_argument("--search", metavar="TEXT", help="only ids that contain TEXT")
    made.add_argument("--provider", metavar="NAME", help="only models that NAME offers")
    made.add_argument("--live", action="store_true", help="only models of providers with a key")
    made.add_argument("--json", action="store_true", help="the body of GET /models, filtered")


def _route(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _verb(verbs, "route", "explain a routing decision without calling anyone", _ROUTE)
    _config(made)
    made.add_argument("prompt", nargs="?", metavar="PROMPT", help="the user message; - reads stdin")
    made.add_argument(
        "-f", "--file", metavar="FILE", help="a whole chat request as JSON; - is stdin"
    )
    made.add_argument("--mode", choices=MODES)
    made.add_argument("--task", choices=TASKS)
    made.add_argument("--model", metavar="NAME", help="the model that the request names")
    made.add_argument("--pin", action="store_true", help="serve exactly --model")
    made.add_argument(
        "--allow", action="append", metavar="NAME", help="only these models (repeatable)"
    )
    made.add_argument(
        "--deny", action="append", metavar="NAME", help="not these models (repeatable)"
    )
    made.add_argument("--max-cost-usd", metavar="USD", help="no attempt may be able to cost more")
    made.add_argument("--max-latency-ms", type=int, metavar="MS", help="nothing slower than this")
    made.add_argument("--keys", choices=("all", "configured"), help="which providers may be chosen")
    made.add_argument("--tenant", metavar="ID", help="decide for this tenant (its lists, its mode)")
    made.add_argument("--json", action="store_true", help="the body of POST /route")


def _books(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where the ledger is (default: where `p402 serve` keeps it)",
    )
    made.add_argument(
        "--index",
        metavar="URL",
        help="PostgreSQL URL, or @FILE that holds it (default: ledger.sqlite in DIR)",
    )
    made.add_argument("--json", action="store_true", help="machine-readable")


def _days(made: argparse.ArgumentParser) -> None:
    made.add_argument("--since", metavar="DAY", help="first UTC day, YYYY-MM-DD")
    made.add_argument("--until", metavar="DAY", help="last UTC day, included")


def _usage(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _verb(verbs, "usage", "what was used, summed from the ledger", _USAGE)
    _books(made)
    _days(made)
    made.add_argument("--tenant", metavar="ID", help="one tenant's (default: everybody's)")
    made.add_argument(
        "--by", choices=BUCKETS, default="day", help="one line for each (%(default)s)"
    )
    made.add_argument("--model", metavar="NAME", help="only what this model served")
    made.add_argument("--provider", metavar="NAME", help="only what this provider served")
    made.add_argument("--mode", choices=MODES)
    made.add_argument("--session-id", metavar="ID", help="only this conversation")
    made.add_argument("--session", metavar="HASH", help="the same, as --by session shows it")
    made.add_argument("--key", metavar="HASH", help="only this API key, as --by key shows it")
    made.add_argument("--limit", metavar="N", help="at most so many lines, the dearest")


def _ledger(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _new(verbs.add_parser("ledger", help="show, verify, export or mend the ledger"))
    made.description = "The ledger of a data directory, with or without a gateway on it."
    made.epilog = "examples:\n" + "".join(_LEDGER_EXAMPLES.values())
    steps = made.add_subparsers(prog="p402 ledger", metavar="STEP", required=True)
    told = {}
    for name, says in _LEDGER_STEPS.items():
        epilog = f"examples:\n{_LEDGER_EXAMPLES[name]}"
        step = _new(steps.add_parser(name, help=says, description=says, epilog=epilog))
        step.set_defaults(module="p402.cli.ledger", do=name)
        _books(step)
        told[name] = step
    told["show"].add_argument("request", nargs="?", metavar="REQUEST", help="the rows of this one")
    told["show"].add_argument(
        "--since", default="1970-01-01", metavar="DAY", help="balances from this UTC day on"
    )
    told["verify"].add_argument("--parquet", metavar="DIR", help="exported files to compare, too")
    _days(told["export"])
    told["export"].add_argument("--out", required=True, metavar="DIR", help="where files go")
    told["export"].add_argument("--format", choices=("parquet", "csv"), default="parquet")
    told["settle"].add_argument("request", metavar="REQUEST", help="its id, req_…")
    told["settle"].add_argument(
        "--cost-usd", metavar="USD", help="what it cost in all (default: its hold, if it is open)"
    )


def _cache(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _new(verbs.add_parser("cache", help="show, purge or export the semantic cache"))
    made.description = "The semantic cache of a running gateway, or of a data directory."
    made.epilog = _CACHE
    steps = made.add_subparsers(prog="p402 cache", metavar="STEP", required=True)
    told = {}
    for name, says in _CACHE_STEPS.items():
        step = _new(steps.add_parser(name, help=says, description=says, epilog=_CACHE))
        step.set_defaults(module="p402.cli.cache", do=name)
        step.add_argument("--data-dir", metavar="DIR", help="a gateway's folder, not its address")
        step.add_argument("--url", default="http://127.0.0.1:4020/api/v2", metavar="URL")
        step.add_argument(
            "--key-file", metavar="FILE", help="file with the API key, where tenants have keys"
        )
        step.add_argument("--json", action="store_true", help="machine-readable")
        told[name] = step
    told["purge"].add_argument("--all", action="store_true", help="everything of the tenant's")
    told["purge"].add_argument("--model", metavar="NAME", help="answers of this model")
    told["purge"].add_argument("--older-than-s", type=int, metavar="S", help="older ones")
    told["purge"].add_argument("--entry", metavar="ID", help="this one, ce_…")
    told["purge"].add_argument("--tenant", metavar="ID", help="of this tenant (with --data-dir)")
    told["export"].add_argument("--out", metavar="FILE", help="where to (default: standard output)")


def _demo(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _verb(
        verbs, "demo", "sandbox, gateway and a stream of varied traffic in one table", _DEMO
    )
    made.add_argument(
        "--requests", type=_count, default=24, metavar="N", help="how many (%(default)s)"
    )
    made.add_argument("--plain", action="store_true", help="one line a request, no live table")
    made.add_argument("--svg", metavar="FILE", help="write the final table as SVG")
    made.add_argument(
        "--speed",
        type=float,
        default=0.4,
        metavar="FACTOR",
        help="sandbox delays: 0 none, 1 realistic (%(default)s)",
    )
    made.add_argument(
        "--real", action="store_true", help="a real small model instead of the sandbox"
    )
    made.add_argument("--gguf", metavar="FILE", help="with --real: this model file")


def _catalog(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _new(
        verbs.add_parser("catalog", help="build or refresh the catalogue of models and prices")
    )
    made.description = "The catalogue of models, prices, quality and speed."
    steps = made.add_subparsers(prog="p402 catalog", metavar="STEP", required=True)
    for name, says in (
        ("build", "compile the shipped catalogue from its facts (needs p402[catalog])"),
        ("refresh", "fetch current prices and models; prints what changed"),
    ):
        step = _new(steps.add_parser(name, help=says, description=says, add_help=False))
        step.set_defaults(module="p402.cli.catalog", step=name)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 100000")
    return int(text)
