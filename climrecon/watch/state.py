"""Releases and their stages, stops and the last look: one SQLite file in the folder of the releases.

A rollback journal, since write-ahead logs do not work on network file systems. Every change is one transaction;
a process killed between two leaves a state from which the next look goes on.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from climrecon.errors import OutputError
from climrecon.interruption import commit_point
from climrecon.watch.file_stamps import Stamp

FILE_NAME = "watch.sqlite"
SCHEMA = 2

#: Stages of a release, in order; ``failed`` is tried again, ``superseded`` vanished before it was run.
DUE, RUNNING, MADE, CHECKED, REPORTED = "due", "running", "made", "checked", "reported"
PUBLISHED, HELD, FAILED = "published", "held", "failed"
SUPERSEDED, REMOVED = "superseded", "removed"
UNFINISHED = (RUNNING, MADE, CHECKED, REPORTED)
#: What is no part of a release's content.
_COLUMNS = ("name", "stage", "attempts", "published_at", "notified")

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS releases (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, settings_digest TEXT NOT NULL,
    stage TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, content TEXT NOT NULL, seen_at TEXT NOT NULL,
    published_at TEXT, notified TEXT NOT NULL DEFAULT '', UNIQUE (digest, settings_digest));
CREATE TABLE IF NOT EXISTS stops (
    signature TEXT PRIMARY KEY, kind TEXT NOT NULL, message TEXT NOT NULL, at TEXT NOT NULL,
    open INTEGER NOT NULL DEFAULT 1, confirmed_at TEXT, notified INTEGER NOT NULL DEFAULT 0);
"""
#: From one schema to the next; the tables dropped hold nothing that a look cannot find out again.
_UPGRADES = {
    "1": """
DROP TABLE IF EXISTS lock; DROP TABLE IF EXISTS looks; DROP TABLE IF EXISTS settling; DROP TABLE IF EXISTS world;
ALTER TABLE releases RENAME COLUMN told TO notified;
ALTER TABLE stops RENAME COLUMN told TO notified;
"""
}


def now() -> str:
    """The time as the state holds it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Release:
    """One release as the state holds it.

    ``content`` holds ``header``, ``files``, ``inputs`` (path -> sha256), ``settings``, ``network``,
    ``network_sha256``, ``through``, ``child``, ``checks``, ``changes``, ``error``, ``code``, ``replaces``; ``notified``
    is the last event that was delivered.
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
    notified: str


