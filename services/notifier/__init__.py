"""The notifier: reads events, matches them against Subscriptions, delivers in order and keeps at it for days.

subscriptions   what a Subscription asks for, whether it is admitted, and its status
consume -> match -> enqueue -> render -> send -> record -> watch
model, tables   the values and the rows these share; `wiring` puts the parts together

A lane is the deliveries of one subscription in event-number order. Its row holds a cursor: every number
below `next_number` is delivered or given up, every one from it to `last_number` is owed. So a delivery
moves one narrow row, and what became of a number follows from the cursor and the attempts.
"""
