"""What a source remembers, read from the store and written back in the step of its envelopes."""

import os
import sqlite3
from collections.abc import Mapping

from pulseshim.database import Database


class FeedState:
    """The state of one feed: reads go to the store, changes wait here until `write` puts them into a step."""

    def __init__(self, database: Database, feed: str) -> None:
        self.feed = feed
        self._database = database
        self._stored: dict[str, dict[str, str]] = {}
        self._changed: dict[str, dict[str, str]] = {}
        self._counted: dict[str, int] = {}

    def get(self, key: str) -> dict[str, str]:
        """Give what was last stored or set under a key; `{}` where nothing was."""
        if key in self._changed:
            return dict(self._changed[key])
        return dict(self._read(key))

    def set(self, key: str, value: Mapping[str, str]) -> None:
        """Replace what stands under a key."""
        self._read(key)
        self._changed[key] = dict(value)

    def keys(self) -> list[str]:
        """Give the keys that hold something, in their order."""
        rows = self._database.query("SELECT DISTINCT key FROM states WHERE feed = ?", (self.feed,))
        stored = {os.fsdecode(key) for (key,) in rows}
        emptied = {key for key, value in self._changed.items() if not value}
        return sorted((stored | self._changed.keys()) - emptied)

    def count(self, name: str) -> None:
        """Add one to a counter of the feed."""
        self._counted[name] = self._counted.get(name, 0) + 1

    def _read(self, key: str) -> dict[str, str]:
        if key not in self._stored:
            rows = self._database.query(
                "SELECT field, value FROM states WHERE feed = ? AND key = ?", (self.feed, os.fsencode(key))
            )
            self._stored[key] = {os.fsdecode(field): os.fsdecode(value) for field, value in rows}
        return self._stored[key]

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what changed, entry by entry, inside the caller's step."""
        for key, value in self._changed.items():
            before, where = self._stored[key], (self.feed, os.fsencode(key))
            connection.executemany(
                "DELETE FROM states WHERE feed = ? AND key = ? AND field = ?",
                [(*where, os.fsencode(field)) for field in before.keys() - value.keys()],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?)",
                [
                    (*where, os.fsencode(field), os.fsencode(text))
                    for field, text in value.items()
                    if before.get(field) != text
                ],
            )
        connection.executemany(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(self.feed, name, number) for name, number in self._counted.items()],
        )

    def written(self) -> None:
        """Take note that the step was committed: what was changed is what is stored now."""
        self._stored.update(self._changed)
        self._changed.clear()
        self._counted.clear()


class EmptyState:
    """The state of a feed of which nothing is stored: its store is not there yet, or cannot be read."""

    def __init__(self, feed: str) -> None:
        self.feed = feed

    def get(self, _key: str) -> dict[str, str]:
        """Give nothing."""
        return {}

    def set(self, _key: str, _value: Mapping[str, str]) -> None:
        """Keep nothing."""

    def keys(self) -> list[str]:
        """Give no key."""
        return []

    def count(self, _name: str) -> None:
        """Count nothing."""
