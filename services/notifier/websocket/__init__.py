"""Websocket: the channel on which the client connects, and is told for as long as it stays.

tokens      what a client shows to be bound, given for an hour or so and kept as a hash
bindings    which lanes have a client, and at which process; in the database, so that any notifier may have it
connection  one client's connection: a frame out, and a proof that it came in
sockets     the connections of this process, as what sends for lanes sees them
http        `$get-ws-binding-token`, and where clients connect

Source: Subscriptions R5 Backport 1.1.0, channels (R-160…R-168); RFC 6455.
"""
