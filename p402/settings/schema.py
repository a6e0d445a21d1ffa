"""Decides the shape of the configuration file: sections, keys, types, bounds.

Does not read files, the environment or the catalogue, and knows no default of the core.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
ModelName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,191}$")]
Decimal = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,12})?$")]
Count = Annotated[int, Meta(ge=0, le=1 << 40)]
Positive = Annotated[int, Meta(ge=1, le=1 << 40)]
Score = Annotated[float, Meta(ge=0, le=100)]
Mode = Literal["cost", "quality", "speed", "balanced"]
Task = Literal[
    "reasoning",
    "coding",
    "agentic",
    "math",
    "extraction",
    "summarisation",
    "creative",
    "chat",
    "instruction",
]
Words = str | list[str]


class Server(Struct, frozen=True):
    """`[server]`: where the gateway listens and how it leaves."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 4020
    workers: Annotated[int, Meta(ge=1, le=1)] = 1
    drain_s: Annotated[int, Meta(ge=0, le=3_600)] = 30
    allow_open: bool = False


class Routing(Struct, frozen=True):
    """`[routing]`: the defaults of a request that says nothing."""

    mode: Mode | UnsetType = UNSET
    attempts: Annotated[int, Meta(ge=1, le=5)] | UnsetType = UNSET
    max_output_tokens: Positive | UnsetType = UNSET
    task: Task | UnsetType = UNSET
    session_idle_s: Positive | UnsetType = UNSET


class Timeouts(Struct, frozen=True):
    """`[timeouts]`: how long each part of an attempt may take."""

    connect_ms: Positive | UnsetType = UNSET
    first_byte_min_ms: Positive | UnsetType = UNSET
    first_byte_max_ms: Positive | UnsetType = UNSET
    first_byte_thinking_ms: Positive | UnsetType = UNSET
    body_min_ms: Positive | UnsetType = UNSET
    idle_ms: Positive | UnsetType = UNSET
    total_ms: Positive | UnsetType = UNSET


class Stream(Struct, frozen=True):
    """`[stream]`: keep-alive, the wait for usage, what happens when a client leaves."""

    usage_wait_ms: Count | UnsetType = UNSET
    keepalive_first_ms: Positive | UnsetType = UNSET
    keepalive_ms: Positive | UnsetType = UNSET
    drain_max: Count | UnsetType = UNSET
    drain_ms: Count | UnsetType = UNSET
    slow_reader_ms: Positive | UnsetType = UNSET


class Limits(Struct, frozen=True):
    """`[limits]`: sizes and numbers that bound memory."""

    body_bytes: Annotated[int, Meta(ge=1_024, le=1 << 30)] = 32 << 20
    answer_bytes: Annotated[int, Meta(ge=1_024, le=1 << 32)] | UnsetType = UNSET
    requests_kept: Count | UnsetType = UNSET


class Pricing(Struct, frozen=True):
    """`[pricing]`: the platform fee and how direct_cost is read."""

    platform_fee_bps: Annotated[int, Meta(ge=0, le=100_000)] | UnsetType = UNSET
    direct_basis: Literal["requested", "served"] | UnsetType = UNSET


class GuardRate(Struct, frozen=True, omit_defaults=True):
    """`[guard.rate]`: requests in a window, and how many of them at once."""

    limit: int | None = None
    per_s: int | None = None
    burst: int | None = None


class GuardAnomaly(Struct, frozen=True, omit_defaults=True):
    """`[guard.anomaly]`: when spending counts as unusual, and what then happens."""

    mode: str | None = None
    z: float | None = None
    samples_min: int | None = None
    alpha: float | None = None
    floor_usd: str | None = None


class Guard(Struct, frozen=True, omit_defaults=True):
    """`[guard]` and `[tenant.guard]`: what may be spent. The core knows bounds and defaults."""

    rate: GuardRate = GuardRate()
    daily_cap_usd: str | None = None
    in_flight_max: int | None = None
    anomaly: GuardAnomaly = GuardAnomaly()
    request_cap_usd: str | None = None
    budget_usd: str | None = None
    budget_period: str | None = None
    hold_lease_s: int | None = None
    slot_lease_s: int | None = None
    renew_every_s: int | None = None
    on_expiry: str | None = None
    suspense_settle_h: int | None = None
    unknown_price: str | None = None
    default_max_tokens: int | str | None = None
    outage_policy: str | None = None
    slice_max_usd: str | None = None
    outage_overdraft_usd: str | None = None
    refusal_status: int | None = None


class Cache(Struct, frozen=True, omit_defaults=True):
    """`[cache]` and `[tenant.cache]`: when an answer may be told again. The core knows bounds and
    defaults; `bytes_max`, `entries_max` and `redis_url` are the gateway's alone."""

    default: bool | None = None
    cost_mode_default: bool | None = None
    share: str | None = None
    ttl_s: Count | None = None
    ttl_max_s: Count | None = None
    threshold: float | None = None
    embedder: str | None = None
    temperature_max: float | None = None
    stores_per_hour: Annotated[int, Meta(ge=0, le=1 << 32)] | None = None
    timing: str | None = None
    confirm: str | None = None
    keep_pairs: bool | None = None
    delta: float | None = None
    shadow_rate: float | None = None
    shadow_daily_usd: str | None = None
    judge: str | None = None
    bytes_max: Count | None = None
    entries_max: Count | None = None
    redis_url: str | None = None
    redis_deadline_ms: Count | None = None


