"""`vbpr listen`: a receiver that judges what it is sent.

status    what the Parameters at the head of a notification says; pure
bundle    is the Bundle around it shaped as the guide says; pure
reading   one HTTP request, classic or topic, as a notification; pure
order     do the event numbers come 1, 2, 3 … in each subscription; pure
faults    which requests are answered with a failure on purpose; pure
record    every notification on disk before it is answered
server    the receiver itself
show      a notification as one line
command   the options
"""
