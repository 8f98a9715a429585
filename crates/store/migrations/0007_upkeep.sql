-- What the removal of old rows looks for, oldest first. Partial: a row is in them only once it is finished, so that
-- they cost the way of a message one entry each.
CREATE INDEX inbox_finished ON inbox (received_at, id) WHERE state IN ('done', 'refused', 'withdrawn');
CREATE INDEX outbox_settled ON outbox (settled_at, id) WHERE settled_at IS NOT NULL;
CREATE INDEX turns_ended ON turns (ended_at, id) WHERE ended_at IS NOT NULL;
