from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import lightgbm
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe.orchestration.workspace import Workspace
from finpipe_tests.demo_home import TEST_YEARS, VARIANT

YEAR = f"{TEST_YEARS[0]}|{VARIANT}"


@pytest.fixture
def export(demo_home, say, tmp_path):
    """Export an asset to a file, and return the file and what was said."""

    def run(asset: str, name: str, *more: object, status: int = 0):
        out = tmp_path / "new folder" / name
        said = say("export", asset, "--home", demo_home.home, "--out", out, *more)
        assert said.status == status, said.err
        return out, said.err

    return run


def test_a_frame_is_the_same_in_every_format(export, demo_home):
    with Workspace(demo_home.settings()) as workspace:
        expected = workspace.frame("krx/universe")
    out, said = export("krx/universe", "universe.parquet")
    assert f"krx/universe: {expected.height:,} row(s) written to {out}" in said
    assert_frame_equal(pl.read_parquet(out), expected)
    out, _ = export("krx/universe", "universe.arrow")
    assert_frame_equal(pl.read_ipc(out), expected)
    out, _ = export("krx/universe", "universe.CSV")
    text = pl.read_csv(out, schema_overrides={"stock_code": pl.String}, try_parse_dates=True)
    assert_frame_equal(
        text.cast(expected.schema), expected.with_columns(pl.col(pl.Float32).round(6)), rel_tol=1e-6
    )
    assert text["stock_code"].str.len_chars().unique().to_list() == [6]
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "universe.CSV",
        "universe.arrow",
        "universe.parquet",
    ]


def test_one_partition_or_all_of_a_frame(export):
    one, _ = export("krx/yearly_predictions", "one.parquet", "--partition", YEAR)
    every, _ = export("krx/yearly_predictions", "all.parquet")
    together = pl.read_parquet(every)
    assert set(together["test_year"]) == set(TEST_YEARS)
    assert_frame_equal(pl.read_parquet(one), together.filter(pl.col("test_year") == TEST_YEARS[0]))


def test_result_tables_are_exported_with_or_without_their_study(export):
    one, _ = export("krx/performance", "one.csv", "--partition", VARIANT)
    every, _ = export("krx/performance", "all.csv")
    figures, together = pl.read_csv(one), pl.read_csv(every)
    assert {"figure", "period", "value", "definition"} <= set(figures.columns)
    assert together["variant"].unique().to_list() == [VARIANT]
    assert together.height == figures.height > 50


def test_a_window_on_the_panel_is_exported_as_a_frame(export):
    out, _ = export("krx/test_window", "window.parquet", "--partition", str(TEST_YEARS[0]))
    window = pl.read_parquet(out)
    assert window["date"].dt.year().unique().to_list() == [TEST_YEARS[0]]
    assert not [name for name in window.columns if name.startswith(("forward_", "realized_", "target_"))]


def test_the_report_is_a_page(export):
    out, _ = export("krx/performance_report", "report.html")
    page = out.read_text("utf-8")
    HTMLParser().feed(page)
    assert page.lstrip().lower().startswith("<!doctype html>")


def test_a_model_is_readable_by_plain_lightgbm(export):
    out, _ = export("krx/yearly_ranker", "model.txt", "--partition", YEAR)
    booster = lightgbm.Booster(model_file=str(out))
    assert booster.num_trees() == 60
    assert np.isfinite(booster.predict(np.zeros((2, booster.num_feature())))).all()


def test_the_parameters_of_a_study_are_data(export):
    out, _ = export("krx/study", "study.json", "--partition", VARIANT)
    study = json.loads(out.read_text("utf-8"))
    assert (study["preset"], study["horizon"], study["rules"]["n"]) == ("top_n", 21, 20)


@pytest.mark.parametrize(
    ("asset", "name", "more", "message"),
    [
        ("krx/universe", "x.xlsx", (), r"exported as \.parquet, \.csv, \.arrow, not as \.xlsx"),
        ("krx/universe", "x", (), r"exported as .*, not as a file without ending"),
        ("krx/universe", "x.html", (), r"exported as \.parquet, \.csv, \.arrow, not as \.html"),
        ("krx/performance_report", "x.csv", (), r"can be exported as \.html, not as \.csv"),
        ("krx/yearly_ranker", "x.parquet", (), r"can be exported as \.txt, not as \.parquet"),
        ("krx/nothing", "x.csv", (), r"there is no asset 'krx/nothing'; there are krx/daily_prices"),
        ("krx/source/stocks", "x.csv", (), r"there is no asset 'krx/source/stocks'"),
        ("krx/performance", "x.csv", ("--partition", "v9-h1"), rf"no partition 'v9-h1'; it has {VARIANT}"),
        ("krx/universe", "x.csv", ("--partition", "2020"), r"krx/universe has no partition"),
        (
            "krx/yearly_ranker",
            "x.txt",
            (),
            r"has 3 partitions \(.*2024\|top_n-h21.*\): choose one with --partition",
        ),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_sentence(export, asset, name, more, message):
    out, said = export(asset, name, *more, status=1)
    assert re.search(message, said), said
    assert said.startswith("error: ")
    assert "Traceback" not in said
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_named(demo_home, say, tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "deep" / "universe.csv"
    said = say("export", "krx/universe", "--home", demo_home.home, "--out", out)
    assert (said.status, said.err) == (1, f"error: {out} cannot be written: Not a directory\n")


def test_an_asset_that_was_never_made_is_said_with_how_to_make_it(say, tmp_path):
    out = tmp_path / "x.csv"
    for asset in ("krx/universe", "krx/picks", "krx/yearly_predictions"):
        said = say("export", asset, "--home", tmp_path / "empty", "--out", out)
        assert said.status == 1
        assert "`finpipe run" in said.err, said.err


def test_a_failed_export_leaves_the_old_file(export, demo_home, say, monkeypatch):
    out, _ = export("krx/universe", "universe.csv")
    before = out.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", fail)
    said = say("export", "krx/universe", "--home", demo_home.home, "--out", out)
    assert said.status == 1
    assert "No space left" in said.err
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["universe.csv"]
