-- Images of signatures and seals (SIG-1, SIG-2). `owner` is a person or an organisation; `blob` is the image as stamps embed it,
-- `width` and `height` its pixels; `diameter_um` of the real seal in micrometres, NULL for a person.
CREATE TABLE stamp_images (
    owner TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (id),
    blob TEXT NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    diameter_um BIGINT,
    put_by TEXT NOT NULL,
    put_us BIGINT NOT NULL
);
