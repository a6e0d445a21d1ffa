"""Decides whether configuration is read exactly, and whether each mistake is told with its place.

Does not start a gateway; test_cli.py and test_app.py do.
"""

from __future__ import annotations

import json
import pickle
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.settings import SettingsError, load
from p402.settings.lines import key_lines
from p402.settings.records import BadValueError, checked_base_url

CONTRACT = """\
[server]
host = "127.0.0.1"
port = 4020
[routing]
mode = "balanced"
[provider.acme]                     # a new provider, or overrides of a catalogued one
dialect = "openai"
base_url = "http://127.0.0.1:9100/v1"
api_key_env = "ACME_API_KEY"        # or api_key_file
hardware = "inference"              # dedicated inference hardware, for speed mode
[[model]]                           # a new offer, or overrides of a catalogued one
id = "acme-large"
provider = "acme"
upstream_id = "acme-large-v2"       # default: id
input_usd_per_mtok = "2.50"         # decimal strings, never floats
output_usd_per_mtok = "15"
context = 200000
max_output = 32000
tools = true
vision = true
structured = true
capability = 80                     # or { reasoning = 85, coding = 70, ... }
ttft_ms = 300
tokens_per_s = 90
[[tenant]]
id = "team-a"
key_env = "TEAM_A_KEY"              # or key_sha256 = "..."
"""
SECRET = "sk-planted-secret-0123456789"


@pytest.fixture
def write(tmp_path):
    def _write(text: str) -> Path:
        file = tmp_path / "p402.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return _write


@pytest.fixture
def read(write):
    def _read(text: str, **env: str):
        return load(write(text), env=env)

    return _read


def refused(read, text: str, **env: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read(text, **env)
    return caught.value


def test_the_contract_of_the_issue(read):
    settings = read(CONTRACT, ACME_API_KEY="one, two", TEAM_A_KEY="secret-a")
    core = json.loads(settings.core_config())
    assert core["keys"] == {"acme": ["one", "two"]}
    assert core["routing"] == {"mode": "balanced"}
    assert core["tenants"] == [{"id": "team-a"}]
    assert not settings.sandbox.enabled
    provider, offer = (json.loads(line) for line in settings.catalog_layers()[-1].splitlines())
    assert provider == {
        "t": "provider",
        "id": "acme",
        "kind": "config",
        "dialect": "openai",
        "base_url": "http://127.0.0.1:9100/v1",
        "auth": "bearer",
        "env": [],
        "hardware": "inference",
        "routable": True,
        "flags": [],
    }
    assert offer["upstream_id"] == "acme-large-v2"
    assert offer["prices"] == [{"bands": [{"above": 0, "in": 2_500_000, "out": 15_000_000}]}]
    assert offer["modalities"] == ["text", "image"]
    assert offer["capability"] == 80
    assert settings.warnings == ()


def test_nothing_configured_means_the_sandbox_and_one_open_tenant():
    settings = load(env={})
    assert settings.sandbox.enabled
    assert settings.open
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 4020)
    assert json.loads(settings.core_config())["keys"] == {}
    assert len(settings.catalog_layers()) == 1
    running = settings.with_sandbox("http://127.0.0.1:9999/v1")
    assert set(json.loads(running.core_config())["keys"]) >= {"sandbox"}
    assert b'"base_url":"http://127.0.0.1:9999/v1"' in running.catalog_layers()[-1]


@pytest.mark.parametrize(
    ("env", "live"),
    [
        ({"OPENAI_API_KEY": "a"}, {"openai": ["a"]}),
        ({"GEMINI_API_KEY": "a"}, {"google": ["a"]}),
        ({"GOOGLE_API_KEY": "b"}, {"google": ["b"]}),
        ({"GROQ_API_KEY": " a,b , a,"}, {"groq": ["a", "b"]}),
        ({"OPENAI_API_KEY": "  "}, {}),
        ({"OLLAMA_HOST": "127.0.0.1:11434"}, {}),
        ({"GITHUB_TOKEN": "a", "HF_TOKEN": "b", "WANDB_API_KEY": "c"}, {}),
        ({"CLOUDFLARE_API_KEY": "a"}, {}),
        (
            {"CLOUDFLARE_API_KEY": "a", "CLOUDFLARE_ACCOUNT_ID": "acct1"},
            {"cloudflare-workers-ai": ["a"]},
        ),
    ],
)
def test_keys_of_the_environment_are_live_at_once(env, live):
    settings = load(env=env)
    assert json.loads(settings.core_config())["keys"] == live
    assert settings.sandbox.enabled is (not live)


