"""Enqueue: events, event numbers, what is owed and the read position, in one transaction."""
