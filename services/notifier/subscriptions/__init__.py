"""Subscriptions: what one asks for, whether it is admitted, and its status.

admission  resource -> what was asked, or every reason why not; pure
channels   endpoint, headers, payload: the part of admission about where and how; pure
statuses   the status machine as a table; pure
store      rows, revision, lane and counter, one transaction a write
http       /fhir/Subscription
"""
