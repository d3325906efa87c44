"""Consume: events read from the log after the position kept in the database, matched, and enqueued.

freshness  the match index brought up to date, changes only, before a batch is matched
positions  where each partition is read on, from the database
continuity the log goes on where it was left, or reading stops until somebody decides
restored   a database behind what was read of the log: numbers it has forgotten are passed over
intake     the loop that puts these together
"""
