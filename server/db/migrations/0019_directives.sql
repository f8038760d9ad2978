-- Leaders' directions (bút phê) on an arrival or a document of the organisation's own. What is directed onwards hangs below the assignee (`parent`)
-- who did it; `root` names the tree, which may reach into other organisations of this installation. `sequence` grows with every change.
CREATE TABLE directives (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    root TEXT NOT NULL,
    parent TEXT,
    arrival TEXT REFERENCES arrivals (id),
    document TEXT REFERENCES documents (id),
    author TEXT NOT NULL REFERENCES people (id),
    title TEXT NOT NULL,
    reference TEXT NOT NULL,
    urgency BIGINT NOT NULL,
    text TEXT NOT NULL,
    due_date TEXT,
    state TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX directives_root ON directives (root);
CREATE INDEX directives_author ON directives (author, state);
CREATE INDEX directives_parent ON directives (parent) WHERE parent IS NOT NULL;
CREATE INDEX directives_open ON directives (due_date) WHERE state = 'open';
CREATE INDEX directives_document ON directives (document) WHERE document IS NOT NULL AND parent IS NULL;
CREATE INDEX directives_arrival ON directives (arrival) WHERE arrival IS NOT NULL AND parent IS NULL;

-- Who has to do it: a person, or an organisation as a unit (`person` is null, `assignee` its id). `warned` and `late_told` are the deadlines of
-- which these people were reminded, and told that it had passed.
CREATE TABLE directive_assignees (
    id TEXT NOT NULL PRIMARY KEY,
    directive TEXT NOT NULL REFERENCES directives (id),
    assignee TEXT NOT NULL,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    person TEXT REFERENCES people (id),
    lead BIGINT NOT NULL,
    state TEXT NOT NULL,
    progress BIGINT NOT NULL,
    word TEXT NOT NULL,
    told_us BIGINT,
    done_us BIGINT,
    warned TEXT NOT NULL,
    late_told TEXT NOT NULL,
    UNIQUE (directive, assignee)
);
CREATE INDEX directive_assignees_assignee ON directive_assignees (assignee, state);

-- The course of handling (REC-1): every order, change, report and end, in the words of whoever made it.
CREATE TABLE directive_entries (
    id TEXT NOT NULL PRIMARY KEY,
    directive TEXT NOT NULL REFERENCES directives (id),
    assignee TEXT,
    sequence BIGINT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    due_date TEXT,
    progress BIGINT,
    author TEXT NOT NULL,
    at_us BIGINT NOT NULL
);
CREATE INDEX directive_entries_directive ON directive_entries (directive, id);

-- Documents that were written because of a direction; what their receivers report stands in its tree.
CREATE TABLE directive_documents (
    directive TEXT NOT NULL REFERENCES directives (id),
    document TEXT NOT NULL REFERENCES documents (id),
    PRIMARY KEY (directive, document)
);
