-- When a post is too old to be made, which posts belong together, and second copies of posts that may have been lost.
-- state has one more word: expired.

-- NULL: the part waits for as long as it takes.
ALTER TABLE outbox ADD COLUMN expires_at BIGINT;
-- The first of the parts that were stored together; NULL: the part itself is it, or it is alone.
ALTER TABLE outbox ADD COLUMN batch BIGINT;
-- The part of unknown fate that this one repeats.
ALTER TABLE outbox ADD COLUMN copy_of BIGINT;
-- Posted before everything else that waits in its room.
ALTER TABLE outbox ADD COLUMN ahead SMALLINT NOT NULL DEFAULT 0;
-- An attempt has begun, and it is not known that it posted nothing.
ALTER TABLE outbox ADD COLUMN doubt SMALLINT NOT NULL DEFAULT 0;
-- Whether the room needs no word about it (any more); of expired parts only.
ALTER TABLE outbox ADD COLUMN told SMALLINT NOT NULL DEFAULT 1;

UPDATE outbox SET doubt = 1 WHERE state = 'pending' AND attempts > 0;

CREATE INDEX outbox_ahead ON outbox (connector, room, id) WHERE state = 'pending' AND ahead = 1;
CREATE INDEX outbox_untold ON outbox (state, connector, room) WHERE state = 'expired' AND told = 0;
