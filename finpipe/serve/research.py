"""What the Korean line made in a home, read as the files that it is: picks from DuckDB, reports as pages."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

from finpipe.serve.models import ReportEntry
from finpipe.serve.tasks import MissingError
from finpipe.settings import Settings

_PATIENCE = 5.0
_NONE_YET = "this home holds no {what} of Korean stocks yet: `finpipe run` makes them from a database"


def picks(settings: Settings, variant: str | None) -> dict[str, Any]:
    """Return the latest lists of a study as ``models.PicksAnswer`` describes them; of the latest one if not named.

    Raises
    ------
    MissingError
        There are none in this home, or none of that study.
    """
    from finpipe.portfolio.plain import plain

    path = settings.duckdb_path
    if not path.is_file():
        raise MissingError(_NONE_YET.format(what="picks"))
    with _reader(path) as connection:
        known = connection.execute(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'krx' AND table_name = 'picks'"
        ).fetchone()
        if not known or not known[0]:
            raise MissingError(_NONE_YET.format(what="picks"))
        rows = connection.execute(
            'SELECT variant, max("date") AS latest FROM krx.picks GROUP BY variant ORDER BY latest DESC, variant'
        ).fetchall()
        variants = [name for name, _ in rows]
        chosen = variant or (variants[0] if variants else None)
        if chosen is None:
            raise MissingError(_NONE_YET.format(what="picks"))
        if chosen not in variants:
            raise MissingError(f"there are no picks of {chosen!r}; there are {', '.join(variants)}")
        frame = connection.sql("SELECT * FROM krx.picks WHERE variant = ?", params=[chosen]).pl()
    frame = frame.drop("variant")
    return {
        "variant": chosen,
        "variants": variants,
        "as_of": plain(frame["date"].max()) if frame.height else None,
        "columns": plain(frame),
        "rows": frame.height,
    }


def reports(settings: Settings) -> list[ReportEntry]:
    """Return the reports of this home, latest first."""
    if "://" in settings.store_url:
        return []
    found = []
    for path in (Path(settings.store_url) / "krx/performance_report").glob("*.html"):
        stat = path.stat()
        made = dt.datetime.fromtimestamp(stat.st_mtime, dt.UTC)
        href = f"/api/research/report?variant={path.stem}"
        found.append(ReportEntry(variant=path.stem, made_at=made, bytes=stat.st_size, href=href))
    return sorted(found, key=lambda entry: entry.made_at, reverse=True)


def report(settings: Settings, variant: str | None) -> bytes:
    """Return the page of a study's report; of the latest one if not named.

    Raises
    ------
    MissingError
        There is none.
    """
    known = [entry.variant for entry in reports(settings)]
    if not known:
        raise MissingError(_NONE_YET.format(what="reports"))
    chosen = variant or known[0]
    if chosen not in known:
        raise MissingError(f"there is no report of {chosen!r}; there are {', '.join(known)}")
    return (Path(settings.store_url) / "krx/performance_report" / f"{chosen}.html").read_bytes()


def _reader(path: Path) -> Any:  # noqa: ANN401 (duckdb is loaded where it is used)
    """A connection that reads; a run that writes lets go of the file within moments."""
    import duckdb

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return duckdb.connect(str(path), read_only=True)
        except duckdb.IOException as error:
            if time.monotonic() > deadline:
                raise MissingError(
                    f"the tables of this home are being written: try again ({error})"
                ) from error
            time.sleep(0.05)
