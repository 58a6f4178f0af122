"""Ledgers for tests: with many rows, of an older schema, and with their steps counted."""

import sqlite3
from contextlib import closing, contextmanager

from reindex.stores import ledger_schema
from reindex.stores.sqlite import open_writable


@contextmanager
def steps(ledger):
    """Count what SQLite does meanwhile, in instructions of its machine. Yields a list: its length counts."""
    connection = ledger._database._connection
    counted = []
    connection.set_progress_handler(lambda: counted.append(None), 1)
    try:
        yield counted
    finally:
        connection.set_progress_handler(None, 1)


def steps_of(ledger, call):
    with steps(ledger) as counted:
        call()
    return len(counted)


def fill(ledger, sql, rows):
    """Rows as if they had come one by one."""
    ledger._database.execute_many(sql, rows)


def make_older(path, version):
    """Make the ledger at `path` one of an older schema, with all of its rows."""
    aside = path.with_name("newer.sqlite")
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA journal_mode = DELETE")  # all of it is in the one file
    path.rename(aside)
    open_writable(path, ledger_schema.MIGRATIONS[:version]).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        older.execute("ATTACH ? AS newer", (str(aside),))
        tables = (
            "SELECT name FROM main.sqlite_master JOIN newer.sqlite_master USING (type, name)"
            " WHERE type = 'table' ORDER BY name"
        )
        for (table,) in older.execute(tables).fetchall():  # `totals`, which triggers fill, comes last
            columns = ", ".join(row[1] for row in older.execute(f"PRAGMA main.table_info({table})"))
            older.execute(f"INSERT OR REPLACE INTO {table} ({columns}) SELECT {columns} FROM newer.{table}")
    aside.unlink()
