from __future__ import annotations

import json
from pathlib import Path

import pytest

from finpipe.settings import OPERATIONAL, Settings, SettingsError, load_settings, remember_database


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """A folder with a database and room for a finpipe.toml beside it."""
    folder = tmp_path / "시장 data"
    folder.mkdir()
    (folder / "krx_stock_data.db").touch()
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_toml(market: Path, text: str) -> Path:
    (market / "finpipe.toml").write_text(text, encoding="utf-8")
    return market / "krx_stock_data.db"


def test_flags_come_before_variables_before_the_file_before_the_default(market, monkeypatch):
    database = write_toml(market, "min_price = 3000\nembargo_days = 7\ntrain_years = 4\n")
    monkeypatch.setenv("FINPIPE_MIN_PRICE", "2000")
    monkeypatch.setenv("FINPIPE_EMBARGO_DAYS", "6")
    settings = load_settings(database=database, min_price=1500)
    assert settings.min_price == 1500
    assert settings.embargo_days == 6
    assert settings.train_years == 4
    assert settings.min_value == Settings.model_fields["min_value"].default


def test_flags_that_are_none_count_as_not_given(monkeypatch):
    monkeypatch.setenv("FINPIPE_HOME", "from variable")
    assert load_settings(home=None).home == Path("from variable").resolve()
    assert load_settings(home=Path("from flag")).home == Path("from flag").resolve()


def test_the_defaults_are_those_of_the_study_that_is_documented():
    settings = load_settings()
    assert settings.home == Path("data").resolve()
    assert settings.database is None
    assert (settings.min_price, settings.min_market_cap, settings.min_value) == (1_000, 500e9, 10e9)
    assert (settings.train_years, settings.embargo_days, settings.delisting_return) == (3, 5, -0.3)
    assert (settings.horizons, settings.rank_scope, settings.fill) == (
        (1, 5, 21, 63, 126),
        "universe",
        "none",
    )


def test_every_setting_is_documented():
    assert all(field.description for field in Settings.model_fields.values())
    assert set(Settings.model_fields) >= OPERATIONAL


def test_horizons_are_a_list_in_any_source(market, monkeypatch):
    database = write_toml(market, "horizons = [63, 5]\n")
    assert load_settings(database=database).horizons == (5, 63)
    monkeypatch.setenv("FINPIPE_HORIZONS", "21, 1,21")
    assert load_settings(database=database).horizons == (1, 21)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_price", "cheap"),
        ("workers", "0"),
        ("rank_scope", "world"),
        ("delisting_return", "0.3"),
        ("horizons", "21,soon"),
        ("horizons", "0"),
        ("fill", "zero"),
        ("risk_free", "5"),
    ],
)
def test_a_value_that_cannot_work_is_named_with_its_sources(monkeypatch, name, value):
    monkeypatch.setenv(f"FINPIPE_{name.upper()}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert name in str(caught.value)
    assert f"FINPIPE_{name.upper()}" in str(caught.value)
    assert "finpipe.toml" in str(caught.value)
    assert value.rpartition(",")[-1] in str(caught.value)


def test_an_unknown_name_in_the_file_is_named(market):
    database = write_toml(market, "min_prize = 1\n")
    with pytest.raises(SettingsError, match="min_prize"):
        load_settings(database=database)


def test_a_file_that_is_not_toml_is_named_with_the_line(market):
    database = write_toml(market, "min_price = 1\nworkers =\n")
    with pytest.raises(SettingsError, match=r"finpipe\.toml .*line 2"):
        load_settings(database=database)


def test_the_file_belongs_to_the_database_beside_it(market, tmp_path):
    write_toml(market, "min_price = 3000\n")
    assert load_settings(database=tmp_path / "krx_stock_data.db").min_price == 1000
    assert load_settings().min_price == 1000


def test_a_home_remembers_its_database_and_the_file_beside_that(market):
    database = write_toml(market, "min_price = 3000\n")
    remember_database(load_settings(home="my home", database=database))
    settings = load_settings(home="my home")
    assert (settings.database, settings.min_price) == (database, 3000)
    assert load_settings(home="my home", database="other.db").database == Path("other.db").resolve()


def test_a_variable_comes_before_the_remembered_database(market, monkeypatch):
    remember_database(load_settings(home="h", database=market / "krx_stock_data.db"))
    monkeypatch.setenv("FINPIPE_DATABASE", "other.db")
    assert load_settings(home="h").database == Path("other.db").resolve()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"else": 1}'])
def test_a_damaged_memory_of_the_database_is_named(content):
    Path("h").mkdir()
    Path("h", "database.json").write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"database\.json .*--database"):
        load_settings(home="h")


def test_relative_paths_are_meant_from_where_the_command_was_given(monkeypatch, tmp_path):
    monkeypatch.setenv("FINPIPE_STORE", "elsewhere/store")
    settings = load_settings(home="data", database="../krx.db")
    assert settings.home == tmp_path / "data"
    assert settings.database == tmp_path.parent / "krx.db"
    assert settings.store_url == str(tmp_path / "elsewhere" / "store")


def test_a_tilde_is_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load_settings(home="~/h", database="~/krx.db", store="~/s")
    assert (settings.home, settings.database) == (tmp_path / "h", tmp_path / "krx.db")
    assert settings.store_url == str(tmp_path / "s")


def test_the_store_may_be_elsewhere_or_an_object_store():
    assert load_settings(home="h").store_url == str(Path("h").resolve() / "store")
    assert load_settings(store="s3://bucket/prefix").store_url == "s3://bucket/prefix"


def test_settings_survive_json():
    """Worker processes get them that way."""
    settings = load_settings(home="h", database="krx.db", horizons=(5, 21), preset={"mine": {"horizon": 5}})
    again = Settings.model_validate(json.loads(json.dumps(settings.model_dump(mode="json"))))
    assert again.model_dump() == settings.model_dump()
