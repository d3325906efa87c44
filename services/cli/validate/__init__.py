"""`vbpr validate`: judges files as the publisher would, without a server and without a database.

judge     what is wrong with one resource, or with each of a Bundle
lines     where in the text an element stands
show      what a run looks like
command   the options of `vbpr validate`

Sources are opened as `vbpr publish` opens them: what can be published can be validated first.
"""
