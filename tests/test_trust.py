"""Decides whether the files of certificates are read as they are named, each mistake with its line;
and whether a gateway serves over them.

Does not try what a certificate may say: the Rust tests do, against real servers.
"""

from __future__ import annotations

import socket
import subprocess
import time

import pytest

from p402.settings import SettingsError, load
from tests.gateway import Gateway, ask, lone
from tests.serving import free_port
from tests.upstream import Upstream

PLAIN = "[req]\ndistinguished_name=dn\n[dn]\n"


@pytest.fixture(scope="module")
def up():
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """An authority, and what it issued to `localhost` and `p402`."""
    folder = tmp_path_factory.mktemp("papers")
    (folder / "plain.cnf").write_text(PLAIN)

    def issue(name: str, *more: str) -> None:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        files = ("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        command = ["openssl", "req", "-x509", "-config", "plain.cnf", *curve, *files, *more]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    issue("ca", "-addext", "basicConstraints=critical,CA:TRUE")
    for name in ("localhost", "p402"):
        names = ("-addext", f"subjectAltName=DNS:{name}")
        issue(name, "-CA", "ca.pem", "-CAkey", "ca.key", *names)
    (folder / "none.pem").write_text("s3cret")
    return folder


def test_paths_are_those_beside_the_file_and_the_ledgers_address_names_them(papers):
    file = papers / "p402.toml"
    written = 'url = "rediss://h"\nledger = "postgres://h/p?sslkey=/own"\n'
    file.write_text(f'[store]\n{written}ca = "ca.pem"\ncert = "p402.pem"\nkey = "p402.key"\n')
    store = load(file, env={}).store
    assert (store.ca, store.cert) == (str(papers / "ca.pem"), str(papers / "p402.pem"))
    ledger = f"postgres://h/p?sslkey=/own&sslrootcert={papers}/ca.pem&sslcert={papers}/p402.pem"
    assert store.ledger == ledger
    file.write_text('[store]\nca = "ca.pem"\n')
    store = load(file, env={"P402_LEDGER_URL": "postgres://h/p"}).store
    assert store.ledger == f"postgres://h/p?sslrootcert={papers}/ca.pem"


MISTAKES = [
    ('ca = "missing.pem"', 3, "store.ca", "cannot be read"),
    ('ca = "none.pem"', 3, "store.ca", "no certificate"),
    ('cert = "p402.pem"', 3, "store.cert", "without its key"),
    ('key = "p402.key"', 3, "store.key", "without its cert"),
    ('cert = "p402.pem"\nkey = "localhost.key"', 3, "store.cert", "no pair"),
    ('cert = "none.pem"\nkey = "p402.key"', 3, "store.cert", "no pair"),
]


@pytest.mark.parametrize(("text", "line", "key", "word"), MISTAKES)
def test_a_wrong_file_is_told_with_line_and_mend(papers, text, line, key, word):
    file = papers / "wrong.toml"
    file.write_text(f'[store]\nurl = "rediss://h"\n{text}\n')
    with pytest.raises(SettingsError) as raised:
        load(file, env={})
    told = raised.value
    assert (told.line, told.key) == (line, key)
    assert word in told.block()
    assert "mend" in told.block()
    assert "s3cret" not in told.block()


def test_certificates_that_no_store_would_see_are_a_mistake(papers):
    file = papers / "unseen.toml"
    file.write_text('[store]\nurl = "redis://h"\nca = "ca.pem"\n')
    with pytest.raises(SettingsError, match="no store is reached by TLS"):
        load(file, env={})


@pytest.fixture
def guarded(papers):
    """The port of a Redis that speaks TLS alone, and asks who is there."""
    port = free_port()
    words = {
        "--port": "0",
        "--tls-port": str(port),
        "--tls-cert-file": str(papers / "localhost.pem"),
        "--tls-key-file": str(papers / "localhost.key"),
        "--tls-ca-cert-file": str(papers / "ca.pem"),
        "--tls-auth-clients": "yes",
        "--save": "",
        "--dir": str(papers),
    }
    command = ["redis-server", *(word for pair in words.items() for word in pair)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 10
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < until
            time.sleep(0.01)
        yield port
    finally:
        server.kill()
        server.wait()


async def test_a_gateway_serves_from_a_redis_that_asks_for_its_certificate(up, papers, guarded):
    files = {"ca": "ca.pem", "cert": "p402.pem", "key": "p402.key"}
    named = "".join(f'{name} = "{papers / file}"\n' for name, file in files.items())
    store = f'[store]\nurl = "rediss://localhost:{guarded}"\ndeadline_ms = 50\n{named}'
    guard = '[guard]\noutage_policy = "fail_closed"\n'
    async with Gateway(lone(up, store + guard)) as gateway:
        told = await gateway.chat(ask())
        assert (told.status, told.headers.get("x-p402-guard")) == (200, None), told.raw
        await gateway.idle()
