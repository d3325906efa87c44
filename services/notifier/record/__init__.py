"""Record: what a try means for its lane, and the one transaction that says so.

verdict   answer -> verdict; pure, every rule of who is at fault and when to try again
lane      the arithmetic of a lane: plan, batches, what a verdict moves; pure
turn      what one claim of a lane came to
resends   what became of numbers that were sent again
recorder  lanes and attempts written, only where the claim still holds
"""
