"""Decides whether the house stands as it was drawn: widths, lengths, ranks, names, leftovers.

Does not format or lint; it reads text, as a strict colleague would.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COLUMNS_MAX = 100
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# Ratchets: what is longer than the house allows, and how long it may be. They only ever shrink.
LONGER_FILES: dict[str, int] = {}
LONGER_FUNCTIONS: dict[str, int] = {}

BANNED_WORDS = {"manager", "handler", "helper", "utils", "common", "process", "data", "misc"}
LEFTOVERS = re.compile(r"\b(FIXME|XXX|TODO|HACK)\b|\b(todo|unimplemented|dbg)!|\bbreakpoint\(")
MONEY_FILES = ("/money.rs", "/usage.rs", "/bill.rs", "/price.rs", "catalog/rates.rs")
# Names that a foreign protocol prescribes: asyncio, granian, the fields of server-sent events.
FOREIGN_NAMES = {"data_received", "signal_handler_reload", "data", "has_data"}
# The builder is a command of its own: what it prints is its result.
PRINTERS = ("p402/catalog/",)
NOT_IN_CORE = {
    *("tokio", "hyper", "hyper-util", "pyo3", "redis", "reqwest", "rand", "getrandom", "mio"),
    *("rustls", "socket2", "async-std", "futures"),
}
# Modules in one set are blind to one another (house: the braces).
BLIND = {
    "p402-core": {"guard", "cache", "route", "dialect", "ledger", "bill"},
    "p402-io": {"clock", "transport", "embed", "store", "ledger", "emit", "outbox"},
}


@cache
def tracked() -> tuple[str, ...]:
    """Every file that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted({name for name in told.splitlines() if (ROOT / name).is_file()}))


def files(suffix: str, *folders: str) -> list[str]:
    return [
        name
        for name in tracked()
        if name.endswith(suffix) and (not folders or name.startswith(folders))
    ]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def is_test(name: str) -> bool:
    return name.startswith("tests/") or "/tests/" in name


def code() -> list[str]:
    return [name for name in (*files(".py"), *files(".rs")) if not name.startswith("docs/")]


def words(identifier: str) -> set[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier)
    return {word.lower() for word in spaced.split("_") if word}


def test_the_walk_finds_the_code():
    assert {"p402/app.py", "rust_core/p402-core/src/money.rs"} <= set(code())


def test_lines_fit():
    wide = [
        f"{name}:{number}: {len(line)}"
        for name in code()
        for number, line in enumerate(text_of(name).splitlines(), start=1)
        if len(line) > COLUMNS_MAX and not (is_test(name) and '"' in line)
    ]
    assert not wide, "\n".join(wide)


def test_files_are_short_and_long_ones_only_shrink():
    lengths = {name: len(text_of(name).splitlines()) for name in code() if not is_test(name)}
    over = {name: count for name, count in lengths.items() if count > FILE_LINES_MAX}
    assert over == {name: over[name] for name in over if over[name] <= LONGER_FILES.get(name, 0)}
    slack = {name: most for name, most in LONGER_FILES.items() if lengths.get(name, 0) < most}
    assert slack == {}, "a file has shrunk: lower its ratchet"


