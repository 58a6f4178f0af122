"""The ledger's schema, a script for each version. Scripts are only ever added (FORMAT.md describes them)."""

MIGRATIONS = (
    """
CREATE TABLE files ( -- the last look at each file of the sources; says nothing of what is indexed
    source TEXT NOT NULL,
    path BLOB NOT NULL, -- relative to the source, as the file system has it
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    observed_ns INTEGER NOT NULL,
    revision BLOB NOT NULL, -- sha256 of the content
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE sources (
    name TEXT PRIMARY KEY NOT NULL,
    device INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE generations (
    number INTEGER PRIMARY KEY NOT NULL,
    state TEXT NOT NULL,
    table_name TEXT NOT NULL UNIQUE, -- never used again
    recipe TEXT NOT NULL, -- JSON
    version INTEGER NOT NULL, -- the Lance commit that this ledger vouches for
    manifest TEXT NOT NULL, -- its manifest, relative to the data directory
    created_at REAL NOT NULL,
    promoted_at REAL
) STRICT;
CREATE TABLE documents ( -- what a generation holds
    generation INTEGER NOT NULL REFERENCES generations (number),
    source TEXT NOT NULL,
    path BLOB NOT NULL,
    revision BLOB NOT NULL,
    parser TEXT NOT NULL, -- versions of parser and chunker code and of the libraries under them
    chunks INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    indexed_at REAL NOT NULL,
    keys BLOB NOT NULL -- embedding keys in reading order, 32 bytes each; last, so that other reads skip it
) STRICT;
CREATE UNIQUE INDEX documents_by_name ON documents (generation, source, path);
CREATE TABLE failures (
    number INTEGER PRIMARY KEY NOT NULL,
    source TEXT NOT NULL,
    path BLOB NOT NULL,
    revision BLOB, -- null: it could not even be read
    parser TEXT NOT NULL,
    reason TEXT NOT NULL,
    permanent INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    UNIQUE (source, path)
) STRICT;
CREATE TABLE holds (
    source TEXT PRIMARY KEY NOT NULL,
    documents INTEGER NOT NULL,
    reason TEXT NOT NULL,
    since REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY NOT NULL,
    generation INTEGER NOT NULL REFERENCES generations (number),
    lane TEXT NOT NULL,
    state TEXT NOT NULL,
    texts INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE job_keys ( -- of open and failed jobs only
    job INTEGER NOT NULL REFERENCES jobs (number),
    key BLOB NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE publishes (
    number INTEGER PRIMARY KEY NOT NULL,
    generation INTEGER NOT NULL,
    version INTEGER NOT NULL,
    published_at REAL NOT NULL
) STRICT;
CREATE TABLE spend (
    lane TEXT PRIMARY KEY NOT NULL,
    texts INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    usd REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE notes (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE table_files ( -- the files of the live table as they were when they were last known good
    path TEXT PRIMARY KEY NOT NULL, -- relative to the data directory
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
DELETE FROM notes WHERE name = 'table stamp';
CREATE TABLE totals ( -- of `documents`, kept by triggers, because to count them is to read them all
    generation INTEGER PRIMARY KEY NOT NULL,
    documents INTEGER NOT NULL,
    chunks INTEGER NOT NULL
) STRICT;
INSERT INTO totals SELECT generation, count(*), sum(chunks) FROM documents GROUP BY generation;
CREATE TRIGGER document_added AFTER INSERT ON documents BEGIN
    INSERT INTO totals VALUES (NEW.generation, 1, NEW.chunks)
    ON CONFLICT (generation) DO UPDATE SET documents = documents + 1, chunks = chunks + NEW.chunks; END;
CREATE TRIGGER document_changed AFTER UPDATE OF chunks ON documents BEGIN
    UPDATE totals SET chunks = chunks + NEW.chunks - OLD.chunks WHERE generation = NEW.generation; END;
CREATE TRIGGER document_removed AFTER DELETE ON documents BEGIN
    UPDATE totals SET documents = documents - 1, chunks = chunks - OLD.chunks
    WHERE generation = OLD.generation; END
""",
    """
ALTER TABLE generations ADD COLUMN promoted_by TEXT NOT NULL DEFAULT '';
ALTER TABLE generations ADD COLUMN is_fresh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN behind_documents INTEGER;
ALTER TABLE generations ADD COLUMN behind_since REAL
""",
    """
CREATE TABLE batches ( -- what a job of the batch lane needs to go on after any crash
    job INTEGER PRIMARY KEY NOT NULL REFERENCES jobs (number),
    tag TEXT NOT NULL UNIQUE, -- our name for it at the provider, never used again
    account TEXT NOT NULL, -- digest of the server and the project; no key
    dimensions INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, -- of the input file; what is beyond was never committed
    sealed_by TEXT NOT NULL, -- why it grows no more; empty: it does
    digest TEXT NOT NULL, -- sha256 of the sealed input file
    file_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    submitting_at REAL, -- when its creation was first intended; since then it may exist
    absences INTEGER NOT NULL, -- listings since then that did not have it
    provider_state TEXT NOT NULL,
    completed INTEGER NOT NULL, -- texts, as the provider counts them
    expires_at REAL,
    is_cancelling INTEGER NOT NULL -- a person, or the deadline, gave it up
) STRICT;
CREATE INDEX job_keys_by_key ON job_keys (key);
CREATE TABLE waits ( -- documents that wait for a job, at exactly this revision
    generation INTEGER NOT NULL,
    source TEXT NOT NULL,
    path BLOB NOT NULL,
    job INTEGER NOT NULL,
    revision BLOB NOT NULL,
    parser TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (generation, source, path, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX waits_by_job ON waits (job);
CREATE TABLE attempts ( -- texts that were sent and came back without a vector that could be believed
    key BLOB PRIMARY KEY NOT NULL,
    count INTEGER NOT NULL,
    refusal TEXT NOT NULL -- why it is not sent again; empty: it is
) STRICT, WITHOUT ROWID;
CREATE TABLE bookings ( -- every text that was sent to a model
    day INTEGER NOT NULL, -- since the epoch, UTC
    lane TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    texts INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    saved_usd REAL NOT NULL, -- by the batch lane, against real-time
    PRIMARY KEY (day, lane, model, outcome)
) STRICT, WITHOUT ROWID;
INSERT INTO bookings SELECT 0, lane, '', 'indexed', texts, tokens, usd, 0.0 FROM spend;
DROP TABLE spend;
ALTER TABLE jobs ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN usd REAL NOT NULL DEFAULT 0.0
""",
    """
CREATE TABLE settled ( -- sources whose files were all found to be as a generation holds them
    source TEXT PRIMARY KEY NOT NULL,
    generation INTEGER NOT NULL,
    code BLOB NOT NULL, -- digest of the versions of all parsers and of the chunker
    digest BLOB NOT NULL -- sha256 of paths and stats of all its files
) STRICT, WITHOUT ROWID;
CREATE TRIGGER file_added_unsettles AFTER INSERT ON files BEGIN
    DELETE FROM settled WHERE source = NEW.source; END;
CREATE TRIGGER file_changed_unsettles AFTER UPDATE ON files BEGIN
    DELETE FROM settled WHERE source = NEW.source; END;
CREATE TRIGGER file_removed_unsettles AFTER DELETE ON files BEGIN
    DELETE FROM settled WHERE source = OLD.source; END;
CREATE TRIGGER document_added_unsettles AFTER INSERT ON documents BEGIN
    DELETE FROM settled WHERE source = NEW.source; END;
CREATE TRIGGER document_changed_unsettles AFTER UPDATE ON documents BEGIN
    DELETE FROM settled WHERE source = NEW.source; END;
CREATE TRIGGER document_removed_unsettles AFTER DELETE ON documents BEGIN
    DELETE FROM settled WHERE source = OLD.source; END
""",
    """
CREATE INDEX jobs_open ON jobs (lane) WHERE state IN ('planned', 'submitted', 'submitting');
CREATE INDEX jobs_ended ON jobs (updated_at) WHERE state NOT IN ('planned', 'submitted', 'submitting');
DROP TRIGGER document_added;
DROP TRIGGER document_changed;
DROP TRIGGER document_removed;
ALTER TABLE totals ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
UPDATE totals SET tokens =
    (SELECT coalesce(sum(tokens), 0) FROM documents WHERE documents.generation = totals.generation);
CREATE TRIGGER document_added AFTER INSERT ON documents BEGIN
    INSERT INTO totals (generation, documents, chunks, tokens)
    VALUES (NEW.generation, 1, NEW.chunks, NEW.tokens)
    ON CONFLICT (generation) DO UPDATE
    SET documents = documents + 1, chunks = chunks + NEW.chunks, tokens = tokens + NEW.tokens; END;
CREATE TRIGGER document_changed AFTER UPDATE OF chunks, tokens ON documents BEGIN
    UPDATE totals SET chunks = chunks + NEW.chunks - OLD.chunks, tokens = tokens + NEW.tokens - OLD.tokens
    WHERE generation = NEW.generation; END;
CREATE TRIGGER document_removed AFTER DELETE ON documents BEGIN
    UPDATE totals SET documents = documents - 1, chunks = chunks - OLD.chunks, tokens = tokens - OLD.tokens
    WHERE generation = OLD.generation; END
""",
)
