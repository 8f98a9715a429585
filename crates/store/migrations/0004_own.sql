-- Ids of messages and files that the gateway made outside the outbox, for accounts that are a person's own: there
-- only the id tells the gateway's posts from theirs.
CREATE TABLE own_ids (
    connector TEXT NOT NULL,
    id TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (connector, id)
);
