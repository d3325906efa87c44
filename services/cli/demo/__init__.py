"""`vbpr demo`: the whole path on this machine, with a crash half-way, and a ledger that must close.

scenario   what is published, in which order, and who must be told of it: a literal table
processes  starting, killing and ending `vbpr` processes
machines   the two ways to run: one process, or publisher and notifiers on Kafka and PostgreSQL
hearing    what the receiver has heard so far, from its own record
ledger     does it close; pure
show       what a person sees
story      the demo from beginning to end
command    the options
"""
