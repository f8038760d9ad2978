-- One-stop office: where dossiers stand, and no more of them (PDP-1). The secret of an applicant's link is kept as its digest alone; the one-stop
-- system's own reference only while the dossier is open. `responsible` is a JSON list of people.
CREATE TABLE onestop_units (
    organisation TEXT NOT NULL REFERENCES organisations (id),
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    name_en TEXT NOT NULL,
    responsible TEXT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (organisation, code)
);

-- `look_us`: when a step without a handler is looked at again; `late_us`: since when the unit knows of it.
CREATE TABLE dossiers (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    client TEXT NOT NULL REFERENCES service_clients (id),
    reference TEXT,
    secret_hash TEXT NOT NULL UNIQUE,
    sequence BIGINT NOT NULL,
    step TEXT NOT NULL,
    unit TEXT NOT NULL,
    promised TEXT,
    handled BIGINT NOT NULL,
    step_us BIGINT NOT NULL,
    look_us BIGINT,
    late_us BIGINT,
    closed_us BIGINT
);
CREATE UNIQUE INDEX dossiers_reference ON dossiers (organisation, client, reference) WHERE reference IS NOT NULL;
CREATE INDEX dossiers_look ON dossiers (look_us) WHERE look_us IS NOT NULL;
CREATE INDEX dossiers_open ON dossiers (organisation, unit) WHERE closed_us IS NULL;
CREATE INDEX dossiers_closed ON dossiers (closed_us) WHERE closed_us IS NOT NULL;
