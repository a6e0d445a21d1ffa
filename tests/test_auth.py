"""Decides whether a key leads to its tenant and to no other. Does not go through HTTP."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.auth import KEY_BYTES_MAX, Authenticator
from p402.settings import Secret, Tenant

KEY_A, KEY_B = "p402_" + "a" * 43, "p402_" + "b" * 43


def tenants() -> list[Tenant]:
    return [
        Tenant(id="a", digests=(Secret(KEY_A).digest(),)),
        Tenant(id="b", digests=(Secret(KEY_B).digest(), Secret("second-b").digest())),
    ]


def bearer(key: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + key.encode()


@pytest.mark.parametrize(
    ("headers", "tenant"),
    [
        ([bearer(KEY_A)], "a"),
        ([bearer(KEY_B)], "b"),
        ([bearer("second-b")], "b"),
        ([(b"x-api-key", KEY_A.encode())], "a"),
        ([(b"api-key", KEY_A.encode())], "a"),
        ([(b"authorization", b"bearer  " + KEY_A.encode() + b" ")], "a"),
        ([bearer(KEY_A), (b"x-api-key", KEY_A.encode())], "a"),
        ([bearer(KEY_A), (b"x-api-key", KEY_B.encode())], None),
        ([bearer(KEY_A), (b"api-key", b"")], None),
        ([bearer(KEY_A), bearer(KEY_B)], None),
        ([(b"authorization", b"Basic " + KEY_A.encode())], None),
        ([(b"authorization", KEY_A.encode())], None),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"Bearer ' OR 1=1--")], None),
        ([bearer("x" * (64 << 10))], None),
        ([bearer(KEY_A + "a")], None),
        ([bearer(KEY_A[:-1])], None),
        ([(b"cookie", KEY_A.encode())], None),
        ([], None),
    ],
)
def test_a_key_leads_to_its_tenant(headers, tenant):
    known = Authenticator(tenants())
    assert known.tenant(headers) == tenant
    assert known.tenant(headers) == tenant, "the second time the proven key is remembered"


def test_a_stored_digest_is_no_key():
    known = Authenticator(tenants())
    digest = Secret(KEY_A).digest()
    for shown in (digest, digest.hex().encode()):
        assert known.tenant([(b"x-api-key", shown)]) is None


def test_nobody_configured_means_everybody_is_default():
    known = Authenticator([])
    assert known.open
    for headers in ([], [bearer("any")], [bearer("a"), (b"api-key", b"b")]):
        assert known.tenant(headers) == "default"


def test_a_tenant_whose_key_is_not_set_does_not_open_the_door():
    known = Authenticator([Tenant(id="a")])
    assert not known.open
    assert known.tenant([]) is None
    assert known.tenant([bearer("")]) is None


def test_a_reload_forgets_who_has_left():
    known = Authenticator(tenants())
    assert known.tenant([bearer(KEY_A)]) == "a"
    known.admit(tenants()[1:])
    assert known.tenant([bearer(KEY_A)]) is None
    assert known.tenant([bearer(KEY_B)]) == "b"


@given(st.text(string.printable, max_size=KEY_BYTES_MAX + 10))
def test_no_other_text_is_a_key(text):
    known = Authenticator(tenants())
    shown = text.strip()
    if shown not in {KEY_A, KEY_B, "second-b"}:
        assert known.tenant([(b"x-api-key", text.encode())]) is None


def test_the_hot_path_does_not_grow_with_tenants():
    few, many = (
        Authenticator(
            [Tenant(id=str(n), digests=(Secret(f"key-{n}").digest(),)) for n in range(count)]
        )
        for count in (2, 5_000)
    )
    headers = [(b"host", b"x")] * 10 + [bearer("key-1")]

    def once(known: Authenticator) -> float:
        best = 1.0
        for _ in range(7):
            started = time.perf_counter()
            for _ in range(2_000):
                known.tenant(headers)
            best = min(best, (time.perf_counter() - started) / 2_000)
        return best

    assert once(many) < 3 * once(few)
