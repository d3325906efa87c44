"""Consume: events read from the log after the position kept in the database, matched, and enqueued.

freshness  the match index brought up to date, changes only, before a batch is matched
positions  where each partition is read on, from the database
intake     the loop that puts these together
"""
