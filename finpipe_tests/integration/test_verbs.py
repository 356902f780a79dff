"""The verbs that stand around a run: backfill, picks, report, presets, settings, graph."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import polars as pl
import pytest

from finpipe.settings import Settings
from finpipe_tests.demo_home import VARIANT, environment


def test_a_backfill_skips_years_that_are_done_unless_forced(own_home, say):
    record = say("backfill", "--home", own_home.home, "--years", "2023-2024", "--json").record
    assert record["materialized"] == []
    assert f"krx/yearly_ranker[2023|{VARIANT}]" in record["skipped"]
    assert not [name for name in record["skipped"] if "2022" in name]
    before = (own_home.home / "store" / "krx" / "yearly_ranker" / "2024" / f"{VARIANT}.txt").read_bytes()
    record = say("backfill", "--home", own_home.home, "--years", "2024", "--force", "--json").record
    assert record["materialized"] == [
        f"krx/yearly_ranker[2024|{VARIANT}]",
        f"krx/yearly_predictions[2024|{VARIANT}]",
    ]
    after = (own_home.home / "store" / "krx" / "yearly_ranker" / "2024" / f"{VARIANT}.txt").read_bytes()
    assert after == before


def test_a_backfill_resumes_what_is_not_done(own_home, say):
    shutil.rmtree(own_home.home / "store" / "krx" / "yearly_ranker" / "2022")
    record = say("backfill", "--home", own_home.home, "--years", "2022-2024", "--json").record
    assert record["materialized"] == [f"krx/yearly_ranker[2022|{VARIANT}]"]


@pytest.mark.parametrize(
    ("years", "message"),
    [
        ("2024-2022", "is empty: the first year is after the last"),
        ("soon", "'soon' is not of the form 2018-2024 or 2020,2022"),
        ("2019-2024", "test year(s) 2019, 2020, 2021 cannot be tested: the data run from 2019-01-02"),
        ("2031", "possible: 2022, 2023, 2024"),
    ],
)
def test_years_that_cannot_be_tested_are_named(own_home, say, years, message):
    said = say("backfill", "--home", own_home.home, "--years", years)
    assert said.status == 1
    assert message in said.err


def test_picks_are_shown_and_written(own_home, say, tmp_path):
    said = say("picks", "--home", own_home.home, "--out", tmp_path / "picks.csv")
    assert said.status == 0
    picks = pl.read_csv(tmp_path / "picks.csv", schema_overrides={"stock_code": pl.String})
    buy = picks.filter(pl.col("list") == "buy")
    assert buy.height == 20
    assert buy["rank"].to_list() == sorted(buy["rank"])
    assert buy["weight"].sum() == pytest.approx(1, abs=1e-6)
    assert set(buy["stock_code"]) <= set(said.out.split())


def test_the_report_is_named_and_copied(demo_home, say, tmp_path):
    page = demo_home.home / "store" / "krx" / "performance_report" / f"{VARIANT}.html"
    assert say("report", "--home", demo_home.home).err == f"report: {page}\n"
    copy = tmp_path / "sheet.html"
    assert say("report", "--home", demo_home.home, "--out", copy).err == f"report: {copy}\n"
    assert copy.read_bytes() == page.read_bytes()


def test_a_report_that_was_never_made_is_said_with_how_to_make_it(demo_home, say, tmp_path):
    said = say("report", "--home", tmp_path / "new")
    assert said.status == 1
    assert "`finpipe run" in said.err
    said = say("report", "--home", demo_home.home, "--preset", "v43", "--out", tmp_path / "x.html")
    assert said.status == 1
    assert "v43" in said.err
    assert not (tmp_path / "x.html").exists()


def test_presets_are_data_with_the_users_own_changes(demo_home, say):
    found = json.loads(say("presets", "--home", demo_home.home, "--json").out)
    assert set(found) >= {"quintile", "top_n", "qepm", "v4", "v42", "v43", "v5"}
    assert found["top_n"]["ranker"]["rounds"] == 60
    assert "rounds" not in found["quintile"]["ranker"]
    assert found["quick"]["rules"] == found["quintile"]["rules"]
    shown = say("presets", "--home", demo_home.home).out
    assert all(name in shown for name in found)
    assert str(demo_home.database.with_name("finpipe.toml")) in shown


def test_one_preset_is_shown_with_every_parameter(demo_home, say):
    found = json.loads(say("presets", "v43", "--home", demo_home.home, "--json").out)
    shown = say("presets", "v43", "--home", demo_home.home).out
    assert found["preset"] == "v43"
    assert all(name in shown for name in (*found["rules"], *found["ranker"]))


def test_settings_are_shown_with_variable_value_and_meaning(demo_home, say, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("FINPIPE_MIN_PRICE", "1234")
    said = say("settings", "--home", demo_home.home)
    assert all(f"FINPIPE_{name.upper()}" in said.out for name in Settings.model_fields)
    assert "1234" in said.out
    assert "universe: lowest closing price, KRW" in said.out


def test_the_graph_is_drawn_with_every_asset(say, tmp_path):
    out = tmp_path / "graph.svg"
    assert say("graph", "--out", out).status == 0
    text = " ".join(ET.parse(out).getroot().itertext())  # noqa: S314 our own drawing
    assert all(
        name in text for name in ("daily_prices", "training_panel", "yearly_ranker", "performance_report")
    )


@pytest.mark.parametrize(
    "verb", ["demo", "run", "backfill", "status", "export", "picks", "report", "presets", "settings", "ui"]
)
def test_every_verb_explains_itself(say, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = say(verb, "--help")
    assert said.status == 0
    assert "--home" in said.out
    if verb != "settings":
        assert "Example" in said.out
        assert f"finpipe {verb}" in said.out


@pytest.mark.parametrize(("arguments", "status"), [(["features"], 0), (["features", "--none"], 2)])
def test_a_process_says_everything_does_what_is_due_and_ends_with_its_status(arguments, status):
    program = "import atexit; atexit.register(print, 'the end'); from finpipe.cli import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment({}),
        check=False,
    )
    said = done.stdout.splitlines()
    assert (done.returncode, said[-1]) == (status, "the end"), done.stderr
    assert "--none" in done.stderr if status else "rolling_beta" in done.stdout
