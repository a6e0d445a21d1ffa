"""Decides who may call and who may look in: tenants and the operator, by which keys.

Does not keep a key: SHA-256 digests stand for them from here on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from p402.settings import keys, model, records
from p402.settings.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from p402.settings import schema
    from p402.settings.lines import Path
    from p402.settings.parse import Document

OPERATOR = "the operator"
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
# Of a tenant, what the core is told in another form.
_RESOLVED = {"id", "enabled", "key_env", "key_sha256", "guard", "cache"}
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]]+)):([0-9]{1,5})")


class People:
    """Everybody in the file who has a key."""

    def __init__(self, doc: Document, env: Mapping[str, str], warnings: list[str]) -> None:
        self._doc = doc
        self._env = env
        self._warnings = warnings
        # Whose key each digest is.
        self._seen: dict[bytes, str] = {}

    def tenants(self, rows: tuple[schema.Tenant, ...]) -> tuple[model.Tenant, ...]:
        """Who may call."""
        found: dict[str, model.Tenant] = {}
        for at, row in enumerate(rows):
            path = ("tenant", at)
            if row.id in found:
                self._doc.fail((*path, "id"), "stands twice", "give one tenant a list of keys")
            if row.key_env is None and row.key_sha256 is None:
                self._doc.fail(path, "has no key", 'add key_env = "NAME" or key_sha256 = "…"')
            digests = self._digests(path, (row.id, f"tenant {row.id} cannot call"), row)
            options = {
                name: value
                for name, value in msgspec.structs.asdict(row).items()
                if value is not None and name not in _RESOLVED
            }
            found[row.id] = model.Tenant(
                id=row.id,
                enabled=row.enabled,
                digests=digests,
                options=options,
                guard=row.guard,
                cache=row.cache,
            )
        return tuple(found.values())

    def operator(self, row: schema.Operator) -> model.Operator:
        """Who may look in, and where metrics are told besides."""
        keyed = row.key_env is not None or row.key_sha256 is not None
        digests = self._digests(("operator",), (OPERATOR, f"{OPERATOR} cannot look in"), row)
        listen = None if row.metrics_listen is None else self._address(row.metrics_listen)
        if listen is not None and not keyed and not records.is_loopback(listen[0]):
            self._doc.fail(
                ("operator", "metrics_listen"),
                f"{listen[0]} is reachable from outside and the operator has no key: "
                "anyone could read what tenants spend",
                "add key_env in [operator], or listen on 127.0.0.1",
            )
        return model.Operator(keyed=keyed, digests=digests, listen=listen)

    def _address(self, text: str) -> tuple[str, int]:
        found = _ADDRESS.fullmatch(text)
        if found is None or int(found[3]) > 65_535:
            self._doc.fail(
                ("operator", "metrics_listen"), "is no address", 'write "127.0.0.1:9402"'
            )
        return found[1] or found[2], int(found[3])

    def _digests(
        self, path: Path, whose: tuple[str, str], row: schema.Tenant | schema.Operator
    ) -> tuple[bytes, ...]:
        """Of one holder's keys; `whose` names it, and says what it cannot do without one."""
        who, cannot = whose
        found: list[bytes] = []
        for word in keys.words(row.key_sha256):
            if not _DIGEST.fullmatch(word):
                self._doc.fail(
                    (*path, "key_sha256"), "is no SHA-256", "64 hex digits of the key's hash"
                )
            found.append(bytes.fromhex(word))
        for word in keys.words(row.key_env):
            try:
                secrets = keys.split_keys(self._env.get(word, ""))
            except keys.BadKeyError as error:
                raise SettingsError(str(error), key=word, mend="write a plain key") from None
            if not secrets:
                self._warnings.append(f"{cannot}: {word} is not set")
            found.extend(secret.digest() for secret in secrets)
        for digest in found:
            if digest in self._seen:
                told = f"shares a key with {self._seen[digest]}"
                self._doc.fail(path, told, "one key, one tenant")
            self._seen[digest] = who
        return tuple(found)
