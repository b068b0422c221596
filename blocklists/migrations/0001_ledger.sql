-- The ledger. Only `entries` is the truth; every other table follows from it and can be built anew
-- (`friendly-blocklist ledger rebuild`).

CREATE TABLE entries (
    number    INTEGER PRIMARY KEY,  -- from 1 without a gap
    octets    BLOB    NOT NULL,     -- the entry in its written form: what is hashed and signed
    hash      BLOB    NOT NULL,     -- BLAKE3 of purpose, hash before, octets
    signature BLOB    NOT NULL,     -- Ed25519 over the same
    at        INTEGER NOT NULL,     -- Unix milliseconds; as in the octets, like the next two
    kind      TEXT    NOT NULL,
    case_id   TEXT
) STRICT;

CREATE INDEX entries_of_case ON entries (case_id, number) WHERE case_id IS NOT NULL;

CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'entries of the ledger are never deleted');
END;

CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'entries of the ledger are never changed');
END;

-- Also what stops INSERT OR REPLACE, for which SQLite does not ask the trigger of DELETE.
CREATE TRIGGER entries_come_in_order BEFORE INSERT ON entries
WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM entries)
BEGIN
    SELECT RAISE(ABORT, 'an entry of the ledger follows the last one');
END;

CREATE TABLE members (
    id         TEXT    PRIMARY KEY,
    key        BLOB    NOT NULL,
    label      TEXT    NOT NULL,
    roles      TEXT    NOT NULL,    -- words, with commas between
    added_by   TEXT    NOT NULL,
    added_at   INTEGER NOT NULL,
    retired_by TEXT,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE cases (
    id         TEXT    PRIMARY KEY,
    class      TEXT    NOT NULL,
    state      TEXT    NOT NULL,    -- when the last entry was made; expiry follows from review_by
    unreviewed INTEGER NOT NULL,
    appeal_due INTEGER,             -- Unix seconds, while an appeal waits for its answer
    review_by  INTEGER,             -- Unix seconds, of the last listing
    body       TEXT    NOT NULL     -- the whole case as JSON
) STRICT, WITHOUT ROWID;

CREATE INDEX cases_by_state ON cases (state);

-- When what was in force: the lists at any time T come from here.
CREATE TABLE listings (
    case_id   TEXT    NOT NULL,
    ordinal   INTEGER NOT NULL,
    class     TEXT    NOT NULL,
    from_ms   INTEGER NOT NULL,
    review_by INTEGER NOT NULL,
    until_ms  INTEGER,
    PRIMARY KEY (case_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX listings_by_end ON listings (class, review_by);

CREATE TABLE returned (
    case_id  TEXT    PRIMARY KEY,
    category TEXT    NOT NULL,
    ground   TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE overrides (
    class        TEXT    NOT NULL,
    hash         BLOB    NOT NULL,
    requested_by TEXT    NOT NULL,
    requested_at INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    approved_by  TEXT,
    approved_at  INTEGER,
    PRIMARY KEY (class, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
    class      TEXT    NOT NULL,
    serial     INTEGER NOT NULL,
    epoch      INTEGER,
    created    INTEGER NOT NULL,
    entries    INTEGER NOT NULL,
    added      INTEGER NOT NULL,
    removed    INTEGER NOT NULL,
    hash       BLOB    NOT NULL,
    overridden INTEGER NOT NULL,
    PRIMARY KEY (class, serial)
) STRICT, WITHOUT ROWID;