class State:
    """The state file of one output folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():  # SQLite would write to whatever file it leads to
                raise OSError("it is a link, which no watch makes")
            self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA synchronous=FULL")
            self._upgrade()
        except (sqlite3.Error, OSError) as error:
            raise _problem(path, error) from error

    def _upgrade(self) -> None:
        """Make the tables, or bring those of an earlier version up to date."""
        if self._schema() == str(SCHEMA):
            return
        with self.change() as db:
            before = self._schema()  # another process may have been quicker
            if before not in ("", str(SCHEMA), *_UPGRADES):
                raise OutputError(
                    f"{self.path} was written by a newer climrecon (schema {before}).",
                    "Use that version, or another output folder.",
                )
            for statement in (_UPGRADES.get(before, "") + _TABLES).split(";"):
                db.execute(statement)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))

    def _schema(self) -> str:
        known = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
        return self.get("schema", "1") if known else ""

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
            yield self._db
            commit_point("before the state")
            self._db.execute("COMMIT")
            commit_point("after the state")
        except BaseException as error:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
                raise _problem(self.path, error) from error
            raise

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
        rows = self.rows("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0]["value"]) if rows else default

    def put(self, key: str, value: str) -> None:
        """Set the value of ``key``."""
        with self.change() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def snapshot(self, key: str) -> dict[str, Any] | None:
        """What the last look with these settings found and answered; None if it left something to do."""
        known = json.loads(self.get("snapshot", "{}"))
        return known["content"] if known.get("key") == key else None

    def keep_snapshot(self, key: str, content: Mapping[str, Any]) -> None:
        """Remember what a look found."""
        self.put("snapshot", json.dumps({"key": key, "content": content}))

    def drop_snapshot(self) -> None:
        """Let the next look search anew, whatever its settings."""
        self.put("snapshot", "{}")

    def last_look(self) -> dict[str, Any] | None:
        """Outcome of the last look: ``first_at``, ``last_at``, ``times`` (equal ones in a row), ``code``, ``message``."""
        known = self.get("last_look")
        return json.loads(known) if known else None

    def keep_look(self, code: int, message: str) -> None:
        """Write down the outcome of a look."""
        last = self.last_look()
        same = last if last and (last["code"], last["message"]) == (code, message) else None
        first, times = (same["first_at"], same["times"] + 1) if same else (now(), 1)
        look = {"first_at": first, "last_at": now(), "times": times, "code": code, "message": message}
        self.put("last_look", json.dumps(look))

    def is_new(self, key: str, signature: str) -> bool:
        """Whether ``signature`` is another than at the look before; it is remembered then."""
        if self.get(f"signature of {key}") == signature:
            return False
        self.put(f"signature of {key}", signature)
        return True

    # Files.
    def sha256(self, path: Path, stamp: Stamp) -> str | None:
        """Hash of a file if it is known and size and dates did not change."""
        sql = "SELECT sha256 FROM files WHERE (path, stamp) = (?, ?)"
        rows = self.rows(sql, str(path), json.dumps(stamp))
        return str(rows[0]["sha256"]) if rows else None

    def keep_sha256(self, path: Path, stamp: Stamp, digest: str) -> None:
        """Remember a hash."""
        values = (str(path), json.dumps(stamp), digest, now())
        with self.change() as db:
            db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", values)

    def paths_of(self, digests: Iterable[str]) -> list[Path]:
        """All paths at which files with these hashes were ever found."""
        wanted = [*digests]
        marks = ",".join("?" * len(wanted))
        rows = self.rows(f"SELECT path FROM files WHERE sha256 IN ({marks})", *wanted)
        return [Path(row["path"]) for row in rows]

    # Releases.
    def releases(self, *stages: str) -> list[Release]:
        """Releases in the order they were seen, those of ``stages`` or all."""
        marks = ",".join("?" * len(stages))
        where = f"WHERE stage IN ({marks})" if stages else ""
        return [_release(row) for row in self.rows(f"SELECT * FROM releases {where} ORDER BY id", *stages)]

    def _one(self, where: str, *values: Any) -> Release | None:
        rows = self.rows(f"SELECT * FROM releases WHERE {where}", *values)
        return _release(rows[0]) if rows else None

    def release(self, digest: str, settings_digest: str) -> Release | None:
        """The release with this content and these settings."""
        return self._one("digest = ? AND settings_digest = ?", digest, settings_digest)

    def current(self) -> Release | None:
        """The one that ``latest`` points to."""
        return self._one("name = ?", self.get("current"))

    def add(
        self, name: str, digest: str, settings_digest: str, content: Mapping[str, Any], taken: Set[str] = frozenset()
    ) -> Release:
        """A release that is due; ``name`` gets a number where another release bears it, or it is among ``taken``."""
        with self.change() as db:
            db.execute(
                "INSERT INTO releases (name, digest, settings_digest, stage, content, seen_at) VALUES (?, ?, ?, ?, ?, ?)",
                (_free(db, name, taken), digest, settings_digest, DUE, json.dumps(content), now()),
            )
        added = self.release(digest, settings_digest)
        assert added is not None
        return added

    def rename(self, release: Release, taken: Set[str]) -> Release:
        """Give a release a name that is not ``taken``; its content names the former one as ``replaces``."""
        with self.change() as db:
            return self._update(db, release, {"name": _free(db, release.name, taken), "replaces": release.name})

    def update(self, release: Release, **values: Any) -> Release:
        """Set columns of a release; other names become parts of its content. One transaction."""
        with self.change() as db:
            return self._update(db, release, values)

    def make_current(self, release: Release) -> Release:
        """Note that ``latest`` points to it now."""
        with self.change() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('current', ?)", (release.name,))
            return self._update(db, release, {"stage": PUBLISHED, "published_at": now()})

    def _update(self, db: sqlite3.Connection, release: Release, values: dict[str, Any]) -> Release:
        columns = {k: v for k, v in values.items() if k in _COLUMNS}
        content = {**release.content, **{k: v for k, v in values.items() if k not in columns}}
        names = ", ".join(f"{name} = ?" for name in (*columns, "content"))
        bound = (*columns.values(), json.dumps(content), release.id)
        db.execute(f"UPDATE releases SET {names} WHERE id = ?", bound)
        return replace(release, content=content, **columns)

    # Stops.
    def stop(self, signature: str, kind: str, message: str) -> sqlite3.Row:
        """Write down that a person has to decide; the row says whether one did, and whether the event was delivered."""
        with self.change() as db:
            db.execute("UPDATE stops SET open = (signature = ?)", (signature,))
            db.execute(
                "INSERT OR IGNORE INTO stops (signature, kind, message, at) VALUES (?, ?, ?, ?)",
                (signature, kind, message, now()),
            )
        return self.rows("SELECT * FROM stops WHERE signature = ?", signature)[0]

    def stops(self) -> list[sqlite3.Row]:
        """The stops that hold."""
        return self.rows("SELECT * FROM stops WHERE open ORDER BY at DESC")

    def set_stops(self, column: str, value: Any) -> None:
        """Set a column of the stops that hold: ``notified``, ``confirmed_at``, or ``open`` to 0."""
        if self.stops():
            with self.change() as db:
                db.execute(f"UPDATE stops SET {column} = ? WHERE open", (value,))


def _free(db: sqlite3.Connection, name: str, taken: Set[str]) -> str:
    borne = taken | {row["name"] for row in db.execute("SELECT name FROM releases")}
    return next(text for k in count(2) for text in (name, f"{name}_{k}") if text not in borne)


def _release(row: sqlite3.Row) -> Release:
    return Release(**{**dict(row), "content": json.loads(row["content"])})


def _problem(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"The state of the watch, {path}, cannot be read or written: {error}.",
        "Check that its folder is writable and has space; a damaged file may be moved away: then the next look "
        "starts anew, and published releases stay.",
    )
