"""Decides what the clients talk to: two upstreams, one gateway process, three tenants.

Does not know the clients. `routed` has its model chosen by the gateway; `pinned` gets the model it
names, so that a client can ask for an upstream that misbehaves.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Self

from tests.languages import Foreign
from tests.passing import Passing
from tests.serving import Served
from tests.upstream import Upstream

ROUTED_KEY = "p402_clients-routed"
PINNED_KEY = "p402_clients-pinned"
TEST_SUITE_KEY = "My API Key"  # openai-python's own tests send this one
FAULTS = (
    *("400", "401", "403", "413", "422", "429", "500", "503", "content-filter", "hang", "quota"),
    *("error-mid-stream", "close-mid-stream", "clean-cut", "malformed-json", "error-first-event"),
    *("string-error", "int-code", "html-200", "error-200"),
    *("bare", "no-role", "tool-no-index", "tool-whole", "tool-one-index", "empty-choices-first"),
    *("usage-on-finish", "usage-on-every-chunk", "usage-cost", "usage-twice", "noise", "no-done"),
    *("finish-stop-after-tools", "changing-ids", "content-on-finish", "crlf", "byte-by-byte"),
    *("json-for-stream", "sse-for-json", "usage-missing", "slow-first-byte", "no-blank", "bom"),
)

# What openai-python's own tests call the models that do not chat.
PASSING = {"text-embedding-3-small": "embedding", "gpt-3.5-turbo-instruct": "completion"}

# Houses that speak a language of their own, and how they know who asks.
HOUSES = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}

_MODEL = """
[[model]]
id = "{id}"
provider = "{provider}"
upstream_id = "{upstream}"
input_usd_per_mtok = "2.50"
output_usd_per_mtok = "15"
context = 128000
max_output = 16384
tools = true
vision = true
audio = true
files = true
structured = true
reasoning = true
efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
capability = 80
"""


# A client's check may ask twenty times at once.
CACHE = "[cache]\ncost_mode_default = false\n"  # a client's every question is to be answered anew
GUARD = "[guard]\nin_flight_max = 256\nrate = { limit = 100000, per_s = 1 }\n"


class Stage:
    """The upstream and the gateway, running while the block lasts."""

    def __init__(self) -> None:
        self.upstream = Upstream()
        self.passing = Passing()
        self.foreign = Foreign()
        self._folder = tempfile.TemporaryDirectory(prefix="p402-clients-")
        self.served: Served

    def __enter__(self) -> Self:
        self.upstream.start()
        self.passing.__enter__()
        self.foreign.__enter__()
        config = Path(self._folder.name) / "p402.toml"
        config.write_text(self._config())
        state = str(Path(self._folder.name) / "state")
        self.served = Served(config, {"P402_STATE_DIR": state})
        try:
            self.served.__enter__()
        except RuntimeError:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.served.__exit__()
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        self.upstream.stop()
        self.passing.__exit__()
        self.foreign.__exit__()

    def environment(self) -> dict[str, str]:
        """What a client's program reads."""
        return {
            "P402_BASE_URL": self.served.base_url,
            "P402_KEY": ROUTED_KEY,
            "P402_PIN_KEY": PINNED_KEY,
        }

    def _config(self) -> str:
        text = CACHE + GUARD + _provider("test", self.upstream.provider_url())
        text += _MODEL.format(id="hello", provider="test", upstream="hello")
        text += _provider("knowing", self.upstream.provider_url("knowing"))
        text += _MODEL.format(id="custom-x", provider="knowing", upstream="hello")
        text += 'flags = ["custom_tools"]\n'
        for name in FAULTS:
            # A provider each: a refused key or an open breaker must not hide the next fault.
            text += _provider(f"has-{name}", self.upstream.provider_url(f"has-{name}"))
            text += _MODEL.format(
                id=f"fault-{name}", provider=f"has-{name}", upstream=f"sandbox-fault:{name}"
            )
        text += _provider("passing", self.passing.url("up"))
        text += "".join(
            f'[[model]]\nid = "{name}"\nprovider = "passing"\nkind = "{kind}"\n'
            'input_usd_per_mtok = "1"\noutput_usd_per_mtok = "1"\n'
            for name, kind in PASSING.items()
        )
        for language, auth in HOUSES.items():
            text += (
                f'[provider.{language}]\ndialect = "{language}"\nauth = "{auth}"\nflags = []\n'
                f'base_url = "{self.foreign.url(language)}"\napi_key = ["sk-{language}"]\n'
            )
            text += _MODEL.format(id=f"{language}-x", provider=language, upstream="m-x")
        text += _tenant("routed", ROUTED_KEY, 'models_allow = ["hello"]\n')
        text += _tenant("pinned", PINNED_KEY, 'route_default = "pin"\n')
        allowed = json.dumps(["hello", *PASSING])
        return text + _tenant("suite", TEST_SUITE_KEY, f"models_allow = {allowed}\n")


def _provider(name: str, url: str) -> str:
    return f'[provider.{name}]\ndialect = "openai"\nbase_url = "{url}"\nauth = "none"\n'


def _tenant(name: str, key: str, more: str) -> str:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f'[[tenant]]\nid = "{name}"\nkey_sha256 = "{digest}"\n{more}'
