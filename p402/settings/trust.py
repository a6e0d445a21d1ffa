"""Decides which files of certificates the stores are reached with; reads them once to be sure.

Does not connect, and hands on paths alone: what a key says stays in its file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from p402.settings.parse import Document
    from p402.settings.schema import Store

# As libpq calls them in its URL.
_LIBPQ = {"ca": "sslrootcert", "cert": "sslcert", "key": "sslkey"}


def trusting(store: Store, doc: Document, base: Path, cache_url: str | None) -> Store:
    """The store with whole paths, and a ledger whose address names them, too."""
    named = {name: getattr(store, name) for name in _LIBPQ if getattr(store, name) is not None}
    if not named:
        return store
    paths = {name: (base / text).expanduser().absolute() for name, text in named.items()}
    for one, other in (("cert", "key"), ("key", "cert")):
        if one in paths and other not in paths:
            doc.fail(("store", one), f"stands without its {other}", f"name {other}, too")
    _look_at(paths, doc)
    urls = (store.url, store.ledger, cache_url)
    if not any((url or "").startswith(("rediss", "postgres")) for url in urls):
        doc.fail(
            ("store", next(iter(named))),
            "no store is reached by TLS",
            "write rediss:// in url, or postgresql:// in ledger",
        )
    told = {name: str(path) for name, path in paths.items()}
    return msgspec.structs.replace(store, ledger=_ledger(store.ledger, told), **told)


def _look_at(paths: dict[str, Path], doc: Document) -> None:
    import ssl  # noqa: PLC0415  (only where certificates are named)

    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, path in paths.items():
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            doc.fail(("store", name), f"cannot be read: {error.strerror}", "name a file in PEM")
    if "ca" in paths:
        try:
            trial.load_verify_locations(paths["ca"])
        except ssl.SSLError:
            doc.fail(("store", "ca"), "holds no certificate", "name a file of certificates in PEM")
    if "cert" in paths:
        try:
            # A key with a password would ask for it on the terminal.
            trial.load_cert_chain(paths["cert"], paths["key"], password=lambda: "")
        except ssl.SSLError:
            doc.fail(
                ("store", "cert"),
                "and key are no pair",
                "name a certificate in PEM and its private key, which has no password",
            )


def _ledger(url: str | None, paths: dict[str, str]) -> str | None:
    """What the address says itself, it means."""
    if url is None:
        return None
    said = [pair.partition("=")[0] for pair in url.partition("?")[2].split("&")]
    told = {_LIBPQ[name]: quote(path) for name, path in paths.items()}
    more = "&".join(f"{name}={path}" for name, path in told.items() if name not in said)
    return f"{url}{'&' if '?' in url else '?'}{more}" if more else url
