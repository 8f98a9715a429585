-- Which files of another program were taken over: each once, whatever becomes of it later.
CREATE TABLE imports (
    source TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    at BIGINT NOT NULL
);