def test_a_place_in_an_address_is_filled_and_cannot_lead_elsewhere():
    env = {"CLOUDFLARE_API_KEY": "a", "CLOUDFLARE_ACCOUNT_ID": "acct1"}
    assert b"/accounts/acct1/ai/v1" in load(env=env).catalog_layers()[-1]
    for value in ("../../evil", "x@evil.example", "a/b", "x?y", "x#y", ""):
        settings = load(env={**env, "CLOUDFLARE_ACCOUNT_ID": value})
        assert settings.providers == ()


def test_a_section_makes_an_ambient_key_live(read):
    settings = read("[provider.huggingface]\n", HF_TOKEN="t")
    assert [each.id for each in settings.providers] == ["huggingface"]


def test_overrides_of_the_catalogue_state_only_what_they_change(read):
    settings = read(
        '[provider.groq]\nbase_url = "https://proxy.example/groq"\n'
        '[[model]]\nprovider = "openai"\nid = "gpt-5.4"\nmax_output = 1000\n',
        GROQ_API_KEY="k",
    )
    provider, offer = (json.loads(line) for line in settings.catalog_layers()[-1].splitlines())
    assert provider == {
        "t": "provider",
        "id": "groq",
        "base_url": "https://proxy.example/groq",
        "routable": True,
    }
    assert offer == {"t": "offer", "provider": "openai", "model": "gpt-5.4", "max_output": 1000}


def test_the_sandbox_beside_real_providers_is_asked_for(read):
    assert not read("", OPENAI_API_KEY="a").sandbox.enabled
    assert read("[sandbox]\nenabled = true\n", OPENAI_API_KEY="a").sandbox.enabled
    assert not read("[sandbox]\nenabled = false\n").sandbox.enabled
    local = '[provider.mine]\nbase_url = "http://127.0.0.1:1/v1"\n'
    assert not read(local).sandbox.enabled
    assert json.loads(read(local).core_config())["keys"] == {"mine": [""]}


# One mistake a row: (what to replace in the contract, by what, line, key, a word of the mend).
MISTAKES = [
    ("port = 4020", "prot = 4020", 3, "server.prot", "port"),
    ("port = 4020", 'port = "4020"', 3, "server.port", ""),
    ("port = 4020", "port = 70000", 3, "server.port", ""),
    ("port = 4020", "workers = 2", 3, "server.workers", ""),
    ("[routing]", "[rooting]", 4, "rooting", "routing"),
    ('mode = "balanced"', 'mode = "cheap"', 5, "routing.mode", "balanced, cost, quality, speed"),
    ("[server]", 'mode = "cost"\n[server]', 1, "mode", "[routing]"),
    ("[provider.acme]", '[provider."a b"]', 6, "provider.a b", "letters"),
    ('dialect = "openai"', 'dialect = "klingon"', 7, "provider.acme.dialect", "openai"),
    ("http://127.0.0.1:9100/v1", "http://10.0.0.1/v1", 8, "provider.acme.base_url", "insecure"),
    ("http://127.0.0.1:9100/v1", "https://u:p@h/v1", 8, "provider.acme.base_url", "api_key_env"),
    ("http://127.0.0.1:9100/v1", "https://h/v1?key=1", 8, "provider.acme.base_url", "path"),
    ("http://127.0.0.1:9100/v1", "ftp://h/v1", 8, "provider.acme.base_url", "https"),
    ("api_key_env", "api_key_evn", 9, "provider.acme.api_key_evn", "api_key_env"),
    ('api_key_env = "ACME_API_KEY"', 'api_key_file = "none"', 9, "provider.acme.api_key_file", ""),
    ('"inference"', '"lup"', 10, "provider.acme.hardware", "lpu"),
    ('provider = "acme"', 'provider = "acne"', 13, "model[0].provider", "[provider.acne]"),
    ('"2.50"', "2.50", 15, "model[0].input_usd_per_mtok", '"2.50"'),
    ('"15"', "15", 16, "model[0].output_usd_per_mtok", '"2.50"'),
    ('"2.50"', '"2,50"', 15, "model[0].input_usd_per_mtok", "decimal digits"),
    ('"2.50"', '"0.0000001"', 15, "model[0].input_usd_per_mtok", "six"),
    ('output_usd_per_mtok = "15"\n', "", 11, "model[0].output_usd_per_mtok", "add"),
    ("context = 200000", "context = -1", 17, "model[0].context", ""),
    ("tools = true", "tools = 1", 19, "model[0].tools", ""),
    ("capability = 80", "capability = 101", 22, "model[0].capability", ""),
    ("capability = 80", "capability = {codng = 1}", 22, "model[0].capability.codng", "coding"),
    ("capability = 80", "capability = {}", 22, "model[0].capability", "80"),
    ('id = "acme-large"\n', "", 11, "model[0].id", "add id"),
    ('id = "acme-large"', 'id = "acme/../x"', 12, "model[0].id", ""),
    ("[[model]]", "[model]", 11, "model", "[[model]]"),
    ('key_env = "TEAM_A_KEY"', "", 25, "tenant[0]", "key_env"),
    ('key_env = "TEAM_A_KEY"', 'key_sha256 = "abc"', 27, "tenant[0].key_sha256", "64"),
    ('host = "127.0.0.1"', "host = = 1", 2, None, "key = value"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "mend"), MISTAKES)
