"""The publisher: takes reports from payers, checks them, keeps every version, serves them, emits events.

accept -> check -> derive -> store -> emit; `wiring` puts the parts together.
"""
