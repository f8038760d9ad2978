-- Revisions are judged by whoever needs the verdict: the seal's sheet, the archive, the packet. No job does it beforehand any more.
DELETE FROM jobs WHERE kind = 'approvals.validate';
