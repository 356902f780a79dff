"""The commands of the portfolio line as they are typed: offline on a file, on the demo market, on a local Yahoo."""

from __future__ import annotations

import json
import sys

import polars as pl
import pytest

from finpipe_tests.portfolio.files import NAMES, SHORT, write_bars
from finpipe_tests.portfolio.sample_bars import REAL
from finpipe_tests.yahoo_server import yahoo_server

LISTED = ",".join(NAMES)
HEAVY = ("skfolio", "sklearn", "statsforecast", "cvxpy", "dagster", "lightgbm", "yfinance")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("commands")
    write_bars(made / "bars.parquet", index=True)
    return made


@pytest.fixture
def ask(say, folder, monkeypatch):
    """A command on the file, in a home that the module shares."""
    monkeypatch.setenv("FINPIPE_HOME", str(folder / "home"))
    monkeypatch.setenv("FINPIPE_BARS", str(folder / "bars.parquet"))
    return say


def last_object(said):
    assert said.status == 0, said.err
    return json.loads(said.out.strip().splitlines()[-1])


def test_a_portfolio_as_a_table_with_report_and_shares(ask, folder):
    said = ask("optimize", "--tickers", f"{LISTED},{SHORT}", "--budget", 100_000, "--risk-free", 0.01)
    assert said.status == 0, said.err
    assert "expected return" in said.out
    assert "spent" in said.out
    assert f"{SHORT}: It has 20 bars" in said.err
    page = folder / "home" / "reports" / "portfolio"
    written = list(page.glob("*-max-sharpe.html"))
    assert len(written) == 1
    assert f"report: {written[0]}" in said.err
    assert "<html" in written[0].read_text(encoding="utf-8")[:500]


def test_the_last_line_of_json_is_one_object(ask, tmp_path):
    found = last_object(
        ask(
            "optimize",
            "--tickers",
            LISTED,
            "--json",
            "--report",
            tmp_path / "page.html",
            "--end",
            "2016-03-31",
        )
    )
    wanted = {"weights", "expected_return", "volatility", "sharpe", "excluded", "seconds"}
    assert wanted <= found.keys()
    assert sum(found["weights"].values()) == pytest.approx(1)
    assert found["as_of"] == "2016-03-31", "the last day is included"
    assert found["report"] == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_options_reach_the_problem(ask):
    arguments = ("optimize", "--tickers", LISTED, "--no-report", "--json")
    found = last_object(
        ask(
            *arguments,
            "--objective",
            "min-volatility",
            "--max-weight",
            0.3,
            "--sector-limit",
            "Energy=0.05:0.1",
        )
    )
    assert max(found["weights"].values()) <= 0.3 + 1e-9
    assert 0.05 - 1e-6 <= found["weights"]["XOM"] <= 0.1 + 1e-6
    assert found["report"] is None
    viewed = last_object(
        ask(*arguments, "--forecast", "black_litterman", "--view", "KO=0.4", "--view", "PEP=-0.1")
    )
    assert viewed["weights"].get("KO", 0) > viewed["weights"].get("PEP", 0)
    assert viewed["request"]["views"] == {"KO": 0.4, "PEP": -0.1}


def test_portfolios_are_saved_compared_and_deleted(ask, tmp_path):
    last_object(ask("optimize", "--tickers", LISTED, "--no-report", "--json", "--save", "mine"))
    listed = last_object(ask("portfolios", "list", "--json"))
    assert [portfolio["id"] for portfolio in listed["portfolios"]] == ["mine"]
    assert "mine" in ask("portfolios", "list").out
    twice = ask("optimize", "--tickers", LISTED, "--no-report", "--save", "mine")
    assert twice.status == 2
    assert "there is a portfolio mine already" in twice.err
    assert ask("optimize", "--tickers", LISTED, "--no-report", "--save", "mine", "--replace").status == 0

    compared = last_object(ask("benchmark", "mine", "--json"))
    assert compared["summary"]["portfolio"]["initial_value"] == pytest.approx(10_000)
    (tmp_path / "PORTFOLIO.json").write_text('{"weights": {"KO": 0.6, "XOM": 0.4}}', encoding="utf-8")
    said = ask("benchmark", tmp_path / "PORTFOLIO.json", "--budget", 500)
    assert "risk-free" in said.out
    assert "500.00" in said.out

    limited = last_object(
        ask(
            "optimize", "--tickers", LISTED, "--no-report", "--json", "--current", "mine", "--max-turnover", 0
        )
    )
    held = last_object(ask("portfolios", "list", "--json"))["portfolios"][0]["weights"]
    assert limited["weights"] == pytest.approx(held, abs=1e-5)
    assert ask("portfolios", "delete", "mine").status == 0
    assert "no portfolio is saved" in ask("portfolios", "list").err