class Store(Struct, frozen=True):
    """`[store]`: where accounts and the ledger are kept."""

    url: str | None = None
    data_dir: str | None = None
    ledger: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    deadline_ms: Annotated[int, Meta(ge=1, le=50)] | UnsetType = UNSET
    seed_deadline_ms: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    wait_replicas: Annotated[int, Meta(ge=0, le=8)] | UnsetType = UNSET


class Ledger(Struct, frozen=True):
    """`[ledger]`: what an acknowledgement waits for."""

    durability: Literal["process", "group", "strict"] | UnsetType = UNSET
    denials: bool | UnsetType = UNSET


class Operator(Struct, frozen=True):
    """`[operator]`: who may read everybody's metrics and usage, and where metrics are besides."""

    key_env: Words | None = None
    key_sha256: Words | None = None
    metrics_listen: str | None = None


class Alerts(Struct, frozen=True):
    """`[alerts]`: who is told when a tenant's money behaves unusually."""

    webhook_url: Annotated[str, Meta(pattern=r"^https?://[^\s]+$")] | None = None
    webhook_secret_env: str | None = None


class Sandbox(Struct, frozen=True):
    """`[sandbox]`: the built-in upstream that answers without any provider."""

    enabled: bool | None = None
    speed: Annotated[float, Meta(ge=0, le=1_000)] = 1.0
    url: str | None = None


class CatalogFiles(Struct, frozen=True):
    """`[catalog]`: the file that `p402 catalog refresh` writes."""

    refresh_file: str | None = None


class Cors(Struct, frozen=True):
    """`[cors]`: exact origins of browser pages that may call; none by default."""

    origins: list[Annotated[str, Meta(pattern=r"^https?://[^/*\s]+$")]] = []


Auth = Literal[
    "bearer", "bearer_optional", "none", "x-api-key", "api-key", "x-goog-api-key", "sigv4"
]
# How each language's own house asks for the key.
AUTH_OF = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "bedrock": "sigv4"}


# What a model does; all but chat have a path of their own.
Kind = Literal["chat", "completion", "embedding", "moderation", "image", "speech", "transcription"]


class Provider(Struct, frozen=True):
    """`[provider.NAME]`: a new provider, or overrides of a catalogued one."""

    dialect: Literal["openai", "anthropic", "gemini", "bedrock"] | None = None
    base_url: str | None = None
    api_version: str | None = None
    auth: Auth | None = None
    api_key: Words | None = None
    api_key_env: Words | None = None
    api_key_file: str | None = None
    hardware: Literal["inference", "lpu", "wse", "rdu", "tpu", "gpu_tuned", "mixed"] | None = None
    flags: list[str] | None = None
    insecure: bool = False
    enabled: bool = True


class Capability(Struct, frozen=True):
    """`capability = { … }`: the operator's own scores, 0 to 100, by task."""

    reasoning: Score | None = None
    coding: Score | None = None
    agentic: Score | None = None
    math: Score | None = None
    extraction: Score | None = None
    summarisation: Score | None = None
    creative: Score | None = None
    chat: Score | None = None
    instruction: Score | None = None


class Model(Struct, frozen=True):
    """`[[model]]`: a new offer, or overrides of a catalogued one."""

    id: ModelName
    provider: Name
    kind: Kind | None = None
    upstream_id: str | None = None
    canonical: ModelName | None = None
    aliases: list[ModelName] | None = None
    input_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal | None = None
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None
    per_request_usd: Decimal | None = None
    per_unit_usd: Decimal | None = None
    free: bool | None = None
    context: Positive | None = None
    max_input: Positive | None = None
    max_output: Positive | None = None
    tools: bool | None = None
    vision: bool | None = None
    audio: bool | None = None
    files: bool | None = None
    structured: bool | None = None
    reasoning: bool | None = None
    efforts: list[str] | None = None
    flags: list[str] | None = None
    capability: Score | Capability | None = None
    ttft_ms: Count | None = None
    tokens_per_s: Count | None = None


class Tenant(Struct, frozen=True):
    """`[[tenant]]`: who may call, by which key, with which defaults."""

    id: Name
    # Without, its key is known and refused: 403 `key_disabled`.
    enabled: bool = True
    key_env: Words | None = None
    key_sha256: Words | None = None
    mode: Mode | None = None
    route_default: Literal["pin", "route"] | None = None
    models_allow: list[str] | None = None
    models_deny: list[str] | None = None
    providers_allow: list[str] | None = None
    providers_deny: list[str] | None = None
    cost_details: bool | None = None
    guard: Guard = Guard()
    cache: Cache = Cache()


class File(Struct, frozen=True):
    """The whole file, every section checked."""

    server: Server = Server()
    routing: Routing = Routing()
    timeouts: Timeouts = Timeouts()
    stream: Stream = Stream()
    limits: Limits = Limits()
    pricing: Pricing = Pricing()
    sandbox: Sandbox = Sandbox()
    catalog: CatalogFiles = CatalogFiles()
    cors: Cors = Cors()
    guard: Guard = Guard()
    store: Store = Store()
    ledger: Ledger = Ledger()
    cache: Cache = Cache()
    alerts: Alerts = Alerts()
    operator: Operator = Operator()
    provider: dict[str, Provider] = {}
    model: tuple[Model, ...] = ()
    tenant: tuple[Tenant, ...] = ()
