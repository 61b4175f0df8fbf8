"""What was seen, run, checked and published: one SQLite file beside the releases.

A rollback journal, since write-ahead logs do not work on network file systems. Every change is one transaction;
a process killed between two leaves a state from which the next look goes on.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from climrecon.errors import OutputError
from climrecon.watch.file_stamps import Stamp

FILE_NAME = "watch.sqlite"
SCHEMA = 1

#: Stages of a release, in order; ``failed`` is tried again, ``superseded`` vanished before it was run.
DUE, RUNNING, MADE, CHECKED, REPORTED, PUBLISHED = (
    "due",
    "running",
    "made",
    "checked",
    "reported",
    "published",
)
HELD, FAILED, SUPERSEDED, REMOVED = "held", "failed", "superseded", "removed"
UNFINISHED = (RUNNING, MADE, CHECKED, REPORTED)

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lock (
    id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL, host TEXT NOT NULL, boot TEXT NOT NULL,
    pid INTEGER NOT NULL, started TEXT NOT NULL, since TEXT NOT NULL, beat INTEGER NOT NULL,
    seen_beat INTEGER, seen_at REAL, seen_times INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS looks (
    id INTEGER PRIMARY KEY, first_at TEXT NOT NULL, last_at TEXT NOT NULL, times INTEGER NOT NULL,
    code INTEGER NOT NULL, message TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS settling (key TEXT PRIMARY KEY, signature TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS world (key TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS releases (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, settings_digest TEXT NOT NULL,
    stage TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, content TEXT NOT NULL, seen_at TEXT NOT NULL,
    published_at TEXT, told TEXT NOT NULL DEFAULT '', UNIQUE (digest, settings_digest));
CREATE TABLE IF NOT EXISTS stops (
    signature TEXT PRIMARY KEY, kind TEXT NOT NULL, message TEXT NOT NULL, at TEXT NOT NULL,
    open INTEGER NOT NULL DEFAULT 1, confirmed_at TEXT, told INTEGER NOT NULL DEFAULT 0);
"""


