"""Decides whether the gateway ever reaches for a network that nobody configured.

Runs in a network namespace where only loopback exists: the kernel counts every try to leave it,
by whatever thread and language. Does not trust hooks inside the process.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

INSIDE = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c"]
TREE = Path(__file__).parent.parent
PRELUDE = """
    import fcntl, os, pathlib, socket, struct, sys
    sys.path.insert(0, os.getcwd())

    def loopback_up():
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))

    def tries():
        lines = [line.split() for line in pathlib.Path("/proc/net/snmp").read_text().splitlines()]
        ip = [line for line in lines if line[0] == "Ip:"]
        four = int(dict(zip(*ip))["OutNoRoutes"])
        six = pathlib.Path("/proc/net/snmp6").read_text().split()
        return four + int(six[six.index("Ip6OutNoRoutes") + 1])

    loopback_up()
    assert tries() == 0
"""
OUTWARD = """
    import contextlib
    with contextlib.suppress(OSError):
        socket.create_connection(("192.0.2.1", 443), timeout=1)
    assert tries() > 0, "the kernel does not count what this test relies on"
"""
SERVE = """
    import tempfile
    import httpx
    from tests.serving import Served

    config = pathlib.Path(tempfile.mkdtemp()) / "p402.toml"
    config.write_text("[sandbox]\\nenabled = true\\nspeed = 0.0\\n")
    keys = {"OPENAI_API_KEY": "sk-x", "ANTHROPIC_API_KEY": "sk-y", "GROQ_API_KEY": "gsk-z"}
    metadata_service = "http://169.254.169.254/latest/meta-data"
    picture = {"type": "image_url", "image_url": {"url": metadata_service}}
    mapped = {"type": "image_url", "image_url": {"url": "http://[::ffff:10.0.0.1]/x.png"}}
    asks = [
        {"content": "Hello"},
        {"content": [{"type": "text", "text": "What is this?"}, picture]},
        {"content": [{"type": "text", "text": "And this?"}, mapped]},
    ]
    tricks = {"api_base": metadata_service, "base_url": "http://192.0.2.7/v1"}
    headers = {"x-portkey-custom-host": "http://192.0.2.8", "x-forwarded-host": "192.0.2.9"}

    with Served(env=keys) as bare:
        assert httpx.get(bare.base_url + "/models").status_code == 200
    with Served(config) as real, httpx.Client(base_url=real.base_url, timeout=20) as http:
        seen = set()
        for ask in asks:
            messages = [{"role": "user", **ask}]
            for extra in ({}, {"stream": True}, tricks):
                body = {"model": "auto", "messages": messages, **extra}
                reply = http.post("/chat/completions", json=body, headers=headers)
                seen.add(reply.status_code)
                assert http.post("/route", json=body).status_code in (200, 400)
        assert 200 in seen, seen
        assert seen <= {200, 400}, seen
    assert tries() == 0, f"{tries()} tries to leave this machine"

    far = '[provider.far]\\nbase_url = "https://192.0.2.1/v1"\\napi_key = "k"\\n'
    far += '[[model]]\\nid = "m"\\nprovider = "far"\\nfree = true\\n'
    far += 'context = 9999\\ncapability = 50\\n'
    config.write_text(far)
    with Served(config) as real:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        reply = httpx.post(real.base_url + "/chat/completions", json=body, timeout=20)
        assert reply.status_code == 502, reply.text
    assert tries() > 0, "what an operator configures is dialled, and that is counted"
"""


def inside(script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script where only loopback exists."""
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    return subprocess.run(
        [*INSIDE, text], capture_output=True, text=True, timeout=120, check=False, cwd=TREE
    )


@pytest.fixture(scope="module")
def _namespaces():
    try:
        ended = inside(OUTWARD)
    except FileNotFoundError:
        pytest.skip("no `unshare` here: whether anything leaves this machine was not tested")
    if "unshare failed" in ended.stderr or "Operation not permitted" in ended.stderr:
        pytest.skip(f"no network namespaces here: not tested ({ended.stderr.strip()[-120:]})")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.usefixtures("_namespaces")
def test_nothing_leaves_this_machine():
    ended = inside(SERVE)
    assert ended.returncode == 0, ended.stderr
