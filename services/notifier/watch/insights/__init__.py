"""Insights: read-only questions to the notifier's rows. No frontend has SQL of its own.

views           the answers, as values; field names are those of `--json`
subscriptions   who is told, what each is owed, since when, and what keeps it
state           what has become of one number; follows from the lane's cursor
deliveries      one row a subscription and number, and everything tried for it
reports         where is the report for this contract?
intake          how far the log is read, and what in it could not be
"""
