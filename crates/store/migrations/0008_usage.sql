-- Output tokens that a model thought with; NULL where a turn told no usage, and in all turns from before.
ALTER TABLE turns ADD COLUMN reasoning_tokens BIGINT;
