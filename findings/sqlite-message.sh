#!/usr/bin/env bash
# Finding: CPython's sqlite3 raises UnicodeDecodeError, no sqlite3.Error, where SQLite's message quotes bytes of no UTF-8.
#
# CPython 3.11.7 with SQLite 3.40.1; no packages. SQLite does not check that text is UTF-8: databases that other programs
# write hold Latin-1, and CAST(x'ff' AS TEXT) is text too. Some of its error messages quote a text.
#
# One would expect an error of SQLite to be a sqlite3.Error, as DB-API 2.0 promises (PEP 249: all errors are subclasses
# of Error), with what cannot be decoded replaced. Seen: a wrong JSON path, a wrong full-text query and a database that
# cannot be attached are each a sqlite3.OperationalError when the text is UTF-8, and with one byte that is not they are a
# UnicodeDecodeError, whose message says nothing of SQLite's. `except sqlite3.Error` does not catch it.
#
# The script fails if this changes.
set -euo pipefail
python3 - <<'PYTHON'
import sqlite3
import sys

changed = False
print(f"CPython {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}")
connection = sqlite3.connect(":memory:")
connection.execute("CREATE VIRTUAL TABLE notes USING fts5(body)")
for what, statement in (
    ("JSON path", "SELECT json_extract('{}', CAST(? AS TEXT))"),
    ("full-text query", "SELECT * FROM notes WHERE notes MATCH CAST(? AS TEXT)"),
    ("file to attach", "ATTACH 'no/' || CAST(? AS TEXT) AS other"),
):
    for name, kind in ((b"cafe:x", sqlite3.OperationalError), (b"caf\xe9:x", UnicodeDecodeError)):
        try:
            connection.execute(statement, (name,)).fetchall()
            error = None
        except Exception as caught:
            error = caught
        print(f"{what} {name}: {type(error).__name__}: {error}")
        changed |= type(error) is not kind
sys.exit(changed)
PYTHON
