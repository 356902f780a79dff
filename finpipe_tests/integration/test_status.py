from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from finpipe.console import terminal
from finpipe.orchestration.provenance import node_name
from finpipe_tests.demo_home import TEST_YEARS, VARIANT


@pytest.fixture
def states(say):
    """What ``status --json`` says of each node of a home."""

    def run(home, *more):
        said = say("status", "--home", home.home, *more, "--json")
        return {node_name(entry["asset"], entry["partition"]): entry for entry in json.loads(said.out)}

    return run


def test_a_finished_home_is_fresh_with_rows_sizes_and_times(demo_home, states):
    found = states(demo_home)
    made = demo_home.first_run["materialized"]
    assert {name for name, entry in found.items() if entry["state"] == "fresh"} == set(made)
    for name in made:
        entry = found[name]
        assert entry["reasons"] == []
        assert entry["seconds"] >= 0
        written = datetime.fromtimestamp(entry["materialized_at"], tz=UTC)
        assert timedelta(0) < datetime.now(UTC) - written < timedelta(days=1)
    universe = found["krx/universe"]
    assert universe["rows"] > 10_000
    assert universe["path"] == str(demo_home.home / "store" / "krx" / "universe.parquet")
    assert universe["size"] == (demo_home.home / "store" / "krx" / "universe.parquet").stat().st_size
    assert found[f"krx/performance[{VARIANT}]"]["rows"] > 50


def test_the_table_has_a_line_for_every_asset(demo_home, say):
    said = say("status", "--home", demo_home.home)
    assert said.status == 0
    lines = {
        line.split()[0].partition("[")[0]: line for line in said.out.splitlines() if line.startswith("krx/")
    }
    assert set(lines) >= {name.partition("[")[0] for name in demo_home.first_run["materialized"]}
    assert "fresh" in lines["krx/universe"]


def test_a_home_that_is_empty_is_missing_everything(say, tmp_path):
    said = say("status", "--home", tmp_path / "new", "--json")
    found = json.loads(said.out)
    assert found
    assert {entry["state"] for entry in found} == {"missing"}
    assert {entry["rows"] for entry in found} == {None}


@pytest.mark.parametrize(
    ("variable", "value", "reader", "spared"),
    [
        ("FINPIPE_DELISTING_RETURN", "-0.25", "krx/forward_returns", "krx/universe"),
        ("FINPIPE_RISK_FREE", "0.02", f"krx/performance[{VARIANT}]", f"krx/backtest[{VARIANT}]"),
        ("FINPIPE_MIN_PRICE", "2000", "krx/universe", "krx/technical_features"),
        ("FINPIPE_EMBARGO_DAYS", "9", f"krx/yearly_ranker[{TEST_YEARS[0]}|{VARIANT}]", "krx/training_panel"),
    ],
)
def test_a_setting_is_named_by_what_reads_it(demo_home, states, monkeypatch, variable, value, reader, spared):
    monkeypatch.setenv(variable, value)
    found = states(demo_home)
    setting = variable.removeprefix("FINPIPE_").lower()
    assert found[reader]["state"] == "stale"
    assert [why for why in found[reader]["reasons"] if why.startswith(f"setting {setting}: ")]
    assert found[spared]["state"] == "fresh"


def test_settings_about_place_and_speed_make_nothing_stale(demo_home, states, monkeypatch):
    monkeypatch.setenv("FINPIPE_THREADS", "7")
    monkeypatch.setenv("FINPIPE_WORKERS", "3")
    stale = [entry for entry in states(demo_home).values() if entry["state"] == "stale"]
    assert stale == []


def test_rows_that_change_in_one_table_make_only_its_reader_stale(demo_home, tmp_path, states):
    own = demo_home.copy_with_database(tmp_path)
    with sqlite3.connect(own.database) as connection:
        connection.execute("UPDATE stocks SET current_name = current_name || ' 지주' WHERE rowid = 1")
    connection.close()
    stale = {name: entry["reasons"] for name, entry in states(own).items() if entry["state"] == "stale"}
    assert stale == {"krx/stocks": ["krx/source/stocks changed"]}


