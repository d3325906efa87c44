"""The path of a report, step by step, and where each step lives.

accept     publisher/accept      POST /fhir: parse, bound, tell creates from Bundles, answer
check      publisher/check       structure gate, then profile rules; pure
derive     publisher/derive      contract, parties, stage, kind, identity, facets; pure
store      publisher/store       version + outbox row + audit row, one transaction, then 201
emit       publisher/emit        outbox -> event log, in contract order, at least once
consume    notifier/consume      event log -> here, read position in the database
match      notifier/match        which subscriptions an event fires, by index; pure
enqueue    notifier/enqueue      events, event numbers and read position, one transaction
render     notifier/render       the bytes and headers of one notification; pure
send       notifier/send         one HTTP try, bounded and classified
           notifier/websocket    or one frame to a client that has connected, and the proof that it has it
record     notifier/record       verdict -> delivered, retry at, given up
watch      notifier/watch        what operators see, from the durable rows alone

Being a process: clock, settings, logs, metrics, durations, fhir_http, negotiation, shown, fixed_http, principal,
event_log (+ _kafka, _outbox), database, statistics, wakeup, lifecycle, event_loop, ports, readiness, trusted_hosts,
admin_http, process. Each service has one `wiring`, the only module that names concrete classes.
"""
