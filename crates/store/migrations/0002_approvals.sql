-- Questions put to people, what they allowed, the record of every decision, commands, and sessions of roles. Plain
-- types as in 0001. On PostgreSQL the triggers at the end are functions that RAISE EXCEPTION; what they refuse is the
-- same. Hexadecimal digests are in lower case.

-- How a turn's session is kept: NULL is the conversation's own, else that of the role. state has one more word:
-- deferred, for a turn that waits for a person while no process runs.
ALTER TABLE turns ADD COLUMN session_role TEXT;
ALTER TABLE turns ADD COLUMN taken_up_at BIGINT;

-- Sessions of conversations whose roles have each their own.
CREATE TABLE role_sessions (
    conversation BIGINT NOT NULL REFERENCES conversations (id),
    role TEXT NOT NULL,
    session TEXT NOT NULL,
    session_used SMALLINT NOT NULL,
    PRIMARY KEY (conversation, role)
);

-- state: waiting, deferred, approved, denied, timed_out, withdrawn. turn is a note of origin, not a constraint, as in
-- the outbox.
CREATE TABLE approvals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    code TEXT NOT NULL,
    conversation BIGINT NOT NULL REFERENCES conversations (id),
    turn BIGINT NOT NULL,
    session TEXT NOT NULL,
    agent TEXT NOT NULL,
    role TEXT NOT NULL,
    asker TEXT NOT NULL,
    asker_name TEXT NOT NULL,
    connector TEXT NOT NULL,
    origin TEXT NOT NULL,
    room TEXT NOT NULL,
    thread TEXT,
    tool TEXT NOT NULL,
    params TEXT NOT NULL,
    digest TEXT NOT NULL,
    sameness TEXT NOT NULL,
    call_id TEXT,
    asked_at BIGINT NOT NULL,
    remind_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    reminded SMALLINT NOT NULL,
    used SMALLINT NOT NULL,
    decided_by TEXT,
    decided_by_name TEXT,
    decided_at BIGINT
);

CREATE INDEX approvals_by_code ON approvals (code, id);
CREATE INDEX approvals_by_state ON approvals (state, id);
CREATE INDEX approvals_by_turn ON approvals (turn, id);

-- The parts that show a question. remote is the platform's id of the post; until that is known, the key.
CREATE TABLE approval_parts (
    connector TEXT NOT NULL,
    part_key TEXT NOT NULL,
    approval BIGINT NOT NULL REFERENCES approvals (id),
    position INTEGER NOT NULL,
    room TEXT NOT NULL,
    remote TEXT NOT NULL,
    PRIMARY KEY (connector, part_key)
);

CREATE INDEX approval_parts_by_remote ON approval_parts (connector, room, remote);
CREATE INDEX approval_parts_by_approval ON approval_parts (approval, position);

-- scope: session, always. session is set for the first only; over: that session is gone.
CREATE TABLE grants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    scope TEXT NOT NULL,
    session TEXT,
    connector TEXT NOT NULL,
    room TEXT NOT NULL,
    agent TEXT NOT NULL,
    role TEXT NOT NULL,
    tool TEXT NOT NULL,
    sameness TEXT NOT NULL,
    shown TEXT NOT NULL,
    given_by TEXT NOT NULL,
    given_by_name TEXT NOT NULL,
    given_at BIGINT NOT NULL,
    revoked_at BIGINT,
    over SMALLINT NOT NULL
);

CREATE INDEX grants_by_call ON grants (connector, room, agent, role, tool, sameness);
CREATE INDEX grants_by_session ON grants (session);

-- Messages that were commands to the gateway.
CREATE TABLE commands (
    connector TEXT NOT NULL,
    room TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (connector, room, message)
);

-- The record. seq rises by one (BIGINT on PostgreSQL; here it must be the row itself, not an index). hash is SHA-256 over previous and every column before it; docs/audit.md says how.
CREATE TABLE audit (
    seq INTEGER NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    connector TEXT NOT NULL,
    room TEXT NOT NULL,
    room_name TEXT NOT NULL,
    agent TEXT NOT NULL,
    role TEXT NOT NULL,
    user_id TEXT NOT NULL,
    username TEXT NOT NULL,
    turn BIGINT,
    tool TEXT NOT NULL,
    digest TEXT NOT NULL,
    result TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
);

-- One row at most (id is 1): everything up to seq was pruned, that was so many entries, and the last had this hash.
CREATE TABLE audit_checkpoint (
    id SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    entries BIGINT NOT NULL
);

CREATE TRIGGER audit_in_order BEFORE INSERT ON audit
WHEN NEW.seq <> 1 + COALESCE((SELECT MAX(seq) FROM audit), (SELECT MAX(seq) FROM audit_checkpoint), 0)
BEGIN
    SELECT RAISE(ABORT, 'the record is appended to, in order');
END;

CREATE TRIGGER audit_no_change BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the record is never changed');
END;

CREATE TRIGGER audit_no_removal BEFORE DELETE ON audit
WHEN OLD.seq > COALESCE((SELECT MAX(seq) FROM audit_checkpoint), 0)
BEGIN
    SELECT RAISE(ABORT, 'the record loses only what a checkpoint covers');
END;

CREATE TRIGGER audit_checkpoint_forward BEFORE UPDATE ON audit_checkpoint
WHEN NEW.seq < OLD.seq
BEGIN
    SELECT RAISE(ABORT, 'the checkpoint only moves forward');
END;

CREATE TRIGGER audit_checkpoint_stays BEFORE DELETE ON audit_checkpoint
BEGIN
    SELECT RAISE(ABORT, 'the checkpoint stays');
END;
