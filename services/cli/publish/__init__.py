"""`vbpr publish`: send reports to a publisher over HTTP, and say what became of each.

sources   files, folders, NDJSON and standard input as single resources, in order
answer    one HTTP answer as accepted, unchanged, rejected or to be tried again; pure
ahead     reading them in a thread, a bounded way ahead
send      resources that go together, until each is answered
lanes     many of them, several requests at a time, in the order that matters
show      the lines, the progress bar and the summary
command   the options
"""
