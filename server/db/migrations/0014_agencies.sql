-- The national agency list, synchronised from the axis (reference §6.6). One row for each code that was ever listed: codes of merged and
-- closed agencies stay, with the time of their end and, where the list itself shows it, the code that the same unit has now.
-- `code_key` and `old_key` are the codes trimmed, in lower case; `old_key` is the list's own mapping and never computed. `unit` and
-- `parent_unit` are the axis' ids of the tree, `level` is the depth in it. `words` is what a search finds, without marks; see `agencies.words`.
-- `id` grows with the order in which a search shows equal hits.
CREATE TABLE agencies (
    id INTEGER NOT NULL PRIMARY KEY,
    code_key TEXT NOT NULL UNIQUE,
    old_key TEXT NOT NULL,
    code TEXT NOT NULL,
    old_code TEXT NOT NULL,
    name TEXT NOT NULL,
    mail TEXT NOT NULL,
    unit TEXT NOT NULL,
    parent_unit TEXT NOT NULL,
    parent_key TEXT NOT NULL,
    level BIGINT NOT NULL,
    test BIGINT NOT NULL,
    closed BIGINT NOT NULL,
    words TEXT NOT NULL,
    digest TEXT NOT NULL,
    successor TEXT NOT NULL,
    listed_us BIGINT NOT NULL,
    closed_us BIGINT
);
CREATE INDEX agencies_old ON agencies (old_key);

-- When the list was last taken over whole, and how many entries it had.
CREATE TABLE agency_lists (
    axis TEXT NOT NULL PRIMARY KEY,
    listed BIGINT NOT NULL,
    synchronised_us BIGINT NOT NULL
);

-- Word beginnings. Short ones have indexes of their own, for the first keystrokes.
-- only sqlite
CREATE VIRTUAL TABLE agency_words USING fts5 (words, tokenize = "ascii tokenchars '.'", prefix = '1 2 3 4', detail = none);

-- Lexemes as they stand: a parser would take codes for host names and numbers.
-- only postgres
CREATE INDEX agencies_words ON agencies USING gin (array_to_tsvector(string_to_array(words, ' ')));
