"""Decides the form of resolved settings and what the core is told of them.

Does not read the environment or the configuration file: sources.py does, once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from p402.settings.keys import Secret
from p402.settings.records import is_loopback
from p402.settings.schema import (
    Cache,
    Cors,
    Guard,
    Ledger,
    Limits,
    Pricing,
    Routing,
    Server,
    Store,
    Stream,
    Timeouts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_TENANT = "default"
CATALOG = Path(__file__).parent.parent / "catalog" / "catalog.jsonl"
REFRESH_BYTES_MAX = 64 << 20
# What the core is told as it stands in the file.
_SECTIONS = ("routing", "timeouts", "stream", "limits", "pricing", "guard", "ledger", "cache")


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call: SHA-256 digests of the keys, and the defaults that the core is told."""

    id: str
    enabled: bool = True
    digests: tuple[bytes, ...] = ()
    options: dict[str, Any] = {}
    guard: Guard = Guard()
    cache: Cache = Cache()


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """Who may look in, by which keys, and the address where metrics are told besides."""

    # A key is asked for, whether or not its variable is set.
    keyed: bool = False
    digests: tuple[bytes, ...] = ()
    listen: tuple[str, int] | None = None


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that can be called: its keys and where they come from."""

    id: str
    keys: tuple[Secret, ...]
    source: str


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """Where alarms go, and the secret that signs them."""

    url: str | None = None
    secret: Secret | None = None


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """The built-in upstream: wanted or not, how fast, and its address once it runs."""

    enabled: bool = True
    speed: float = 1.0
    url: str | None = None


def catalogued_providers() -> dict[str, dict[str, Any]]:
    """Provider records of the compiled file by id; they stand first, the rest is not read."""
    found: dict[str, dict[str, Any]] = {}
    with CATALOG.open("rb") as file:
        for line in file:
            if line.startswith(b'{"t":"provider"'):
                record = orjson.loads(line)
                found[record["id"]] = record
            elif found:
                break
    return found


def catalogued_offers() -> frozenset[tuple[str, str]]:
    """(provider, model) of every offer of the compiled file."""
    with CATALOG.open("rb") as file:
        rows = (orjson.loads(line) for line in file if line.startswith(b'{"t":"offer"'))
        return frozenset((row["provider"], row["model"]) for row in rows)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the operator wishes, resolved."""

    file: str | None = None
    server: Server = Server()
    routing: Routing = Routing()
    timeouts: Timeouts = Timeouts()
    stream: Stream = Stream()
    limits: Limits = Limits()
    pricing: Pricing = Pricing()
    cors: Cors = Cors()
    guard: Guard = Guard()
    store: Store = Store()
    ledger: Ledger = Ledger()
    cache: Cache = Cache()
    alerts: Alerts = Alerts()
    # Where the ledger is; named by the operator, or this user's own place.
    data_dir: Path = Path()
    sandbox: Sandbox = Sandbox()
    tenants: tuple[Tenant, ...] = ()
    operator: Operator = Operator()
    providers: tuple[Live, ...] = ()
    records: tuple[dict[str, Any], ...] = ()
    refresh_file: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def disabled(self) -> frozenset[str]:
        """Tenants whose keys are refused."""
        return frozenset(tenant.id for tenant in self.tenants if not tenant.enabled)

    @property
    def open(self) -> bool:
        """No tenant is configured: every caller is `default`."""
        return not self.tenants

    @property
    def metrics_open(self) -> bool:
        """Whoever reaches the main address may read metrics: it is this machine alone, nobody has
        a key, and the operator asks for none."""
        return self.open and not self.operator.keyed and is_loopback(self.server.host)

    def with_sandbox(self, url: str) -> Settings:
        """The same settings, with the sandbox answering at `url`."""
        box = msgspec.structs.replace(self.sandbox, enabled=True, url=url)
        return msgspec.structs.replace(self, sandbox=box)

    def core_config(self, *, pretend: Iterable[str] = ()) -> bytes:
        """The core's configuration as JSON; keys of `pretend`ed providers are empty stand-ins."""
        keys = {name: [""] for name in pretend}
        keys |= {live.id: [key.reveal() for key in live.keys] or [""] for live in self.providers}
        keys |= {
            record["id"]: [""] for record in self.sandbox_records() if record["t"] == "provider"
        }
        tables = {name: getattr(self, name) for name in _SECTIONS}
        told: dict[str, Any] = {name: msgspec.to_builtins(it) for name, it in tables.items()}
        if told["pricing"].get("direct_basis") == "requested":
            del told["pricing"]["direct_basis"]
        store = msgspec.to_builtins(self.store)
        told["store"] = {name: value for name, value in store.items() if name != "data_dir"}
        told["keys"] = keys
        told["tenants"] = [
            {"id": tenant.id, **tenant.options}
            | _unless_empty("guard", tenant.guard)
            | _unless_empty("cache", tenant.cache)
            for tenant in self.tenants
        ] or [{"id": DEFAULT_TENANT}]
        return orjson.dumps(told)

    def catalog_layers(
        self, sandbox_records: Iterable[Mapping[str, Any]] | None = None
    ) -> list[bytes]:
        """Layers of the catalogue, later ones ruling: compiled, refreshed, the operator's own."""
        layers = [CATALOG.read_bytes()]
        if self.refresh_file is not None:
            with Path(self.refresh_file).open("rb") as file:
                layers.append(file.read(REFRESH_BYTES_MAX))
        extra = self.sandbox_records() if sandbox_records is None else sandbox_records
        own = [*extra, *self.records]
        if own:
            layers.append(b"".join(orjson.dumps(record) + b"\n" for record in own))
        return layers

    def sandbox_records(self) -> list[dict[str, Any]]:
        """The sandbox's providers and offers, while it runs for these settings."""
        if not self.sandbox.enabled or self.sandbox.url is None:
            return []
        from p402.sandbox.models import catalog_records  # noqa: PLC0415  (only with a sandbox)

        return catalog_records(self.sandbox.url)


def _unless_empty(name: str, table: msgspec.Struct) -> dict[str, Any]:
    told = msgspec.to_builtins(table)
    return {name: told} if told else {}
