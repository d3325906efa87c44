"""The emit step: committed outbox rows get their place in the event log, in contract order, at least once.

birth     where the outbox is the log: places for events as they are stored, handed to the reader once committed
relay     what is new goes first, as soon as it is committed
backlog   how much of that waits, and since when
again     what an operator wants emitted again, when nothing new waits
"""
