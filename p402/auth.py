"""Decides which tenant a request's API key belongs to.

Does not read bodies, know routes or keep keys: it holds keyed digests, made with a pepper that
lives as long as the process.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING

from p402.settings import Tenant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from p402.settings import Settings

DEFAULT_TENANT = "default"
KEY_BYTES_MAX = 512
_NAMES = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})


class Authenticator:
    """Key → tenant by digest.

    A key is hashed, then keyed with the pepper; only the result is looked up. A stored digest is
    therefore no key, and the time of a look-up tells nothing about any stored value.
    """

    __slots__ = ("_by_digest", "_open", "_pepper", "_seen")

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._pepper = secrets.token_bytes(32)
        self.admit(tenants)

    def admit(self, tenants: Iterable[Tenant]) -> None:
        """Takes these tenants in place of all known ones (start and reload)."""
        known = list(tenants)
        self._by_digest: dict[bytes, tuple[bytes, str]] = {}
        # Keys already proven, by one cheaper peppered hash; at most one entry per configured key.
        self._seen: dict[bytes, str] = {}
        for tenant in known:
            for digest in tenant.digests:
                peppered = hmac.digest(self._pepper, digest, "sha256")
                self._by_digest[peppered] = (peppered, tenant.id)
        self._open = not known

    @classmethod
    def from_settings(cls, settings: Settings) -> Authenticator:
        """The tenants of the configuration; none configured = every caller is `default`."""
        return cls(settings.tenants)

    @property
    def open(self) -> bool:
        """No tenant is configured: any key, or none, is `default`."""
        return self._open

    def tenant(self, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        """The tenant's id; None where the key is missing, unknown or contradicted by another."""
        if self._open:
            return DEFAULT_TENANT
        key: bytes | None = None
        for name, value in headers:
            if name not in _NAMES:
                continue
            shown = _bearer(value) if name == b"authorization" else value.strip()
            if shown is None or (key is not None and key != shown):
                return None
            key = shown
        if not key or len(key) > KEY_BYTES_MAX:
            return None
        seen = sha256(self._pepper + key).digest()
        return self._seen.get(seen) or self._prove(key, seen)

    def _prove(self, key: bytes, seen: bytes) -> str | None:
        digest = hmac.digest(self._pepper, sha256(key).digest(), "sha256")
        held = self._by_digest.get(digest)
        if held is None or not hmac.compare_digest(held[0], digest):
            return None
        self._seen[seen] = held[1]
        return held[1]


class Operator:
    """Knows the operator by its key. Without one nobody is the operator."""

    __slots__ = ("_keys",)

    def __init__(self, settings: Settings) -> None:
        self._keys = Authenticator([_operator(settings)])

    def admit(self, settings: Settings) -> None:
        """Takes these keys in place of all known ones (reload)."""
        self._keys.admit([_operator(settings)])

    def knows(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """The request carries one of its keys."""
        return self._keys.tenant(headers) is not None


def _operator(settings: Settings) -> Tenant:
    return Tenant(id="operator", digests=settings.operator.digests)


def _bearer(value: bytes) -> bytes | None:
    scheme, _, token = value.strip().partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None
