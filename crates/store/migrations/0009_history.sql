-- What a session that takes another's place is told: the turns of its conversation since the last reset.
CREATE INDEX turns_by_conversation ON turns (conversation, id);

-- The last turn that no new session is told of. Of conversations from before it is not known where a session began.
ALTER TABLE conversations ADD COLUMN history_after BIGINT NOT NULL DEFAULT 0;
UPDATE conversations
SET history_after = COALESCE((SELECT MAX(t.id) FROM turns t WHERE t.conversation = conversations.id), 0);

-- Partial: of what is posted, only answers are told.
CREATE INDEX outbox_answers ON outbox (turn, id) WHERE kind = 'reply' AND turn IS NOT NULL;
