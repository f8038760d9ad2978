-- Axes list agencies each for itself: a code may stand in several lists, and end in one. `agencies.of_list` is `agency_lists.number`. Ids of one
-- list lie in a range of their own, see `changes.first_id`. What was kept so far is the list that was taken last.
CREATE TABLE listed_agencies (
    id INTEGER NOT NULL PRIMARY KEY,
    of_list BIGINT NOT NULL,
    code_key TEXT NOT NULL,
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
    closed_us BIGINT,
    UNIQUE (of_list, code_key)
);
INSERT INTO listed_agencies (id, of_list, code_key, old_key, code, old_code, name, mail, unit, parent_unit, parent_key, level, test, closed, words,
    digest, successor, listed_us, closed_us)
SELECT id, 0, code_key, old_key, code, old_code, name, mail, unit, parent_unit, parent_key, level, test, closed, words, digest, successor, listed_us,
    closed_us FROM agencies;
DROP TABLE agencies;
ALTER TABLE listed_agencies RENAME TO agencies;
CREATE INDEX agencies_old ON agencies (of_list, old_key);
-- only postgres
CREATE INDEX agencies_words ON agencies USING gin (array_to_tsvector(string_to_array(words, ' ')));

-- `axis` is the address; `synchronised_us` is 0 before the list was taken over whole for the first time.
ALTER TABLE agency_lists ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
DELETE FROM agency_lists WHERE axis <> (SELECT axis FROM agency_lists ORDER BY synchronised_us DESC, axis LIMIT 1);
CREATE UNIQUE INDEX agency_lists_number ON agency_lists (number);
