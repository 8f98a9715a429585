-- The first schema. Plain types and explicit constraints, so that the same tables work on PostgreSQL; there
-- "INTEGER PRIMARY KEY AUTOINCREMENT" becomes "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY".
-- Ids are never used twice, also not after a row is removed: a late answer must not hit another row.
-- Times are milliseconds since the Unix epoch. Truth values are 0 and 1.

-- When each connector was last connected.
CREATE TABLE connectors (
    name TEXT NOT NULL PRIMARY KEY,
    last_alive BIGINT NOT NULL
);

-- How far each room was read.
CREATE TABLE rooms (
    connector TEXT NOT NULL,
    room TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT,
    start_at BIGINT NOT NULL,
    cursor_at BIGINT NOT NULL,
    PRIMARY KEY (connector, room)
);

-- Which account a configured name belongs to, and which other account claims it.
CREATE TABLE people (
    connector TEXT NOT NULL,
    username TEXT NOT NULL,
    user_id TEXT NOT NULL,
    claimed_by TEXT,
    PRIMARY KEY (connector, username)
);

CREATE TABLE watchers (
    name TEXT NOT NULL PRIMARY KEY,
    paused SMALLINT NOT NULL
);

-- thread is '' where threads have no session of their own: a NULL would not take part in UNIQUE.
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    connector TEXT NOT NULL,
    room TEXT NOT NULL,
    agent TEXT NOT NULL,
    thread TEXT NOT NULL,
    session TEXT,
    session_used SMALLINT NOT NULL,
    UNIQUE (connector, room, agent, thread)
);

-- state: begun, sent, ended.
CREATE TABLE turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation BIGINT NOT NULL REFERENCES conversations (id),
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    session TEXT,
    begun_at BIGINT NOT NULL,
    ended_at BIGINT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    cost_usd DOUBLE PRECISION,
    duration_ms BIGINT,
    model_turns BIGINT
);

CREATE INDEX turns_by_state ON turns (state, id);

CREATE TABLE turn_tools (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn BIGINT NOT NULL REFERENCES turns (id),
    call_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    finished SMALLINT NOT NULL,
    UNIQUE (turn, call_id)
);

-- state: waiting, running, done, refused, withdrawn. connector, room and agent repeat the conversation's, for the
-- constraint that accepts a message once. warnings is a JSON array of texts.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation BIGINT NOT NULL REFERENCES conversations (id),
    state TEXT NOT NULL,
    turn BIGINT REFERENCES turns (id),
    connector TEXT NOT NULL,
    room TEXT NOT NULL,
    message TEXT NOT NULL,
    agent TEXT NOT NULL,
    watcher TEXT NOT NULL,
    room_name TEXT NOT NULL,
    room_kind TEXT NOT NULL,
    room_parent TEXT,
    thread TEXT,
    sender_id TEXT NOT NULL,
    sender_username TEXT NOT NULL,
    sender_display_name TEXT,
    role TEXT NOT NULL,
    body TEXT NOT NULL,
    addressed TEXT NOT NULL,
    warnings TEXT NOT NULL,
    sent_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    UNIQUE (connector, room, message, agent)
);

CREATE INDEX inbox_by_state ON inbox (state, conversation, id);
CREATE INDEX inbox_by_turn ON inbox (turn);

-- state: pending, sent, failed, ambiguous. turn is a note of origin, not a constraint: a turn that reached nobody is
-- removed while its notices stay.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    connector TEXT NOT NULL,
    room TEXT NOT NULL,
    thread TEXT,
    part_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    turn BIGINT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    remote TEXT,
    reason TEXT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    UNIQUE (connector, part_key)
);

CREATE INDEX outbox_by_state ON outbox (state, connector, room, id);