def test_the_frontier(ask):
    found = last_object(ask("frontier", "--tickers", LISTED, "--points", 5, "--max-weight", 0.5, "--json"))
    assert len(found["points"]) == 5
    assert {"weights", "expected_return", "volatility", "sharpe", "excluded", "seconds"} <= found.keys()
    assert "efficient frontier of 6 tickers" in ask("frontier", "--tickers", LISTED, "--points", 5).out


def test_one_ticker_and_a_pair(ask):
    assert last_object(ask("analyze", "KO", "--json"))["ticker"] == "KO"
    shown = ask("analyze", "KO").out
    assert "forecast by ensemble" in shown
    assert "beta to ^GSPC" in shown
    assert last_object(ask("hedge", "KO", "PEP", "--json"))["other"] == "PEP"
    assert "PEP is no hedge of KO" in ask("hedge", "KO", "PEP").out


def test_prices_are_updated_and_shown(ask):
    found = last_object(ask("prices", "update", "--tickers", f"{LISTED},ZZZ", "--json"))
    assert list(found["failures"]) == ["ZZZ"]
    assert "does not have ZZZ" in ask("prices", "update", "--tickers", "KO,ZZZ").err
    assert ask("prices", "update", "--tickers", "ZZZ").status == 1, "nothing came"
    (kept,) = last_object(ask("prices", "status", "--json"))
    assert kept["source"].startswith("parquet-bars")
    assert kept["tickers"] >= len(NAMES)
    assert "parquet-bars" in ask("prices", "status").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tickers", LISTED, "--target-return", 9), "the most that these tickers reach is"),
        (("--tickers", LISTED, "--target-volatility", 0.001), "the least that these tickers reach is"),
        (("--tickers", LISTED, "--max-weight", 0.1), "give max_weight of at least 0.1667"),
        (("--tickers", LISTED, "--min-weight", 0.3), "give min_weight of at most 0.1666"),
        (("--tickers", LISTED, "--max-weight", 1.5), "max_weight: input should be less than or equal to 1"),
        (("--tickers", LISTED, "--max-weight", "nan"), "max_weight: input should be a finite number"),
        (("--tickers", LISTED, "--sector-limit", "Energy"), "is not of the form Energy=0.1"),
        (("--tickers", LISTED, "--sector-limit", "Energy=much"), "'much' is no number"),
        (("--tickers", LISTED, "--view", "KO=0.1"), "views belong to the forecast black_litterman"),
        (("--tickers", "KO"), "a portfolio needs at least two tickers"),
        (("--tickers", ""), "no tickers given; name at least one"),
        (("--tickers", "KO,ko"), "duplicate ticker"),
        (("--tickers", "KO,../etc"), "is no ticker"),
        (("--group", "sp5000"), "Did you mean 'sp500'?"),
        ((), "give either tickers or a group"),
        (("--tickers", LISTED, "--start", "2016-01-02", "--end", "2016-01-01"), "lies before the start"),
        (("--tickers", LISTED, "--end", "2999-01-01"), "lies in the future"),
        (("--tickers", LISTED, "--start", "2999-01-01"), "lies in the future"),
        (("--tickers", LISTED, "--start", "2016-13-01"), "start: input should be a valid date"),
        (("--tickers", f"{SHORT},ZZZ"), "no ticker is left to weigh"),
        (("--tickers", "YYY,ZZZ"), "all 2 tickers are left out"),
        (("--tickers", LISTED, "--objective", "best"), "objective: input should be 'max-sharpe'"),
        (("--tickers", LISTED, "--risk-free", 0.99), "a Sharpe ratio needs a risk-free rate below"),
        (("--tickers", LISTED, "--budget", 1), "a budget of 1.00 buys no share"),
        (("--tickers", LISTED, "--cost", 0.01), "give current_weights"),
        (("--tickers", LISTED, "--current", "nobody"), "no portfolio nobody"),
        (("--tickers", LISTED, "--benchmark", "ZZZ"), "no prices of the benchmark ZZZ"),
        (("--tickers", LISTED, "--bars", "absent.parquet"), "there is no file"),
        (("--tickers", LISTED, "--provider", "broker"), "'yahoo', 'parquet' or 'demo'"),
        (("--tickers", LISTED, "--save", "../x"), "is no id of a portfolio"),
    ],
)
def test_nonsense_is_a_sentence_and_exit_status_2(ask, arguments, words):
    said = ask("optimize", "--no-report", *arguments)
    assert said.status == 2
    assert words in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("frontier", "--tickers", LISTED, "--points", 1),
            "points: input should be greater than or equal to 3",
        ),
        (("analyze", "ZZZ"), "there is nothing to analyse of ZZZ"),
        (("analyze", "KO", "--forecast", "equilibrium"), "is no forecast of a single ticker"),
        (("hedge", "KO", "ko"), "KO cannot hedge itself"),
        (("hedge", "KO", SHORT), "common days"),
        (("benchmark", "absent.json"), "there is no file absent.json"),
        (("benchmark", "nobody"), "no portfolio nobody"),
        (("portfolios", "delete", "nobody"), "no portfolio nobody"),
        (("prices", "update"), "give either tickers or a group"),
    ],
)
def test_other_verbs_refuse_nonsense_likewise(ask, arguments, words):
    said = ask(*arguments)
    assert said.status == 2
    assert words in said.err


