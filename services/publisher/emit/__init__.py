"""The emit step: committed outbox rows get their place in the event log, in contract order, at least once."""
