-- Through which of this installation's systems a packet was sent, or came: the id that an axis gave the system; empty for the system of all
-- organisations that have none of their own. An open outcome is asked about with the credentials that sent.
ALTER TABLE outgoing_packets ADD COLUMN system TEXT NOT NULL DEFAULT '';
ALTER TABLE outgoing_messages ADD COLUMN system TEXT NOT NULL DEFAULT '';
ALTER TABLE incoming_packets ADD COLUMN system TEXT NOT NULL DEFAULT '';
