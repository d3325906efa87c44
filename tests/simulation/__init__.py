"""Simulation: what can go wrong between a payer and a receiver that no other test would think of?

The real publisher and notifier, below HTTP and above the driver, on an event loop whose time is a number. One
seed decides everything: what is sent, who dies when, which answer is lost. Days pass in milliseconds, and the
same seed gives the same run, so a bug that was found once is found again.

loop       virtual time; processes that are killed or frozen between any two steps, exactly
chance     the one source of chance of a run, and the clocks made of it
dice       the faults that strike where a process waits for something outside itself
disk       SQLite without threads: locked, slow, full, cut off, or committed with the answer lost
kafka      an event log with a group, rebalances, outages and lost acknowledgements
receivers  endpoints that take, refuse, hang, reset or lose the answer, and keep their own record
machines   processes put together as production's wiring does, started, killed, frozen and started again
payers     clients that publish, and send again what was not answered
clients    clients that subscribe, look after their Subscriptions, and give them up
judge      after the run: what was accepted against what was received; see also `tests.ledger`
world      what a seed draws: how many of each, what they want, how bad it gets
run        one seed from its first report to its verdict
unsafe     the safeties that can be taken out, to show that the judge would notice
found      the seeds that found a bug, and what it was

`python -m tests.simulation --seeds 0:1000`; a seed that fails prints the command that runs it again.
"""
