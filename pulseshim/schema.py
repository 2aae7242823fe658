"""The tables of the outbox, and the way from each version of them to the next.

`envelopes` is written once and never changed: what becomes of an envelope stands in `pending`, `confirmed`
and `parked`. The version is SQLite's `user_version`: the number of migrations that have been made. Whose file
it is stands in `application_id`; one without it is ours if it has the first table below, to the letter.
Times are in milliseconds since 1970 (UTC).
"""

_FIRST = """
CREATE TABLE envelopes (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    feed TEXT NOT NULL,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (exchange, message_id)
) STRICT;
CREATE TABLE pending (
    account TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (account, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE confirmed (
    position INTEGER PRIMARY KEY,
    confirmed_at INTEGER NOT NULL
) STRICT;
CREATE TABLE sequences (
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (exchange, routing_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE states (
    feed TEXT NOT NULL,
    key BLOB NOT NULL,
    field BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (feed, key, field)
) STRICT, WITHOUT ROWID;
CREATE TABLE counters (
    feed TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (feed, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE invocations (
    id TEXT PRIMARY KEY,
    read_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE parked (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('invocation', 'envelope', 'file')),
    feed TEXT NOT NULL,
    subject TEXT NOT NULL,
    cause TEXT NOT NULL,
    traceback TEXT NOT NULL,
    parked_at INTEGER NOT NULL,
    account TEXT,
    position INTEGER UNIQUE,
    content BLOB,
    awaiting TEXT NOT NULL DEFAULT 'person' CHECK (awaiting IN ('person', 'feed', 'reader'))
) STRICT;
CREATE TABLE exchanges (
    exchange TEXT PRIMARY KEY,
    account TEXT NOT NULL DEFAULT '',
    confirmed INTEGER NOT NULL DEFAULT 0,
    confirmed_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE conditions (
    subject TEXT PRIMARY KEY,
    condition TEXT NOT NULL,
    detail TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

_ADMISSION = """
ALTER TABLE envelopes ADD COLUMN admission INTEGER NOT NULL DEFAULT 0 CHECK (admission IN (0, 1))
"""

_SUSPICION = """
ALTER TABLE parked ADD COLUMN owner INTEGER;
ALTER TABLE parked ADD COLUMN suspicious INTEGER NOT NULL DEFAULT 0;
ALTER TABLE parked ADD COLUMN trusted INTEGER NOT NULL DEFAULT 0;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _ADMISSION, _SUSPICION)