def test_a_file_that_is_gone_is_missing_and_one_that_is_altered_too(own_home, states):
    store = own_home.home / "store" / "krx"
    (store / "universe.parquet").unlink()
    report = store / "performance_report" / f"{VARIANT}.html"
    altered = report.read_bytes() + b" "
    report.unlink()
    report.write_bytes(altered)
    found = states(own_home)
    assert found["krx/universe"]["state"] == found[f"krx/performance_report[{VARIANT}]"]["state"] == "missing"
    (lost,) = found["krx/universe"]["reasons"]
    assert lost == f"krx/universe is not as it was stored: {store / 'universe.parquet'} is missing"
    assert found["krx/stocks"]["state"] == "fresh"


def test_a_file_altered_in_place_is_found_by_verify_and_made_again(own_home, states, say):
    panel = own_home.home / "store" / "krx" / "macro_features.parquet"
    content = panel.read_bytes()
    middle = len(content) // 2
    panel.unlink()  # the file is linked from the home that all tests share
    panel.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    assert {entry["state"] for entry in states(own_home).values()} == {"fresh"}
    verified = states(own_home, "--verify")
    (altered,) = [entry for entry in verified.values() if entry["state"] != "fresh"]
    assert altered["state"] == "missing"
    assert altered["reasons"] == [f"krx/macro_features is not as it was stored: {panel} was altered"]
    record = say("run", "--home", own_home.home, "--verify", "--json").record
    assert record["materialized"] == ["krx/macro_features"]
    assert panel.read_bytes() == content
    assert {entry["state"] for entry in states(own_home, "--verify").values()} == {"fresh"}


def test_why_explains_one_asset_in_words(demo_home, say, monkeypatch):
    said = say("status", "--home", demo_home.home, "--why", "krx/universe")
    assert said.out.strip() == "krx/universe is fresh"
    monkeypatch.setenv("FINPIPE_MIN_PRICE", "2000")
    said = say("status", "--home", demo_home.home, "--why", "krx/universe")
    assert said.out.splitlines() == ["krx/universe is stale", "  setting min_price: 1000.0 → 2000.0"]


def test_why_takes_a_partition_as_the_table_names_it(demo_home, say):
    named = f"krx/yearly_ranker[2023|{VARIANT}]"
    assert say("status", "--home", demo_home.home, "--why", named).out == f"{named} is fresh\n"
    said = say("status", "--home", demo_home.home, "--why", "krx/yearly_ranker[1999]")
    assert said.status == 1
    assert "krx/yearly_ranker has no partition '1999'; there are 2022" in said.err
    assert "name it alone" in say("status", "--home", demo_home.home, "--why", "krx/universe[2023]").err


def test_lines_fit_80_columns_with_why_beneath(demo_home, say, monkeypatch):
    monkeypatch.setattr(terminal.out, "_width", 80)
    monkeypatch.setenv("FINPIPE_MIN_PRICE", "2000")
    lines = say("status", "--home", demo_home.home).out.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    (at,) = [number for number, line in enumerate(lines) if line.startswith("krx/universe ")]
    assert lines[at].split()[:2] == ["krx/universe", "stale"]
    assert lines[at + 1] == "    setting min_price: 1000.0 → 2000.0"
    assert not any("setting" in line for line in lines[:at])


def test_why_of_an_unknown_asset_names_those_that_there_are(demo_home, say):
    said = say("status", "--home", demo_home.home, "--why", "krx/nothing")
    assert said.status == 1
    assert "there is no asset 'krx/nothing'" in said.err
    assert "krx/universe" in said.err


def test_status_changes_nothing(own_home, say):
    def contents():
        return {
            path: path.stat().st_mtime_ns
            for path in own_home.home.rglob("*")
            if path.is_file() and "dagster" not in path.parts and path.name != "fingerprints.json"
        }

    before = contents()
    say("status", "--home", own_home.home)
    assert contents() == before
