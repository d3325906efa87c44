"""Watch: what operators see, from the durable rows alone, and what they can do.

insights   read-only questions to the rows: subscriptions, deliveries, reports, the log; every frontend asks here
words      states and times as an operator says them; pure
actions    `retry`: a lane made due now, with an audit row
recovery   what retries cannot do: skip, send again, take in dead letters
gauges     the rows as Prometheus gauges
pages      `/ops`, on the admin port
"""
