"""Watch: what operators see, from the durable rows alone, and the one thing they can do.

insights   read-only questions to the rows: subscriptions, deliveries, reports, the log; every frontend asks here
words      states and times as an operator says them; pure
actions    `retry`: a lane made due now, with an audit row
gauges     the rows as Prometheus gauges
pages      `/ops`, on the admin port
"""
