-- What a device said stood on its screen: a page of a document by the SHA-256 of its image. The first time counts.
CREATE TABLE page_openings (
    document TEXT NOT NULL REFERENCES documents (id),
    person TEXT NOT NULL REFERENCES people (id),
    page BIGINT NOT NULL,
    image TEXT NOT NULL,
    device TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (document, person, page, image)
);

-- The list of openings that a signature rests on, as it was when the signature was intended; the log names its digest.
CREATE TABLE opening_proofs (
    prepared TEXT NOT NULL PRIMARY KEY REFERENCES prepared_revisions (id),
    digest TEXT NOT NULL,
    proof BLOB NOT NULL
);