def test_a_mistake_is_told_with_file_line_key_and_mend(read, old, new, line, key, mend):
    assert old in CONTRACT
    error = refused(read, CONTRACT.replace(old, new, 1))
    assert (error.line, error.key) == (line, key)
    assert error.file is not None
    assert error.file.endswith("p402.toml")
    assert mend in (error.mend or "")
    assert f"p402.toml:{line}" in error.block()


def test_without_tenants_only_this_machine_is_served(read):
    error = refused(read, '[server]\nhost = "0.0.0.0"\n')
    assert error.line == 2
    assert "allow_open" in (error.mend or "")
    assert read('[server]\nhost = "0.0.0.0"\nallow_open = true\n').open
    for host in ("localhost", "127.0.0.9", "::1"):
        assert read(f'[server]\nhost = "{host}"\n').server.host == host
    keyed = '[server]\nhost = "0.0.0.0"\n[[tenant]]\nid = "a"\nkey_env = "A"\n'
    assert not read(keyed, A="k").open


def test_the_command_line_rules_over_environment_over_file(write):
    file = write("[server]\nport = 1111\n")
    assert load(file, env={}).server.port == 1111
    assert load(file, env={"P402_PORT": "2222"}).server.port == 2222
    assert load(file, env={"P402_PORT": "2222"}, port=3333).server.port == 3333
    assert load(env={"P402_CONFIG": str(file)}).server.port == 1111
    with pytest.raises(SettingsError, match="cannot be read"):
        load(env={"P402_CONFIG": str(file) + ".gone"})


def test_an_unset_tenant_key_warns_and_does_not_open(read):
    settings = read('[[tenant]]\nid = "a"\nkey_env = "NOT_SET"\n')
    assert not settings.open
    assert any("NOT_SET" in warning for warning in settings.warnings)


def test_tenants_carry_their_own_wishes_to_the_core(read):
    settings = read(
        '[[tenant]]\nid = "a"\nkey_env = ["A1", "A2"]\nmode = "cost"\nmodels_deny = ["gpt-*"]\n'
        'route_default = "pin"\ncost_details = true\n',
        A1="k1",
        A2="k2",
    )
    assert len(settings.tenants[0].digests) == 2
    assert json.loads(settings.core_config())["tenants"] == [
        {
            "id": "a",
            "mode": "cost",
            "route_default": "pin",
            "models_deny": ["gpt-*"],
            "cost_details": True,
        }
    ]


def test_two_tenants_cannot_share_a_key(read):
    text = '[[tenant]]\nid = "a"\nkey_env = "A"\n[[tenant]]\nid = "b"\nkey_env = "B"\n'
    assert refused(read, text, A="same", B="same").line == 4


def test_keys_come_from_a_file_beside_the_configuration(read, tmp_path):
    (tmp_path / "keys").write_text("one\n\ntwo\n")
    settings = read('[provider.openai]\napi_key_file = "keys"\n')
    assert json.loads(settings.core_config())["keys"] == {"openai": ["one", "two"]}


def test_a_literal_key_is_taken_with_a_warning(read):
    settings = read('[provider.openai]\napi_key = ["one", "two"]\n')
    assert json.loads(settings.core_config())["keys"] == {"openai": ["one", "two"]}
    assert any("api_key_env" in warning for warning in settings.warnings)


def test_a_key_that_no_header_can_carry_is_refused():
    with pytest.raises(SettingsError) as caught:
        load(env={"OPENAI_API_KEY": f"{SECRET}\r\nx-evil: 1"})
    assert caught.value.key == "OPENAI_API_KEY"
    assert SECRET not in str(caught.value) + caught.value.block()


