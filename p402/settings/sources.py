"""Decides how file, environment and arguments become `Settings`; names each mistake and its line.

Does not start anything and opens no connection.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from p402.settings import keys, model, records, schema
from p402.settings.cache import CacheCheck
from p402.settings.errors import SettingsError
from p402.settings.guard import GuardCheck
from p402.settings.parse import Document
from p402.settings.people import People
from p402.settings.trust import trusting

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_BYTES_MAX = 4 << 20
KEY_FILE_BYTES_MAX = 64 << 10


def load(
    config: str | Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    host: str | None = None,
    port: int | None = None,
) -> model.Settings:
    """Settings from the file (or `P402_CONFIG`), the environment and the command line."""
    return _Loader(config, os.environ if env is None else env).settings(host, port)


class _Loader:
    def __init__(self, config: str | Path | None, env: Mapping[str, str]) -> None:
        self.env = env
        chosen = config if config is not None else env.get("P402_CONFIG") or None
        self.path = Path(chosen) if chosen is not None else None
        text = "" if self.path is None else _read_config(self.path)
        self.doc = Document(text, str(self.path) if self.path else "configuration")
        self.file = self.doc.file()
        self.known = model.catalogued_providers()
        self.warnings: list[str] = []

    def settings(self, host: str | None, port: int | None) -> model.Settings:
        server = self._server(host, port)
        people = People(self.doc, self.env, self.warnings)
        tenants = people.tenants(self.file.tenant)
        operator = people.operator(self.file.operator)
        GuardCheck(self.doc).file(self.file)
        CacheCheck(self.doc).file(self.file)
        self._refuse_open(server, tenants)
        live, extra = self._live()
        enabled = self.file.sandbox.enabled
        if enabled is None:
            enabled = not self.file.provider and not live
        box = model.Sandbox(enabled=enabled, speed=self.file.sandbox.speed, url=self._sandbox_url())
        own = [*extra, *self._models(live)]
        if not live and not enabled:
            self.warnings.append("no provider has a key and the sandbox is off: nothing can answer")
        return model.Settings(
            file=str(self.path) if self.path else None,
            server=server,
            routing=self.file.routing,
            timeouts=self.file.timeouts,
            stream=self.file.stream,
            limits=self.file.limits,
            pricing=self.file.pricing,
            cors=self.file.cors,
            guard=self.file.guard,
            store=self._store(),
            ledger=self.file.ledger,
            cache=self.file.cache,
            alerts=self._alerts(),
            data_dir=self._named_dir() or state_dir(self.env) / "data",
            sandbox=box,
            tenants=tenants,
            operator=operator,
            providers=tuple(live[name] for name in sorted(live)),
            records=tuple(own),
            refresh_file=self._refresh_file(),
            warnings=tuple(self.warnings),
        )

    def _server(self, host: str | None, port: int | None) -> schema.Server:
        server = self.file.server
        told_host = host if host is not None else self.env.get("P402_HOST") or server.host
        told_port: int = port if port is not None else server.port
        if port is None and self.env.get("P402_PORT"):
            if not self.env["P402_PORT"].isdecimal():
                raise SettingsError("is no port", key="P402_PORT", mend="write digits only")
            told_port = int(self.env["P402_PORT"])
        if not 0 <= told_port <= 65_535:
            raise SettingsError(f"{told_port} is no port", key="port", mend="use 0 to 65535")
        return msgspec.structs.replace(server, host=told_host, port=told_port)

    def _refuse_open(self, server: schema.Server, tenants: tuple[model.Tenant, ...]) -> None:
        if tenants or server.allow_open or records.is_loopback(server.host):
            return
        self.doc.fail(
            ("server", "host"),
            f"{server.host} is reachable from outside and no [[tenant]] is configured: "
            "anyone could spend your provider keys",
            "add a [[tenant]] with key_env, or say allow_open = true in [server]",
        )

    def _store(self) -> schema.Store:
        """The addresses of stores hold passwords: the environment may have them alone."""
        store = self.file.store
        named = msgspec.structs.replace(
            store,
            url=store.url or self.env.get("P402_STORE_URL") or None,
            ledger=store.ledger or self.env.get("P402_LEDGER_URL") or None,
            data_dir=str(self._named_dir() or "") or None,
        )
        base = self.path.parent if self.path else Path()
        return trusting(named, self.doc, base, self.file.cache.redis_url)

    def _named_dir(self) -> Path | None:
        """The data directory that somebody named: the file, the environment, systemd."""
        if self.file.store.data_dir is not None:
            base = self.path.parent if self.path else Path()
            return (base / self.file.store.data_dir).expanduser()
        named = self.env.get("P402_DATA_DIR") or self.env.get("STATE_DIRECTORY")
        return Path(named) if named else None

    def _alerts(self) -> model.Alerts:
        alerts = self.file.alerts
        secret = None
        if alerts.webhook_secret_env is not None:
            text = self.env.get(alerts.webhook_secret_env, "")
            secret = keys.Secret(text) if text else None
        if alerts.webhook_url is not None and secret is None:
            self.warnings.append("alerts are unsigned: set webhook_secret_env and its variable")
        return model.Alerts(url=alerts.webhook_url, secret=secret)

    def _sandbox_url(self) -> str | None:
        url = self.file.sandbox.url or self.env.get("P402_SANDBOX_URL") or None
        if url is not None and not url.startswith("http://"):
            self.doc.fail(
                ("sandbox", "url"), "is no http address", "write http://127.0.0.1:PORT/v1"
            )
        return url

    def _live(self) -> tuple[dict[str, model.Live], list[dict[str, Any]]]:
        """Providers with keys, and the catalogue records that config and environment add."""
        live: dict[str, model.Live] = {}
        extra: list[dict[str, Any]] = []
        for name, record in self.known.items():
            fillable = record.get("env_all") and "{" in str(record.get("base_url"))
            if name not in self.file.provider and (record.get("routable", True) or fillable):
                self._from_env(name, record, live, extra)
        for name, section in self.file.provider.items():
            self._from_section(name, section, live, extra)
        return live, extra

    def _from_env(
        self,
        name: str,
        record: dict[str, Any],
        live: dict[str, model.Live],
        extra: list[dict[str, Any]],
    ) -> None:
        names = record.get("env", [])
        wanted = [word for word in names if word not in keys.AMBIENT_ENV]
        try:
            source, found = keys.keys_in_env(
                wanted, self.env, need_all=bool(record.get("env_all")) and wanted == names
            )
        except keys.BadKeyError as error:
            told = " or ".join(wanted)
            raise SettingsError(str(error), key=told, mend="one key, or keys with commas") from None
        if not found:
            return
        base_url = str(record.get("base_url", ""))
        if "{" in base_url:
            filled = keys.fill_places(base_url, names[1:], self.env)
            if filled is None:
                self.warnings.append(
                    f"{name} has a key but its address needs a name: add [provider.{name}] base_url"
                )
                return
            extra.append({"t": "provider", "id": name, "base_url": filled, "routable": True})
        live[name] = model.Live(id=name, keys=found, source=source)

    def _from_section(
        self,
        name: str,
        section: schema.Provider,
        live: dict[str, model.Live],
        extra: list[dict[str, Any]],
    ) -> None:
        path = ("provider", name)
        record = self.known.get(name, {})
        source, found = self._section_keys(name, section, record)
        try:
            extra.append(
                records.provider_record(
                    name, section, record, keyed=bool(found or section.api_key_env)
                )
            )
        except records.BadValueError as error:
            self.doc.fail((*path, error.key), str(error), error.mend)
        auth = extra[-1].get("auth", record.get("auth", "bearer"))
        address = str(extra[-1].get("base_url", record.get("base_url", "")))
        if keys.has_places(address):
            filled = keys.fill_places(address, record.get("env", [])[1:], self.env)
            if filled is None:
                self.doc.fail(
                    path, "needs an account or resource name in its address", "add base_url = …"
                )
            extra[-1]["base_url"] = filled
        if not section.enabled:
            return
        if found:
            live[name] = model.Live(id=name, keys=found, source=source)
        elif auth in {"none", "bearer_optional"}:
            live[name] = model.Live(id=name, keys=(), source="no key needed")
        else:
            looked = keys.words(section.api_key_env) or record.get("env", [])
            self.warnings.append(
                f"provider {name} has no key"
                + (f": {' or '.join(looked)} is not set" * bool(looked))
            )

    def _section_keys(
        self, name: str, section: schema.Provider, record: dict[str, Any]
    ) -> tuple[str, tuple[keys.Secret, ...]]:
        path = ("provider", name)
        stated = [
            key
            for key in ("api_key", "api_key_env", "api_key_file")
            if getattr(section, key) is not None
        ]
        if len(stated) > 1:
            self.doc.fail((*path, stated[1]), f"stands beside {stated[0]}", "keep one of them")
        try:
            if section.api_key is not None:
                self.warnings.append(
                    f"provider {name}: the key stands in the file; api_key_env or api_key_file "
                    "keep it out of backups and screens"
                )
                return "file", keys.secrets_of(keys.words(section.api_key))
            if section.api_key_file is not None:
                return section.api_key_file, self._key_file(path, section.api_key_file)
            if section.api_key_env is not None:
                texts = [self.env.get(word, "") for word in keys.words(section.api_key_env)]
                told = ", ".join(keys.words(section.api_key_env))
                return told, keys.split_keys(",".join(texts))
            if section.auth == "none" or (section.auth is None and record.get("auth") == "none"):
                return "", ()  # a local server's variable names its address, not a key
            return keys.keys_in_env(record.get("env", []), self.env, need_all=False)
        except keys.BadKeyError as error:
            self.doc.fail((*path, *stated), str(error), "one key, or several as a list")

    def _key_file(self, path: tuple[str, str], file: str) -> tuple[keys.Secret, ...]:
        base = self.path.parent if self.path else Path()
        try:
            with (base / file).expanduser().open("rb") as opened:
                text = opened.read(KEY_FILE_BYTES_MAX).decode()
        except (OSError, UnicodeDecodeError) as error:
            told = getattr(error, "strerror", None) or "it is no text"
            self.doc.fail((*path, "api_key_file"), f"cannot be read: {told}", "name a text file")
        return keys.secrets_of(line.strip() for line in text.splitlines())

    def _models(self, live: dict[str, model.Live]) -> list[dict[str, Any]]:
        if not self.file.model:
            return []
        offers = model.catalogued_offers()
        found: list[dict[str, Any]] = []
        for at, row in enumerate(self.file.model):
            path = ("model", at)
            if row.provider not in self.known and row.provider not in self.file.provider:
                self.doc.fail(
                    (*path, "provider"), "is no provider", f"add [provider.{row.provider}]"
                )
            if ".." in row.id.split("/") or "" in row.id.split("/"):
                self.doc.fail((*path, "id"), "has an empty or '..' part", "name the model plainly")
            known = (row.provider, row.id) in offers
            try:
                found.extend(records.model_records(row))
            except records.BadValueError as error:
                self.doc.fail((*path, error.key), str(error), error.mend)
            self._warn_model(row, known=known, live=row.provider in live)
        return found

    def _warn_model(self, row: schema.Model, *, known: bool, live: bool) -> None:
        told = f"model {row.provider}/{row.id}"
        if not known and row.input_usd_per_mtok is None and not row.free:
            self.warnings.append(f"{told} has no price: it is listed but never routed to")
        if not known and row.context is None:
            self.warnings.append(f"{told} states no context: a default is assumed")
        if not live:
            self.warnings.append(f"{told} belongs to a provider without a key")

    def _refresh_file(self) -> str | None:
        named = self.file.catalog.refresh_file
        if named is not None:
            base = self.path.parent if self.path else Path()
            file = (base / named).expanduser()
            if not file.is_file():
                self.doc.fail(
                    ("catalog", "refresh_file"), "does not exist", "run p402 catalog refresh first"
                )
            return str(file)
        file = state_dir(self.env) / "catalog.jsonl"
        return str(file) if file.is_file() else None


def state_dir(env: Mapping[str, str]) -> Path:
    """Where P402 keeps what outlives a process."""
    if env.get("P402_STATE_DIR"):
        return Path(env["P402_STATE_DIR"])
    home = env.get("XDG_STATE_HOME") or str(
        Path(env.get("HOME") or "~").expanduser() / ".local/state"
    )
    return Path(home) / "p402"


def bare_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without P402's own variables and without any provider's key."""
    known = model.catalogued_providers().values()
    taken = {name for record in known for name in record.get("env", [])}
    whole = os.environ if env is None else env
    return {
        name: value
        for name, value in whole.items()
        if name not in taken and not name.startswith("P402_")
    }


def _read_config(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(
            f"cannot be read: {error.strerror}",
            file=str(path),
            mend="check --config or P402_CONFIG",
        ) from None
    if len(raw) > CONFIG_BYTES_MAX:
        raise SettingsError("is larger than 4 MiB", file=str(path), mend="name the right file")
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise SettingsError("is no UTF-8 text", file=str(path), mend="save it as UTF-8") from None
