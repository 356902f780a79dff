from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from rich.console import Console

from finpipe_tests.benchmarks import little
from finpipe_tests.benchmarks.little import PANEL, PRICE_FEATURES, Change, Timing

LEVELS = "SELECT index_code, date, closing_index FROM index_daily_prices"


@pytest.fixture
def copies(demo_market):
    with little.place(demo_market, (PANEL,)) as found:
        yield found


def test_every_change_can_be_made_and_leaves_the_originals_alone(copies, demo_market):
    before = {path: path.read_bytes() for path in copies.folder.rglob("*.py")}
    with closing(sqlite3.connect(demo_market)) as connection:
        original = connection.execute(LEVELS).fetchall()
    for change in little.changes():
        change.make(copies)
    edited = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert edited == {"beta.py", "rolling.py"}
    with closing(sqlite3.connect(demo_market)) as connection:
        assert connection.execute(LEVELS).fetchall() == original
    with closing(sqlite3.connect(copies.database)) as connection:
        changed = set(connection.execute(LEVELS).fetchall()) - set(original)
    assert len(changed) == 1


def test_a_text_that_is_not_there_is_named(copies):
    with pytest.raises(LookupError, match=r"features/beta\.py does not say 'no such text' any more"):
        copies.edit("features/beta.py", "no such text", "")


@pytest.mark.parametrize(
    ("spared", "made", "faults"),
    [
        (None, [], ()),
        (None, ["krx/universe"], ("krx/universe",)),
        (PRICE_FEATURES, ["krx/index_levels", "krx/macro_features"], ()),
        (PRICE_FEATURES, ["krx/rolling_beta", "krx/macro_features"], ("krx/rolling_beta",)),
    ],
)
def test_what_ought_to_be_spared_is_a_fault(copies, monkeypatch, spared, made, faults):
    said = {"materialized": made, "seconds": dict.fromkeys(made, 0.5)}
    monkeypatch.setattr(little.Place, "run", lambda _: (1.0, 0.5, said))
    timing = little.measure(copies, Change("little", lambda _: None, 2.0, spared))
    assert timing.faults == faults
    assert timing.made == tuple(made)


def test_the_table_shows_times_promises_and_faults(capsys):
    made = Timing(
        "beta", 12.345, 20.0, ("krx/rolling_beta",), {"krx/rolling_beta": 1.5}, 15.0, ("krx/rolling_beta",)
    )
    little.show([made], Console(width=150))
    shown = capsys.readouterr().out
    assert "12.35" in shown or "12.34" in shown
    assert "krx/rolling_beta 1.5; NOT SPARED: krx/rolling_beta" in shown


def test_the_share_of_a_cold_run_adds_up(tmp_path, demo_market, capsys):
    share = little.dagster_share(demo_market, tmp_path / "home", ["krx/universe"])
    assert share.steps == 4
    assert share.fingerprints_s > 0
    assert 0 < share.domain_s + share.storage_s + share.fingerprints_s < share.total_s
    assert 0 < share.overhead < 1
    little.show_share(share, Console(width=300))
    assert f"Dagster, planning and records {share.overhead:.1%}" in capsys.readouterr().out
