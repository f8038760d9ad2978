-- An annex in a file of its own names its main document: it takes that document's number, is sealed behind it and leaves with it (SIG-4).
ALTER TABLE documents ADD COLUMN annex_of TEXT REFERENCES documents (id);
CREATE INDEX documents_annexes ON documents (annex_of) WHERE annex_of IS NOT NULL;
