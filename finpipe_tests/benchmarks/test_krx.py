from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finpipe.market.demo import write_demo_market
from finpipe_tests.benchmarks import krx_baseline, krx_finpipe
from finpipe_tests.benchmarks.__main__ import main

TO_THE_PANEL = [
    "daily_prices",
    "filings",
    "technical_features",
    "rolling_beta",
    "sector_features",
    "financial_features",
    "macro_features",
    "universe",
    "forward_returns",
    "training_panel",
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("market") / "krx_stock_data.db"
    write_demo_market(path, stocks=24, days=300)
    return path


def test_both_sides_have_the_same_stages():
    assert list(krx_baseline.STAGES) == list(krx_finpipe.STAGES) == [*TO_THE_PANEL, "backtest"]


def test_the_last_line_is_one_json_object_and_no_difference_is_unexplained(database: Path):
    command = [sys.executable, "-m", "finpipe_tests.benchmarks", "krx", "--database", str(database), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert list(report["stages"]) == [*TO_THE_PANEL, "backtest"]
    for times in (*report["stages"].values(), report["total"]):
        assert times["ratio"] == pytest.approx(times["baseline_s"] / times["finpipe_s"], rel=1e-2)
    total = sum(report["stages"][name]["baseline_s"] for name in TO_THE_PANEL)
    assert report["total"]["baseline_s"] == pytest.approx(total, rel=1e-3)
    assert all(report["peak_rss_mb"][side] > 50 for side in ("baseline", "finpipe"))
    assert report["unexplained"] == []
    assert report["rows"]["rows"] > 3000
    assert "technical_features" in done.stderr


def test_a_wrong_stage_and_an_absent_database_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["krx", "--database", str(tmp_path / "nothing.db")])
    assert "no database at" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["krx", "--database", str(tmp_path / "nothing.db"), "--stages", "betas"])
    assert "unknown stage(s) betas" in capsys.readouterr().err


def test_an_unknown_benchmark_lists_the_known_ones(capsys: pytest.CaptureFixture[str]):
    assert main(["portfolios"]) == 2
    assert "krx" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "krx" in capsys.readouterr().out
