-- Why a message was refused: queue_full, share_full, rate_limited. Up to here there was one reason.
ALTER TABLE inbox ADD COLUMN refusal TEXT;
UPDATE inbox SET refusal = 'queue_full' WHERE state = 'refused';

-- Partial: only what was refused costs anything.
CREATE INDEX inbox_by_refusal ON inbox (refusal) WHERE refusal IS NOT NULL;

-- Up to when what each person has sent uses up their rate, on the platform's clock. Rows are made only where a rate is
-- limited.
CREATE TABLE rates (
    connector TEXT NOT NULL,
    user_id TEXT NOT NULL,
    used_until BIGINT NOT NULL,
    PRIMARY KEY (connector, user_id)
);
