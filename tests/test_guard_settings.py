"""Decides whether what may be spent is read as it is written, and each mistake is told with its
line; and which data directory a gateway takes.

Does not spend anything.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from p402.settings import SettingsError, limits, load
from tests.conftest import run_cli
from tests.serving import Served, free_port

WHOLE = """
[guard]
daily_cap_usd = "250"
in_flight_max = 40
request_cap_usd = "5"
budget_usd = "2000.5"
budget_period = "total"
outage_policy = "fail_closed"
refusal_status = 403
[guard.rate]
limit = 600
per_s = 60
[guard.anomaly]
mode = "block"
floor_usd = "0.02"
[[tenant]]
id = "team-a"
key_env = "TEAM_A"
[tenant.guard]
budget_usd = "none"
rate = { limit = 10 }
[[tenant]]
id = "team-b"
key_env = "TEAM_B"
"""


@pytest.fixture
def read(tmp_path):
    def reading(text, **env):
        file = tmp_path / "p402.toml"
        file.write_text(text)
        return load(file, env=env)

    return reading


def test_a_tenant_rules_over_everybody_key_by_key(read):
    settings = read(WHOLE)
    everybody = limits(settings.guard)
    assert everybody["rate"] == {"limit": 600, "per_s": 60, "burst": 600}
    assert everybody["budget_usd"] == "2000.5"
    assert everybody["anomaly"]["mode"] == "block"
    assert everybody["anomaly"]["z"] == 3.0
    own = limits(settings.guard, settings.tenants[0].guard)
    assert own["rate"] == {"limit": 10, "per_s": 60, "burst": 10}
    assert own == {**everybody, "budget_usd": "none", "rate": own["rate"]}
    core = json.loads(settings.core_config())
    assert core["guard"]["daily_cap_usd"] == "250"
    assert core["tenants"][0]["guard"] == {"budget_usd": "none", "rate": {"limit": 10}}
    assert "guard" not in core["tenants"][1]


def test_nothing_written_is_the_product_page(read):
    told = limits(read("").guard)
    assert told["rate"] == {"limit": 1000, "per_s": 3600, "burst": 1000}
    assert (told["daily_cap_usd"], told["request_cap_usd"]) == ("1000", "50")
    assert (told["in_flight_max"], told["budget_usd"]) == (10, "none")


# One mistake a row: (what is written, line, key, a word of the message or the mend).
MISTAKES = [
    ("[guard]\ndaily_cap_usd = 250", 2, "guard.daily_cap_usd", "float"),
    ('[guard]\ndaily_cap_usd = "-1"', 2, "guard.daily_cap_usd", "decimal digits"),
    ('[guard]\ndaily_cap_usd = "1e400"', 2, "guard.daily_cap_usd", ""),
    ('[guard]\nbudget_usd = "NaN"', 2, "guard.budget_usd", "decimal digits"),
    ('[guard]\nbudget_usd = "9000001"', 2, "guard.budget_usd", "9000000"),
    ("[guard]\nin_flight_max = 257", 2, "guard.in_flight_max", "256"),
    ("[guard]\nin_flight_max = 0", 2, "guard.in_flight_max", "1"),
    ('[guard]\nbudget_period = "week"', 2, "guard.budget_period", "month"),
    ("[guard]\nrefusal_status = 418", 2, "guard.refusal_status", "429"),
    ("[guard]\n[guard.rate]\nlimit = 0", 3, "guard.rate.limit", "1"),
    ("[guard.rate]\nlimt = 5", 2, "guard.rate.limt", "did you mean limit?"),
    ("[guard]\nrate = { limit = 1, per_h = 3 }", 2, "guard.rate.per_h", "per_s"),
    ("[guard]\nanomaly = { floor_usd = 0.5 }", 2, "guard.anomaly.floor_usd", "float"),
    ("[guard]\nslot_lease_s = 5", 1, "guard.renew_every_s", "twice"),
    ("[guard]\ndaily_cap = '3'", 2, "guard.daily_cap", "daily_cap_usd"),
    ('[[tenant]]\nid = "a"\nkey_env = "K"\n[tenant.guard]\nin_flight_max = 0', 5,
     "tenant[0].guard.in_flight_max", "1"),
    ('[ledger]\ndurability = "none"', 2, "ledger.durability", "group"),
    ("[store]\ndeadline_ms = 500", 2, "store.deadline_ms", ""),
    ("daily_cap_usd = '1'", 1, "daily_cap_usd", "[guard]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "key", "word"), MISTAKES)
def test_a_wrong_limit_is_told_with_line_and_mend(read, text, line, key, word):
    with pytest.raises(SettingsError) as raised:
        read(text)
    error = raised.value
    assert (error.line, error.key) == (line, key)
    assert word in error.block()


def test_the_data_directory_is_where_it_was_named(read, tmp_path):
    state = str(tmp_path / "state")
    assert read("", P402_STATE_DIR=state).data_dir == tmp_path / "state" / "data"
    assert read("", XDG_STATE_HOME=state).data_dir == tmp_path / "state" / "p402" / "data"
    assert read("", STATE_DIRECTORY="/var/lib/p402").data_dir.as_posix() == "/var/lib/p402"
    assert read("", P402_DATA_DIR="/x").data_dir.as_posix() == "/x"
    beside = read('[store]\ndata_dir = "books"\n', P402_DATA_DIR="/x")
    assert beside.data_dir == tmp_path / "books"


def test_check_shows_what_may_be_spent(tmp_path):
    config = tmp_path / "p402.toml"
    config.write_text(WHOLE)
    ended = run_cli("check", "--config", str(config), env={"TEAM_A": "a", "TEAM_B": "b"})
    assert ended.returncode == 0, ended.stderr
    assert "everybody" in ended.stdout
    assert "$2000.5 a total" in ended.stdout or "$2000.5" in ended.stdout
    told = json.loads(run_cli("check", "--json", "--config", str(config)).stdout)
    assert told["guard"]["team-a"]["budget_usd"] == "none"
    assert told["store"] == "memory"


def test_a_second_process_is_refused_where_the_directory_was_named(tmp_path):
    config = tmp_path / "p402.toml"
    config.write_text("[sandbox]\nenabled = true\n")
    with Served(config, data_dir=tmp_path / "data") as first:
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "p402", "serve"),
                *("--config", str(config), "--port", str(free_port())),
            ],
            env=first.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode != 0
        assert "in use by another p402 process" in ended.stderr
        assert "[store] data_dir" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert first.child.poll() is None


def test_two_sandboxes_of_one_user_stand_beside_each_other(tmp_path):
    env = {"P402_STATE_DIR": str(tmp_path), "P402_DATA_DIR": ""}
    with Served(env=env) as first, Served(env=env) as second:
        assert "is in use by another p402" not in first.stderr()
        assert "is in use by another p402" in second.stderr()
    assert (tmp_path / "data").is_dir()
