-- Verdicts on files that came from the exchange (EXC-2), kept with what was found. `report` is the answer of the validation as JSON;
-- `source` names the packet by its id on the axis, `file` is the SHA-256 of the attachment, `name` its sender's name, cleaned.
CREATE TABLE incoming_validations (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    source TEXT NOT NULL,
    file TEXT NOT NULL,
    name TEXT NOT NULL,
    verdict TEXT NOT NULL,
    report TEXT NOT NULL,
    judged_us BIGINT NOT NULL,
    UNIQUE (source, file)
);
CREATE INDEX incoming_validations_file ON incoming_validations (organisation, file);
