"""Decides which catalogue records an operator's `[provider.*]` and `[[model]]` become.

Does not resolve keys or price anything: dollars become integer pico-dollars per token here, once.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from p402.settings.schema import AUTH_OF

if TYPE_CHECKING:
    from p402.settings.schema import Capability, Model, Provider

PICO_PER_USD_PER_MTOK = 1_000_000
PICO_PER_USD = 1_000_000_000_000
NANO_PER_USD = 1_000_000_000

_RATES = {
    "in": "input_usd_per_mtok",
    "out": "output_usd_per_mtok",
    "cache_read": "cache_read_usd_per_mtok",
    "cache_write": "cache_write_usd_per_mtok",
}
_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_UNITS = ("image", "speech", "transcription", "moderation")
_COPIED = (
    "kind",
    "canonical",
    "context",
    "upstream_id",
    "max_input",
    "max_output",
    "tools",
    "structured",
    "reasoning",
    "efforts",
    "flags",
    "ttft_ms",
    "tokens_per_s",
)


class BadValueError(ValueError):
    """A value that has the right type and still cannot be; `key` says where, `mend` what to do."""

    def __init__(self, key: str, message: str, mend: str) -> None:
        super().__init__(message)
        self.key = key
        self.mend = mend


def checked_base_url(url: str, *, insecure: bool) -> str:
    """The address as it is dialled: https, loopback or declared insecure; nothing hidden in it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if any(c.isspace() or ord(c) < 33 or ord(c) > 126 for c in url) or not host or "{" in url:
        raise BadValueError("base_url", "is no address", "write https://host/path")
    if parts.username is not None or parts.password is not None:
        raise BadValueError(
            "base_url", "holds user info", "take it out; keys come by api_key_env or api_key_file"
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise BadValueError("base_url", "holds a query or fragment", "end it after the path")
    if parts.scheme not in {"http", "https"}:
        raise BadValueError("base_url", "is neither https nor http", "write https://host/path")
    if parts.scheme == "http" and not is_loopback(host) and not insecure:
        raise BadValueError(
            "base_url",
            "would send the key and every prompt unencrypted",
            "use https, or say insecure = true if this network is yours",
        )
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise BadValueError("base_url", "names an endpoint", "leave out /chat/completions")
    return url.rstrip("/")


def deployment_url(base_url: str, api_version: str) -> str:
    """The older of Azure's two address forms: the model stands in the path, a date in the query."""
    if not _API_VERSION.fullmatch(api_version):
        raise BadValueError("api_version", "is no version", 'write "2024-10-21"')
    host = base_url.removesuffix("/v1").removesuffix("/openai")
    return f"{host}/openai/deployments/{{deployment}}?api-version={api_version}"


def is_loopback(host: str) -> bool:
    """Whether a host can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def provider_record(
    name: str, section: Provider, known: dict[str, Any], *, keyed: bool
) -> dict[str, Any]:
    """A whole record for a new provider, only the stated fields for a catalogued one."""
    record: dict[str, Any] = {"t": "provider", "id": name}
    if not known:
        if section.base_url is None:
            raise BadValueError(
                "base_url",
                "is missing: the catalogue holds no provider of this name",
                'add base_url = "https://…/v1", or mend the name',
            )
        record |= {"kind": "config", "dialect": section.dialect or "openai"}
    elif section.dialect is not None:
        record["dialect"] = section.dialect
    record |= _address(section, known)
    if section.auth is not None:
        record["auth"] = section.auth
    elif not known:
        record["auth"] = AUTH_OF.get(record["dialect"], "bearer") if keyed else "none"
    if not known:
        record["env"] = []
    if section.hardware is not None:
        record["hardware"] = section.hardware
    record["routable"] = section.enabled
    if section.flags is not None or not known:
        record["flags"] = section.flags or []
    return record


def _address(section: Provider, known: dict[str, Any]) -> dict[str, Any]:
    """The address, where the operator states one or dates it."""
    address = str(known.get("base_url", ""))
    if section.base_url is not None:
        address = checked_base_url(section.base_url, insecure=section.insecure)
    if section.api_version is not None:
        return {"base_url": deployment_url(address, section.api_version)}
    return {} if section.base_url is None else {"base_url": address}


def model_records(model: Model) -> list[dict[str, Any]]:
    """The offer, with the stated fields only (the core knows what to assume), and its aliases."""
    offer: dict[str, Any] = {"t": "offer", "provider": model.provider, "model": model.id}
    kinds = {"image": model.vision, "audio": model.audio, "file": model.files}
    if any(value is not None for value in kinds.values()):
        offer["modalities"] = ["text", *(kind for kind, value in kinds.items() if value)]
    for key in _COPIED:
        value = getattr(model, key)
        if value is not None:
            offer[key] = value
    offer |= _price(model)
    if model.capability is not None:
        offer["capability"] = _capability(model.capability)
    if "prices" in offer or "free" in offer:
        offer |= {"source": "config", "n_agree": 1, "confidence": "config"}
    to = f"{model.provider}/{model.id}"
    aliases = ({"t": "alias", "name": name, "to": to} for name in model.aliases or ())
    return [offer, *aliases]


def _price(model: Model) -> dict[str, Any]:
    stated = {key: getattr(model, name) for key, name in _RATES.items()}
    rates = {key: _pico(_RATES[key], text) for key, text in stated.items() if text is not None}
    if model.kind == "embedding" and "in" in rates:
        rates.setdefault("out", 0)
    if model.per_unit_usd is not None:
        return _per_unit(model, rates)
    if ("in" in rates) != ("out" in rates) or (rates and "in" not in rates):
        absent = next(_RATES[key] for key in ("in", "out") if key not in rates)
        raise BadValueError(absent, "is missing beside the other price", f'add {absent} = "…"')
    free = model.free if model.free is not None else bool(rates) and not any(rates.values())
    if free and any(rates.values()):
        raise BadValueError("free", "contradicts the price", "drop one of the two")
    if free:
        return {"free": True}
    if not rates:
        return {}
    row: dict[str, Any] = {"bands": [{"above": 0, **rates}]}
    if model.per_request_usd is not None:
        nano = Decimal(model.per_request_usd) * NANO_PER_USD
        row["per_request"] = int(nano.to_integral_value(ROUND_CEILING))
    return {"prices": [row]}


def _per_unit(model: Model, rates: dict[str, int]) -> dict[str, Any]:
    """A picture, a character or a request is one token of output: one price, one function."""
    if model.kind not in _UNITS:
        raise BadValueError("per_unit_usd", "is no chat's price", f"state kind: {_UNITS}")
    if rates or model.free:
        raise BadValueError("per_unit_usd", "stands beside another price", "keep one of them")
    pico = Decimal(model.per_unit_usd or 0) * PICO_PER_USD
    if pico != pico.to_integral_value():
        raise BadValueError("per_unit_usd", "is finer than a pico-dollar", "use 12 decimal places")
    return {"prices": [{"bands": [{"above": 0, "in": 0, "out": int(pico)}]}]}


def _pico(name: str, text: str) -> int:
    pico = Decimal(text) * PICO_PER_USD_PER_MTOK
    if pico != pico.to_integral_value():
        raise BadValueError(
            name, "is finer than a pico-dollar per token", "use at most six decimal places"
        )
    return int(pico)


def _capability(stated: float | Capability) -> float | dict[str, float]:
    if isinstance(stated, int | float):
        return stated
    given = {
        task: score for task, score in msgspec.structs.asdict(stated).items() if score is not None
    }
    if not given:
        raise BadValueError("capability", "names no task", "write capability = 80, or tasks")
    return given