def test_no_text_form_of_the_settings_shows_a_key(read):
    text = f'[provider.openai]\napi_key = "{SECRET}"\n[[tenant]]\nid = "a"\nkey_env = "A"\n'
    settings = read(text, A=SECRET + "a", GROQ_API_KEY=SECRET + "g")
    shown = repr(settings) + str(settings) + repr(settings.providers) + str(settings.warnings)
    assert SECRET not in shown
    with pytest.raises(TypeError):
        pickle.dumps(settings.providers[0].keys[0])


def test_a_mistake_beside_a_key_does_not_show_the_key(read):
    for line in (f"api_key = [1, '{SECRET}']", f"api_kye = '{SECRET}'", f"api_key = '{SECRET}"):
        error = refused(read, f"[provider.openai]\n{line}\n")
        assert SECRET not in str(error) + error.block()


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://api.example/v1/", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000", True),
        ("http://127.9.9.9/v1", True),
        ("http://example/v1", False),
        ("http://127.0.0.1.evil.example/v1", False),
        ("https:///v1", False),
        ("https://h/v1#x", False),
        ("https://h/v 1", False),
        ("https://h/v1\n", False),
        ("https://{resource}.h/v1", False),
        ("https://h/v1/chat/completions", False),
        ("//h/v1", False),
    ],
)
def test_base_urls(url, fits):
    if fits:
        assert checked_base_url(url, insecure=False) == url.rstrip("/")
    else:
        with pytest.raises(BadValueError):
            checked_base_url(url, insecure=False)


def test_insecure_is_said_aloud(read):
    text = '[provider.lan]\nbase_url = "http://10.0.0.5/v1"\n'
    assert "insecure = true" in (refused(read, text).mend or "")
    assert read(text + "insecure = true\n").providers[0].id == "lan"


def test_lines_of_keys_in_every_form_of_toml():
    text = (
        "# comment [not] = a table\n"
        'a = """one\n'
        "[two]\n"
        '"""\n'
        "b.c = '''\n"
        "x = 1\n"
        "'''\n"
        '"quoted = key" = [ # here\n'
        "  1,\n"
        '  { d = "]", "e" = [2] },\n'
        "]\n"
        "[t . 'u v']\n"
        'f = "\\"#"\n'
        "[[r]]\n"
        "g = 1\n"
        "[r.s]\n"
        "h = 2\n"
        "[[r]]\n"
        "g = 3\n"
    )
    tomllib.loads(text)
    lines = key_lines(text)
    expected = {
        ("a",): 2,
        ("b", "c"): 5,
        ("quoted = key",): 8,
        ("quoted = key", 0): 9,
        ("quoted = key", 1, "d"): 10,
        ("quoted = key", 1, "e", 0): 10,
        ("t", "u v"): 12,
        ("t", "u v", "f"): 13,
        ("r", 0): 14,
        ("r", 0, "g"): 15,
        ("r", 0, "s", "h"): 17,
        ("r", 1): 18,
        ("r", 1, "g"): 19,
    }
    assert {path: lines[path] for path in expected} == expected


_names = st.text("abcdef", min_size=1, max_size=3)
_scalars = st.one_of(
    st.integers(0, 99).map(str),
    st.text("ab#[]{}=,.'", max_size=6).map(json.dumps),
    st.text("ab#[]\n=", max_size=6).map(lambda text: f"'''{text}x'''"),
    st.lists(st.integers(0, 9), max_size=3).map(
        lambda items: "[\n" + ",\n".join(map(str, items)) + "]"
    ),
)


@given(st.lists(st.tuples(_names, _scalars), max_size=8, unique_by=lambda pair: pair[0]))
def test_each_line_found_is_the_line_written(pairs):
    text, expected = "", {}
    for name, value in pairs:
        expected[(name,)] = text.count("\n") + 1
        text += f"{name} = {value}\n"
    assert set(tomllib.loads(text)) == {name for name, _ in pairs}
    lines = key_lines(text)
    assert {path: lines[path] for path in expected} == expected


def test_azure_is_addressed_by_deployment_where_a_version_is_stated(tmp_path: Path):
    file = tmp_path / "p402.toml"
    file.write_text('[provider.azure]\napi_version = "2024-10-21"\n')
    env = {"AZURE_API_KEY": "k", "AZURE_RESOURCE_NAME": "mine"}
    record = next(r for r in load(file, env=env).records if r["t"] == "provider")
    wanted = "https://mine.openai.azure.com/openai/deployments/{deployment}?api-version=2024-10-21"
    assert record["base_url"] == wanted
    file.write_text('[provider.azure]\napi_version = "latest"\n')
    with pytest.raises(SettingsError, match="is no version"):
        load(file, env=env)
