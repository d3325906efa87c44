"""The event log of many machines: one Apache Kafka topic, keyed by contract.

cluster       where Kafka is and what we ask of it; every wait on it is bounded here
topic         does the topic exist, and is it the right one
sink          the publisher's end: an idempotent producer that is thrown away when it fails
source        the notifier's end: a group's reader whose positions are the database's
assignment    what the group has given that reader
dead_letters  where records go that are no event
interruption  how that reader stops waiting when the process is told to stop

aiokafka is named in this folder only.
"""