def test_every_verb_has_help_with_an_example(say):
    for verb in ("optimize", "frontier", "analyze", "hedge", "benchmark"):
        said = say(verb, "--help")
        assert said.status == 0
        assert f"finpipe {verb} " in said.out
    assert "finpipe prices update --group sp500" in say("prices", "update", "--help").out


def test_the_settings_show_the_defaults_of_portfolios(say, tmp_path, monkeypatch):
    monkeypatch.setenv("FINPIPE_OBJECTIVE", "risk-parity")
    shown = say("settings", "--home", tmp_path).out
    assert "FINPIPE_OBJECTIVE" in shown
    assert "risk-parity" in shown


def test_a_cold_command_loads_nothing_heavy(folder):
    import os
    import subprocess

    script = (
        "import sys\nfrom finpipe import cli\n"
        f"sys.argv = ['finpipe', 'optimize', '--tickers', {LISTED!r}, '--no-report', '--json']\n"
        f"try:\n    cli.main()\nfinally:\n    print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    environment = os.environ | {
        "FINPIPE_HOME": str(folder / "home"),
        "FINPIPE_BARS": str(folder / "bars.parquet"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    )
    *_, result, loaded = done.stdout.strip().splitlines()
    assert json.loads(result)["weights"]
    assert loaded == "[]"


def test_the_demo_group(say, tmp_path):
    found = last_object(
        say("optimize", "--group", "demo", "--home", tmp_path, "--no-report", "--json", "--end", "2016-12-30")
    )
    assert found["as_of"] == "2016-12-30"
    assert found["tickers"] > 50


def test_prices_from_a_local_yahoo(say, folder, tmp_path, monkeypatch):
    bars = pl.read_parquet(folder / "bars.parquet")
    with yahoo_server(bars) as server:
        monkeypatch.setenv("FINPIPE_YAHOO_MIRROR", server.url)
        monkeypatch.setenv("FINPIPE_HOME", str(tmp_path))
        period = ("--start", "2015-01-05", "--end", "2016-07-29")
        updated = last_object(say("prices", "update", "--tickers", f"{LISTED},DEAD", *period, "--json"))
        assert updated["counts"] == {"failed": 1, "new": len(NAMES) + 1}
        asked = server.charts()
        found = last_object(say("optimize", "--tickers", f"{LISTED},DEAD", *period, "--json", "--no-report"))
        assert server.charts() == asked, "the history has it all, and the dead ticker is in quarantine"
        assert "quarantine" in found["excluded"]["DEAD"]
    again = last_object(say("optimize", "--tickers", f"{LISTED},DEAD", *period, "--json", "--no-report"))
    assert again["weights"] == found["weights"], "without the server the history serves"


def test_the_documented_commands_on_real_stocks(say, shared_data, tmp_path, monkeypatch):
    bars = shared_data / "us" / REAL
    if not bars.is_file():
        pytest.skip(f"the real S&P 500 bars are absent: {bars}")
    monkeypatch.setenv("FINPIPE_HOME", str(tmp_path / "home"))
    source = ("--provider", "parquet", "--bars", bars)
    found = last_object(
        say(
            *(
                "optimize",
                "--tickers",
                "AAPL,MSFT,KO,JNJ,XOM,WMT",
                "--start",
                "2012-01-01",
                "--end",
                "2016-12-31",
            ),
            *(
                "--objective",
                "min-volatility",
                "--covariance",
                "ledoit-wolf",
                *source,
                "--json",
                "--no-report",
            ),
        )
    )
    assert found["as_of"] == "2016-12-30"
    assert sum(found["weights"].values()) == pytest.approx(1)
    whole = last_object(
        say(
            *(
                "optimize",
                "--group",
                "sp500",
                "--objective",
                "max-sharpe",
                "--risk-free",
                0.03,
                "--max-weight",
                0.2,
            ),
            *("--budget", 100_000, *source, "--json", "--save", "sp500"),
        )
    )
    assert whole["tickers"] > 300
    assert whole["allocation"]["spent"] <= 100_000
    assert (tmp_path / "home" / "reports" / "portfolio" / "sp500-max-sharpe.html").is_file()
    assert all(reason for reason in whole["excluded"].values())
    assert last_object(say("analyze", "AAPL", *source, "--json"))["end"] == "2016-12-30"
    assert 0 < last_object(say("hedge", "KO", "PEP", *source, "--json"))["correlation"] < 1
    assert (
        last_object(say("benchmark", "sp500", *source, "--json"))["summary"]["portfolio"]["total_return"] > 0
    )
    assert (
        len(last_object(say("frontier", "--group", "dow30", *source, "--points", 10, "--json"))["points"])
        == 10
    )
