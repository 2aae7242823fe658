"""A database with one table of notes, in place of the real schema."""

import sqlite3
from pathlib import Path

from pulseshim.database import Database

FIRST = "CREATE TABLE notes (text TEXT NOT NULL) STRICT;"
SECOND = "ALTER TABLE notes ADD COLUMN kind TEXT NOT NULL DEFAULT 'plain'; CREATE TABLE kinds (name TEXT)"


def note(database: Database, *texts: str) -> None:
    """Write notes in one step."""
    with database.step() as connection:
        connection.executemany("INSERT INTO notes (text) VALUES (?)", [(text,) for text in texts])


def notes(path: Path) -> list[str]:
    """Give the notes as another process sees them."""
    other = sqlite3.connect(path)
    found = [text for (text,) in other.execute("SELECT text FROM notes ORDER BY rowid")]
    other.close()
    return found


def made(path: Path, statements: str) -> bytes:
    """Make a database that is not ours and give its bytes."""
    other = sqlite3.connect(path)
    other.executescript(statements)
    other.close()
    return path.read_bytes()
