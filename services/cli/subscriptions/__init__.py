"""`vbpr subscriptions` and `vbpr subscribe`: Subscriptions over HTTP, as any client has them.

client    one FHIR base; what it refuses becomes a sentence
making    the Subscription that the options describe; pure
waiting   what becomes of a handshake
show      tables and details
command   create, list, show, test, pause, resume, delete
guided    questions that end in a working Subscription
"""
