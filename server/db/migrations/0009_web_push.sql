-- A Web Push address is used once its device has given back the challenge that was pushed to it; until then its state is 'pending'.
-- What was registered before had to prove nothing: those devices register again.
ALTER TABLE push_addresses ADD COLUMN challenge TEXT;
UPDATE push_addresses SET state = 'dead' WHERE transport = 'webpush';
