"""What is measured, one module a question; each runs by itself: `python -m benchmarks.NAME [--quick] [--out FILE]`.

deliver   how fast is a backlog drained, beside a bare client loop, and beside an endpoint that hangs?
accept    how many reports a second are made durable, beside a handler that does nothing?
check     what does it cost to check a right report's structure and rules?
match     what does matching an event cost, at a thousand and at a million subscriptions?
memory    does `vbpr serve` grow in an hour of reports?
history   do finished deliveries slow down what comes after them?
search    how long does a search take with a thousand and with 200,000 reports stored?
latency   how long from publishing a report to its receipt, and how soon is `vbpr serve` there, how large?

result     rows, the table, the JSON and the exit code
sink       the endpoint: another process that counts, and checks the numbers of every subscription
wire       a lean HTTP/1.1 client, so that the load generator is not what is measured
servers    where things run: `vbpr` processes and databases, on free loopback ports, in a folder that goes away
shelf      a publisher's database with many reports in it
reports    synthetic reports of a size, made from the examples
backlog    what is owed, put there by the notifier's own enqueue
draining   notifiers in processes of their own, told when to begin, which say what they cost
neighbour  the case of the endpoint that hangs

Every figure is a ratio to a ceiling of the same run on the same machine. A run whose ledger does not close
(something missing, twice or out of order at the endpoint) is void and exits 1.
"""
