"""Recovery: what an operator does when time and retries do not put it right. Each act is one transaction with its trail.

trail         who did what, and why
wanted        which settled notifications a filter finds; counting them changes nothing
resend        those sent again under their own numbers, beside what is owed
skip          the head of a lane given up, so that the rest goes on
positions     the log read from its oldest record on, when it is not what it was
dead_letters  records of the log that were no event: looked at, taken in after a fix, or discarded
"""