def now() -> str:
    """The time as the state holds it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Release:
    """One release as the state knows it.

    ``content`` holds what was found and done: ``header``, ``files``, ``inputs`` (path -> sha256), ``settings``,
    ``network``, ``network_sha256``, ``through``, ``run_id``, ``checks``, ``changes``, ``error``, ``code``.
    """

    id: int
    name: str
    digest: str
    settings_digest: str
    stage: str
    attempts: int
    content: dict[str, Any]
    seen_at: str
    published_at: str | None
    told: str

    @property
    def last(self) -> int:
        """The last month."""
        return int(self.content["header"]["last"])


class State:
    """The state file of one output folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA synchronous=FULL")
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'stops'").fetchone():
                self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
                self.put("schema", str(SCHEMA))
            if self.get("schema", str(SCHEMA)) != str(SCHEMA):
                raise OutputError(
                    f"{path} was written by a newer climrecon (schema {self.get('schema')}).",
                    "Use that version, or another output folder.",
                )
        except (sqlite3.Error, OSError) as error:
            raise _problem(path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, whole or not at all.

        Raises
        ------
        OutputError
            If the file cannot be written: disk full, no permission, damaged.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _problem(self.path, error) from error

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        try:
            with closing(self._db.execute(sql, values)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise _problem(self.path, error) from error

    # One value a key.
    def get(self, key: str, default: str = "") -> str:
        """The value of ``key``."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", key)
        return str(found[0]["value"]) if found else default

    def put(self, key: str, value: str) -> None:
        """Set the value of ``key``."""
        with self.change() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # What the last whole look saw.
    def world(self, key: str) -> dict[str, Any] | None:
        """What the last look with these settings saw and answered, None if it left something to do."""
        found = self.rows("SELECT content FROM world WHERE key = ?", key)
        return json.loads(found[0]["content"]) if found else None

    def keep_world(self, key: str, content: Mapping[str, Any] | None) -> None:
        """Remember what a look saw; None forgets it, for all settings."""
        with self.change() as db:
            db.execute("DELETE FROM world")
            if content is not None:
                db.execute("INSERT INTO world VALUES (?, ?)", (key, json.dumps(content)))

    def looked(self, code: int, message: str) -> None:
        """Write down the outcome of a look; equal ones in a row are one entry."""
        with self.change() as db:
            last = db.execute("SELECT * FROM looks ORDER BY id DESC LIMIT 1").fetchone()
            if last and (last["code"], last["message"]) == (code, message):
                db.execute(
                    "UPDATE looks SET last_at = ?, times = times + 1 WHERE id = ?", (now(), last["id"])
                )
            else:
                db.execute(
                    "INSERT INTO looks (first_at, last_at, times, code, message) VALUES (?, ?, 1, ?, ?)",
                    (now(), now(), code, message),
                )

    # Files.
    def first_look_at(self, key: str, signature: str) -> bool:
        """Whether ``signature`` is new; it is remembered then, for the next look."""
        found = self.rows("SELECT signature FROM settling WHERE key = ?", key)
        if found and found[0]["signature"] == signature:
            return False
        with self.change() as db:
            db.execute("INSERT OR REPLACE INTO settling VALUES (?, ?, ?)", (key, signature, now()))
        return True

    def sha256(self, path: Path, stamp: Stamp) -> str | None:
        """Hash of a file if it is known and size and dates are what they were."""
        found = self.rows("SELECT stamp, sha256 FROM files WHERE path = ?", str(path))
        known = found and tuple(json.loads(found[0]["stamp"])) == stamp
        return str(found[0]["sha256"]) if known else None

    def keep_sha256(self, path: Path, stamp: Stamp, digest: str) -> None:
        """Remember a hash."""
        with self.change() as db:
            db.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (str(path), json.dumps(stamp), digest, now()),
            )

    def paths_of(self, digests: Iterable[str]) -> list[Path]:
        """All paths at which files with these hashes were ever found."""
        wanted = [*digests]
        marks = ",".join("?" * len(wanted))
        return [
            Path(row["path"])
            for row in self.rows(f"SELECT path FROM files WHERE sha256 IN ({marks})", *wanted)
        ]

    # Releases.
    def releases(self, *stages: str) -> list[Release]:
        """Releases in the order they were seen, those of ``stages`` or all."""
        marks = ",".join("?" * len(stages))
        where = f"WHERE stage IN ({marks})" if stages else ""
        return [_release(row) for row in self.rows(f"SELECT * FROM releases {where} ORDER BY id", *stages)]

    def release(self, digest: str, settings_digest: str) -> Release | None:
        """The release with this content and these settings."""
        found = self.rows(
            "SELECT * FROM releases WHERE digest = ? AND settings_digest = ?", digest, settings_digest
        )
        return _release(found[0]) if found else None

    def current(self) -> Release | None:
        """The one that ``latest`` points to."""
        name = self.get("current")
        found = self.rows("SELECT * FROM releases WHERE name = ?", name) if name else []
        return _release(found[0]) if found else None

    def add(self, name: str, digest: str, settings_digest: str, content: Mapping[str, Any]) -> Release:
        """A release that is due; ``name`` gets a number where another release bears it."""
        with self.change() as db:
            taken = {row["name"] for row in db.execute("SELECT name FROM releases")}
            free = next(
                n for k in range(1, len(taken) + 2) if (n := name if k == 1 else f"{name}_{k}") not in taken
            )
            db.execute(
                "INSERT INTO releases (name, digest, settings_digest, stage, content, seen_at) VALUES (?, ?, ?, ?, ?, ?)",
                (free, digest, settings_digest, DUE, json.dumps(content), now()),
            )
        found = self.release(digest, settings_digest)
        assert found is not None
        return found

    def update(self, release: Release, **values: Any) -> Release:
        """Set columns of a release; other names become parts of its content. One transaction."""
        columns = {k: v for k, v in values.items() if k in ("stage", "attempts", "published_at", "told")}
        content = {**release.content, **{k: v for k, v in values.items() if k not in columns}}
        columns["content"] = json.dumps(content)
        with self.change() as db:
            names = ", ".join(f"{name} = ?" for name in columns)
            db.execute(f"UPDATE releases SET {names} WHERE id = ?", (*columns.values(), release.id))
        return _release(self.rows("SELECT * FROM releases WHERE id = ?", release.id)[0])

    def make_current(self, release: Release) -> Release:
        """``latest`` points to it now."""
        with self.change() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('current', ?)", (release.name,))
            db.execute(
                "UPDATE releases SET stage = ?, published_at = ? WHERE id = ?", (PUBLISHED, now(), release.id)
            )
        return _release(self.rows("SELECT * FROM releases WHERE id = ?", release.id)[0])

    # Stops.
    def stop(self, signature: str, kind: str, message: str) -> sqlite3.Row:
        """Write down that a person has to decide; the row says whether one did, and who was told."""
        with self.change() as db:
            db.execute("UPDATE stops SET open = (signature = ?)", (signature,))
            db.execute(
                "INSERT OR IGNORE INTO stops (signature, kind, message, at) VALUES (?, ?, ?, ?)",
                (signature, kind, message, now()),
            )
        return self.rows("SELECT * FROM stops WHERE signature = ?", signature)[0]

    def stops(self) -> list[sqlite3.Row]:
        """All stops, those that hold first."""
        return self.rows("SELECT * FROM stops ORDER BY open DESC, at DESC")

    def end_stops(self) -> None:
        """Nothing holds any more."""
        if self.rows("SELECT 1 FROM stops WHERE open LIMIT 1"):
            with self.change() as db:
                db.execute("UPDATE stops SET open = 0")


def _release(row: sqlite3.Row) -> Release:
    return Release(**{**dict(row), "content": json.loads(row["content"])})


def _problem(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"The state of the watch, {path}, cannot be read or written: {error}.",
        "Check that its folder is writable and has space; a damaged file may be moved away: then all is looked "
        "at anew, and what is published stays.",
    )
