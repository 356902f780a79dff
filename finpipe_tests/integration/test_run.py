from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys

from finpipe.orchestration.workspace import Workspace
from finpipe.settings import CONFIG_NAME
from finpipe_tests.demo_home import TEST_YEARS, VARIANT, environment, finpipe
from finpipe_tests.integration.whole_graph import usual_of_the_database


def file_hash(path):
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def test_a_first_run_makes_every_asset_and_says_so(demo_home):
    record = demo_home.first_run
    keys = set(usual_of_the_database())
    assert {name.partition("[")[0] for name in record["materialized"]} == keys
    assert len(set(record["materialized"])) == len(record["materialized"])
    assert f"krx/performance_report[{VARIANT}]" in record["materialized"]
    assert f"krx/yearly_predictions[{TEST_YEARS[0]}|{VARIANT}]" in record["materialized"]
    assert (record["skipped"], record["failed"], record["blocked"]) == ([], {}, [])
    assert set(record["seconds"]) == set(record["materialized"])
    assert all(seconds >= 0 for seconds in record["seconds"].values())
    assert 100 < record["peak_rss_mb"] < 8_000


def test_a_second_run_makes_nothing(own_home):
    done = finpipe("run", "--home", own_home.home, "--json")
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["materialized"] == []
    assert sorted(record["skipped"]) == sorted(demo_names(own_home))
    assert record["seconds"] == {}
    assert record["peak_rss_mb"] > 0
    assert "Traceback" not in done.stderr


def demo_names(home):
    with Workspace(home.settings()) as workspace:
        usual = workspace.graph.usual_keys
        return [
            name
            for status in workspace.statuses()
            for key, name in zip(status.stage.outputs, status.names, strict=True)
            if key in usual
        ]


def test_a_run_without_json_says_that_there_is_nothing_to_do(own_home, say):
    said = say("run", "--home", own_home.home)
    assert said.status == 0
    assert "nothing to do" in said.err
    assert all(str(year) in said.out for year in TEST_YEARS)
    assert "rank IC" in said.out
    assert str(own_home.home / "store" / "krx" / "performance_report" / f"{VARIANT}.html") in said.err


def test_only_makes_the_asset_and_what_it_needs(own_home, say):
    (own_home.home / "store" / "krx" / "universe.parquet").unlink()
    (own_home.home / "store" / "krx" / "rolling_beta.parquet").unlink()
    record = say("run", "--home", own_home.home, "--only", "krx/universe", "--json").record
    assert record["materialized"] == ["krx/universe"]
    assert set(record["skipped"]) == {"krx/daily_prices", "krx/stocks", "krx/technical_features"}
    several = ("--only", "krx/residual_returns", "--only", "krx/filings")
    record = say("run", "--home", own_home.home, *several, "--json").record
    assert record["materialized"] == ["krx/rolling_beta"]


def test_years_limit_what_is_made(own_home, say):
    for year in TEST_YEARS[:2]:
        (own_home.home / "store" / "krx" / "yearly_predictions" / str(year) / f"{VARIANT}.parquet").unlink()
    chosen = ("--only", "krx/yearly_predictions", "--years", "2022")
    record = say("run", "--home", own_home.home, *chosen, "--json").record
    assert record["materialized"] == [f"krx/yearly_predictions[2022|{VARIANT}]"]
    assert not [name for name in record["skipped"] if "2023" in name or "2024" in name]


def test_a_study_beside_another_shares_all_but_its_own(own_home, say):
    arguments = ("--horizon", "5", "--years", "2024", "--only", "krx/yearly_predictions", "--json")
    made = say("run", "--home", own_home.home, *arguments).record["materialized"]
    assert "krx/yearly_predictions[2024|top_n-h5]" in made
    assert all(name.endswith("top_n-h5]") for name in made)


def test_the_users_database_is_only_read(demo_home, tmp_path, say):
    own = demo_home.copy_with_database(tmp_path)
    before = file_hash(own.database)
    assert say("run", "--home", own.home, "--json").status == 0
    (own.home / "store" / "krx" / "daily_prices.parquet").unlink()
    (own.home / "store" / "krx" / "filings.parquet").unlink()
    made = say("run", "--home", own.home, "--json").record["materialized"]
    assert made == ["krx/daily_prices", "krx/filings"]
    assert file_hash(own.database) == before
    assert sorted(path.name for path in own.database.parent.iterdir()) == [CONFIG_NAME, own.database.name]


def test_progress_names_every_asset_with_rows_and_seconds(own_home, say):
    (own_home.home / "store" / "krx" / "universe.parquet").unlink()
    said = say("run", "--home", own_home.home, "--only", "krx/universe")
    assert re.search(r"✓ krx/universe +[\d,]+ rows +\d+\.\d s", said.err)
    assert "1 made, 3 fresh already; peak memory" in said.err


def test_help_does_not_wait_for_what_only_runs_need():
    program = (
        "import sys; from finpipe import cli; sys.argv = ['finpipe', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "heavy = {'dagster', 'polars', 'pandas', 'duckdb', 'lightgbm', 'numba', 'pyarrow', 'plotly', 'scipy'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment({}), capture_output=True, text=True, check=True
    )
    assert "loaded: []" in done.stdout
    verbs = ("demo", "run", "status", "export", "backfill", "picks", "database", "report", "presets")
    assert all(verb in done.stdout for verb in verbs)
