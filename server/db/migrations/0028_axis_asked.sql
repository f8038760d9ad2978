-- Whether polls were answered since the axis failed last: then what fails is sending alone, and polls go on beside it.
ALTER TABLE axis_health ADD COLUMN polled BIGINT NOT NULL DEFAULT 0;

-- When the axis was last asked whether the receivers have taken a packet that none of them has confirmed.
ALTER TABLE outgoing_packets ADD COLUMN asked_us BIGINT;
