"""What must be trusted: keys, PINs, try counters, the log. No PDF, no HTTP, no network."""
