"""Decides whether the ledger's commands tell the truth about a data directory, to the nano-dollar.

Does not trust the core's writer: the rows are written here, by the published layout.
"""

from __future__ import annotations

import fcntl
import json
from decimal import Decimal
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from p402.cli import main
from tests.foreign import sql
from tests.ledger_rows import DAY, DAY_US, Row, request, write

HOUR_US = 3_600_000_000
CACHED = 1 << 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two days, two tenants, a cache hit, a release, a correction, and one request that is open."""
    rows = [
        *request(Row("settle", 1, cost=1_250, direct=5_000, tokens=(100, 7, 20, 5)), held=9_000),
        *request(
            Row("settle", 2, cost=3, wasted=4, direct=1, model='a "b", c', provider="groq"),
            held=50,
        ),
        Row("settle", 3, flags=CACHED, direct=77, tokens=(9, 0, 1, 0), mode="speed"),
        *request(Row("release", 4, wasted=11, tenant="zoë", day=DAY + 1)),
        Row("adjust", 1, cost=-250),
        Row("dispatch", 5, attempt=1, held=600, tenant="zoë", at_us=DAY * DAY_US + HOUR_US),
    ]
    write(tmp_path, rows)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path, ends: int = 0) -> str:
    status = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert status == ends, said.err
    return said.out if ends == 0 or said.out else said.err


def buckets(text: str) -> dict[str, dict[str, object]]:
    return {row["bucket"]: row for row in json.loads(text, parse_float=Decimal)["data"]}


def settle(capsys, folder: Path, *more: str, ends: int = 0) -> str:
    return told(capsys, "ledger", "settle", *more, "--data-dir", folder, ends=ends)


@pytest.mark.parametrize("verb", ["usage", "ledger", "ledger show", "ledger settle"])
def test_help_teaches(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*verb.split(), "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"p402 {verb}" in said.partition("examples:")[2]


def test_usage_sums_integers_by_bucket(folder, capsys):
    ask = ("usage", "--data-dir", folder, "--since", "2026-11-28", "--until", "2026-11-29")
    day = buckets(told(capsys, *ask, "--json"))
    assert list(day) == ["2026-11-28", "2026-11-29"]
    first = day["2026-11-28"]
    assert (first["requests"], first["cached"]) == (3, 1)
    assert (first["input_tokens"], first["output_tokens"]) == (109, 21)
    nano = [int(first[name] * 10**9) for name in ("cost_usd", "direct_cost", "wasted_usd")]
    assert nano == [1_003, 5_078, 4]
    assert first["savings"] == first["direct_cost"] - first["cost_usd"]
    assert set(buckets(told(capsys, *ask, "--json", "--by", "model"))) == {
        "claude-haiku-4-5",
        'a "b", c',
    }
    assert set(buckets(told(capsys, *ask, "--json", "--by", "mode"))) == {"cost", "speed"}
    one = buckets(told(capsys, *ask, "--json", "--by", "provider", "--tenant", "zoë"))
    assert one["anthropic"]["wasted_usd"] == Decimal("0.000000011")
    assert "0.000001003" in told(capsys, *ask)


def test_without_a_folder_the_ledger_is_where_the_gateway_keeps_it(
    folder, tmp_path, capsys, monkeypatch
):
    config = tmp_path / "p402.toml"
    config.write_text(f'[store]\ndata_dir = "{folder}"\n')
    monkeypatch.setenv("P402_CONFIG", str(config))
    named = json.loads(told(capsys, "ledger", "show", "--data-dir", folder, "--json"))
    seen = json.loads(told(capsys, "ledger", "show", "--json"))
    assert (seen["balances"], seen["open"]) == (named["balances"], named["open"])
    monkeypatch.setenv("P402_CONFIG", "")
    monkeypatch.setenv("P402_DATA_DIR", str(folder))
    assert json.loads(told(capsys, "ledger", "show", "--json"))["balances"] == named["balances"]


def test_show_tells_balances_what_is_open_and_one_requests_rows(folder, capsys):
    seen = json.loads(told(capsys, "ledger", "show", "--data-dir", folder, "--json"))
    spent = {(row["tenant"], row["day"]): row["spent_nano"] for row in seen["balances"]}
    assert spent == {("acme", "2026-11-28"): 1_007, ("zoë", "2026-11-29"): 11}
    assert [row["held_nano"] for row in seen["open"]] == [600]
    assert "0.000001007" in told(capsys, "ledger", "show", "--data-dir", folder)
    rid = Row("settle", 1).rid
    rows = json.loads(told(capsys, "ledger", "show", rid, "--data-dir", folder, "--json"))
    assert [row["kind"] for row in rows] == ["dispatch", "settle", "adjust"]
    assert "adjust" in told(capsys, "ledger", "show", rid, "--data-dir", folder)
    nobody = Row("settle", 99).rid
    assert "no request" in told(capsys, "ledger", "show", nobody, "--data-dir", folder, ends=1)


def test_verify_is_clean_until_one_nano_is_wrong(folder, capsys):
    assert "in its place" in told(capsys, "ledger", "verify", "--data-dir", folder)
    settle(capsys, folder, Row("settle", 5).rid)  # the first owner of the directory indexes it

    def change(text: str) -> None:
        sql(folder / "ledger.sqlite", text, writes=True)

    assert "in its place" in told(capsys, "ledger", "verify", "--data-dir", folder)
    change("UPDATE ledger_totals SET spent_nano = spent_nano + 1 WHERE tenant = 'acme'")
    said = told(capsys, "ledger", "verify", "--data-dir", folder, ends=1)
    assert "2026-11-28 acme: rows say 0.000001007, the counter says 0.000001008" in said
    change("UPDATE ledger_totals SET spent_nano = spent_nano - 1 WHERE tenant = 'acme'")
    assert "in its place" in told(capsys, "ledger", "verify", "--data-dir", folder)
    change("UPDATE ledger_usage SET direct_nano = direct_nano + 1 WHERE model LIKE 'a%'")
    said = told(capsys, "ledger", "verify", "--data-dir", folder, ends=1)
    assert "1 sums of what was used are not what rows add up to" in said
    change("UPDATE ledger_usage SET direct_nano = direct_nano - 1 WHERE model LIKE 'a%'")
    change("UPDATE ledger_rows SET cost_nano = cost_nano - 1 WHERE kind = 7")
    seen = json.loads(told(capsys, "ledger", "verify", "--data-dir", folder, "--json", ends=1))
    assert [row["rows_nano"] for row in seen["mismatches"]] == [1_006]
    change("UPDATE ledger_rows SET cost_nano = cost_nano + 1 WHERE kind = 7")
    change("DELETE FROM ledger_rows WHERE kind = 3 AND tenant = 'zoë'")
    said = told(capsys, "ledger", "verify", "--data-dir", folder, ends=1)
    assert "1 requests are open in one place and ended in another" in said


def test_a_row_that_does_not_read_is_told(folder, capsys):
    segment = next((folder / "journal").glob("*.rows"))
    damaged = bytearray(segment.read_bytes())
    damaged[256 + 60] ^= 1
    segment.write_bytes(damaged)
    said = told(capsys, "ledger", "verify", "--data-dir", folder, ends=1)
    assert "1 segments hold rows that do not read" in said


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_export_lays_rows_out_by_hour_and_tenant(folder, capsys, tmp_path, form):
    out = tmp_path / "out"
    said = told(capsys, "ledger", "export", "--data-dir", folder, "--out", out, "--format", form)
    assert said.startswith("9 rows")
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("rows.*"))
    assert files == [f"day=2026-11-28/hour=0{hour}/rows.{form}" for hour in (0, 1)]
    read = {"csv": pyarrow.csv.read_csv, "parquet": pyarrow.parquet.read_table}[form]
    rows = read(out / files[0]).to_pylist()
    tenants = [row["tenant"] for row in rows]
    assert tenants == sorted(tenants)
    assert len(rows) == 8
    assert {row["model"] for row in rows} == {"claude-haiku-4-5", 'a "b", c'}
    assert sum(row["cost_nano"] for row in rows) == 1_003


def test_verify_compares_the_exported_files_to_the_nano(folder, capsys, tmp_path):
    out = tmp_path / "out"
    told(capsys, "ledger", "export", "--data-dir", folder, "--out", out)
    verify = ("ledger", "verify", "--data-dir", folder, "--parquet", out)
    assert "in its place" in told(capsys, *verify)
    path = out / "day=2026-11-28/hour=00/rows.parquet"
    table = pyarrow.parquet.read_table(path)
    at = table.schema.get_field_index("wasted_nano")
    wasted = table.column("wasted_nano").to_pylist()
    wasted[-1] += 1
    pyarrow.parquet.write_table(table.set_column(at, "wasted_nano", [wasted]), path)
    assert "zoë 2026-11-29: the ledger says 11, the file 12" in told(capsys, *verify, ends=1)
    assert "no Parquet file" in told(
        capsys, "ledger", "verify", "--data-dir", folder, "--parquet", tmp_path / "no", ends=1
    )


def test_days_bound_an_export(folder, capsys, tmp_path):
    ask = ("ledger", "export", "--data-dir", folder, "--out", tmp_path / "out", "--format", "csv")
    assert told(capsys, *ask, "--since", "2026-11-28").startswith("9 rows")
    assert told(capsys, *ask, "--since", "2026-11-29").startswith("0 rows")
    assert "no day" in told(capsys, *ask, "--since", "yesterday", ends=2)


def test_settle_ends_what_is_open_and_corrects_what_has_ended(folder, capsys):
    rid = Row("settle", 5).rid
    assert "settle, 0.0000006 USD" in settle(capsys, folder, rid)
    assert "true cost" in settle(capsys, folder, rid, ends=2)
    row = json.loads(settle(capsys, folder, rid, "--cost-usd", "0.0000001", "--json"))
    assert (row["kind"], row["cost_nano"], row["attempt"]) == ("adjust", -500, 0)
    assert "already" in settle(capsys, folder, rid, "--cost-usd", "0.0000001", ends=2)
    row = json.loads(settle(capsys, folder, rid, "--cost-usd", "0.0000002", "--json"))
    assert (row["cost_nano"], row["attempt"]) == (100, 1)
    seen = json.loads(told(capsys, "ledger", "show", "--data-dir", folder, "--json"))
    assert {"tenant": "zoë", "day": "2026-11-28", "spent_nano": 200} in seen["balances"]
    assert seen["open"] == []
    assert "in its place" in told(capsys, "ledger", "verify", "--data-dir", folder)
    for bad in (["nonsense"], [rid, "--cost-usd", "1e400"], [rid, "--cost-usd", "-1"]):
        settle(capsys, folder, *bad, ends=2)


def test_settle_leaves_other_open_requests_alone(folder, capsys):
    write(folder, [Row("dispatch", 6, attempt=1, held=1), Row("dispatch", 7, attempt=1, held=1)], 2)
    settle(capsys, folder, Row("settle", 6).rid)
    seen = json.loads(told(capsys, "ledger", "show", "--data-dir", folder, "--json"))
    assert [row["request_id"] for row in seen["open"]] == [Row("", 5).rid, Row("", 7).rid]


def test_a_directory_in_use_is_read_and_not_written(folder, capsys):
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = settle(capsys, folder, Row("settle", 5).rid, ends=2)
        assert "in use by another p402 process" in said
        assert "in its place" in told(capsys, "ledger", "verify", "--data-dir", folder)


def test_a_directory_without_a_ledger_says_so(capsys, tmp_path):
    said = told(capsys, "ledger", "show", "--data-dir", tmp_path / "nothing", ends=2)
    assert "holds no ledger" in said
    assert not (tmp_path / "nothing").exists()
    assert "holds no ledger" in told(capsys, "usage", "--data-dir", tmp_path, ends=2)


def test_the_address_of_an_index_may_come_from_a_file(folder, capsys, tmp_path):
    address = tmp_path / "address"
    address.write_text("postgres://u:s3cret@127.0.0.1:1/db\n")
    said = told(capsys, "usage", "--data-dir", folder, "--index", f"@{address}", ends=2)
    assert "s3cret" not in said
    address.write_text(f"{tmp_path / 'elsewhere.sqlite'}\n")
    told(capsys, "usage", "--data-dir", folder, "--index", f"@{address}")
