"""The ledger: was every report that was accepted told to everyone who asked, once, in order?

It is checked from outside: a process of its own, `python -m tests.ledger`, that shares no line of code with
the services. It works out for itself who should have been told of what, and holds that against what the
receiver kept and what the operators' listing says.

inputs    the four files, read into values
reports   what a report version says, and which event it makes
criteria  the plain evaluation of a subscription over an event
account   one subscription: what was expected against what was received and listed
balance   the whole: every subscription's account, and what belongs to none
"""
