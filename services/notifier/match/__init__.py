"""Which subscriptions does an event fire? Answered by index, without a look at those it does not concern.

interest   what one subscription wants to hear of, and by which events it is told
columns    which of its terms can be looked up, and under which values
index      the tables, and the match
"""
