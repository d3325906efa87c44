"""`vbpr publish`: send reports to a publisher over HTTP, and say what became of each.

sources   files, folders, NDJSON and standard input as single resources, in order
answer    one HTTP answer as accepted, unchanged, rejected or to be tried again; pure
send      one resource until it is answered; many in order
show      the lines, the progress bar and the summary
command   the options
"""