def test_functions_are_short_and_long_ones_only_shrink():
    lengths: dict[str, int] = {}
    for name in files(".py", "p402/", "benches/"):
        for node in ast.walk(ast.parse(text_of(name))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths[f"{name}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    over = {name: count for name, count in lengths.items() if count > FUNCTION_LINES_MAX}
    assert over == {
        name: over[name] for name in over if over[name] <= LONGER_FUNCTIONS.get(name, 0)
    }
    slack = {name: most for name, most in LONGER_FUNCTIONS.items() if lengths.get(name, 0) < most}
    assert slack == {}, "a function has shrunk: lower its ratchet"


def test_each_file_says_first_what_it_decides():
    silent = [
        name
        for name in (*files(".py", "p402/", "benches/"), *files(".rs", "rust_core/", "benches/"))
        if not is_test(name) and not text_of(name).startswith(('"""', "//!"))
    ]
    assert not silent, "\n".join(silent)


def test_names_say_what_a_thing_is():
    defined = re.compile(
        r"^\s*(?:pub(?:\([a-z]+\))? )?(?:async )?"
        r"(?:def|class|fn|struct|enum|trait|mod|type) (\w+)",
        re.MULTILINE,
    )
    vague = [
        f"{name}: {found}"
        for name in code()
        if not is_test(name)
        for found in (*defined.findall(text_of(name)), Path(name).stem)
        if words(found) & BANNED_WORDS and found not in FOREIGN_NAMES
    ]
    assert not vague, "\n".join(vague)


def test_nothing_is_left_over():
    here = "tests/test_tidy.py"
    left = [
        f"{name}:{number}: {line.strip()}"
        for name in code()
        if name != here
        for number, line in enumerate(text_of(name).splitlines(), start=1)
        if LEFTOVERS.search(line)
    ]
    assert not left, "\n".join(left)


def test_the_shell_does_not_print():
    printing = [
        f"{name}:{node.lineno}"
        for name in files(".py", "p402/")
        if not name.startswith(PRINTERS)
        for node in ast.walk(ast.parse(text_of(name)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not printing, "\n".join(printing)


def test_no_float_stands_beside_money():
    floats = [
        f"{name}:{number}: {line.strip()}"
        for name in files(".rs", "rust_core/p402-core/src/")
        if name.endswith(MONEY_FILES)
        for number, line in enumerate(text_of(name).splitlines(), start=1)
        if re.search(r"\bf(32|64)\b", line.partition("//")[0])
    ]
    assert not floats, "\n".join(floats)
    assert any(name.endswith("price.rs") for name in files(".rs", "rust_core/p402-core/src/"))


@pytest.mark.parametrize("crate", ["p402-core", "p402-io"])
def test_a_module_names_only_lower_ranks(crate):
    source = f"rust_core/{crate}/src/"
    ranks: dict[str, int] = {}
    rank = 0
    for line in text_of(source + "lib.rs").splitlines():
        if found := re.match(r"pub mod (\w+);", line):
            ranks[found[1]] = rank
        elif not line.strip():
            rank += 1
    assert ranks, "lib.rs lists its modules in rank order, a blank line between ranks"
    wrong = []
    for name in files(".rs", source):
        own = name.removeprefix(source).partition("/")[0].removesuffix(".rs")
        for other in sorted(set(re.findall(r"\bcrate::(\w+)", text_of(name)))):
            if own not in ranks or other not in ranks or own == other:
                continue
            blind = {own, other} <= BLIND[crate]
            if ranks[other] > ranks[own] or (ranks[other] == ranks[own] and blind):
                wrong.append(f"{name} names {other}")
    assert not wrong, "\n".join(wrong)


def test_every_module_has_a_rank():
    for crate in ("p402-core", "p402-io"):
        source = f"rust_core/{crate}/src/"
        listed = set(re.findall(r"^pub mod (\w+);", text_of(source + "lib.rs"), re.MULTILINE))
        there = {
            name.removeprefix(source).partition("/")[0].removesuffix(".rs")
            for name in files(".rs", source)
        } - {"lib"}
        assert listed == there


def test_the_manifests_point_one_way():
    def needs(crate: str) -> set[str]:
        manifest = tomllib.loads(text_of(f"rust_core/{crate}/Cargo.toml"))
        targets = manifest.get("target", {}).values()
        tables = [manifest, *targets]
        return {name for table in tables for name in table.get("dependencies", {})}

    assert needs("p402-core") & (NOT_IN_CORE | {"p402-io", "p402-py"}) == set()
    assert needs("p402-encoder") & (NOT_IN_CORE | {"p402-io", "p402-py"}) == set()
    assert needs("p402-io") & {"pyo3", "p402-py"} == set()
    assert {"p402-core", "p402-io"} <= needs("p402-py")


def test_core_is_kept_pure_by_its_own_lints():
    banned = text_of("rust_core/p402-core/clippy.toml")
    for call in ("SystemTime::now", "Instant::now", "env::var", "fs::read", "thread::spawn"):
        assert call in banned
    for limit in ("too-many-lines-threshold = 70", "too-many-arguments-threshold = 5"):
        for name in (name for name in tracked() if name.endswith("clippy.toml")):
            assert limit in text_of(name), f"{name}: a nearer clippy.toml replaces the root's"


def test_lints_are_expected_with_a_reason_not_allowed():
    allowed = [
        f"{name}:{number}"
        for name in files(".rs", "rust_core/")
        if not is_test(name)
        for number, line in enumerate(text_of(name).splitlines(), start=1)
        if re.search(r"#!?\[allow\(", line)
        or ("#[expect(" in line and line.rstrip().endswith(")]") and "reason" not in line)
    ]
    assert not allowed, "\n".join(allowed)


def test_every_kernel_has_its_tests():
    kernels = [Path(name).stem for name in files(".rs", "benches/kernels/")]
    suites = {Path(name).stem for name in files(".rs", "rust_core/") if "/tests/" in name}
    modules = {
        Path(name).stem for name in files(".rs", "rust_core/") if "#[cfg(test)]" in text_of(name)
    }
    assert [name for name in kernels if name not in suites | modules] == []


def test_the_front_parses_no_json():
    imported: set[str] = set()
    for node in ast.walk(ast.parse(text_of("p402/app.py"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert imported & {"json", "orjson", "msgspec", "msgspec.json"} == set()


def test_environment_and_files_of_the_operator_are_read_in_one_place():
    readers = [
        name
        for name in files(".py", "p402/")
        if re.search(r"os\.(environ|getenv)|tomllib", text_of(name))
        and not name.startswith(("p402/settings/", "p402/catalog/", "p402/sandbox/"))
        and name != "p402/local.py"  # hands its child what a program needs to start, reads nothing
    ]
    assert not readers, "\n".join(readers)


def test_nobody_opens_a_connection_but_refresh_demo_and_what_asks_a_gateway():
    clients = re.compile(
        r"^(?:import|from) (?:httpx|urllib\.request|requests|aiohttp)\b", re.MULTILINE
    )
    found = {name for name in files(".py", "p402/") if clients.search(text_of(name))}
    assert found <= {"p402/demo.py", "p402/local.py", "p402/catalog/fetch.py", "p402/cli/cache.py"}


def test_a_language_is_known_to_the_table_the_catalogue_and_who_asks_for_links():
    spoken = re.compile(
        r"DialectName::(?:Anthropic|Gemini|Bedrock)\b|\b(?:Anthropic|Gemini|Bedrock);"
    )
    core = "rust_core/p402-core/src/"
    houses = tuple(f"{core}dialect/{name}/" for name in ("anthropic", "gemini", "bedrock"))
    found = {
        name
        for name in files(".rs", "rust_core/")
        if "/src/" in name and not name.startswith(houses) and spoken.search(text_of(name))
    }
    known = {"dialect/mod.rs", "catalog/build.rs", "catalog/thinking.rs", "route/bits.rs"}
    assert {name.removeprefix(core) for name in found} <= known
