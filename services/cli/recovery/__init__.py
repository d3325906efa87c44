"""Commands that put right what retries cannot. Without `--yes` each only says what it would do.

acting        the options they share: why, really, and points in time
replay        `vbpr deliveries resend`, `resends`, `cancel-resends` and `vbpr recover`
skip          `vbpr deliveries skip`
dead_letters  `vbpr deliveries dead-letters`
emit          `vbpr emit`
positions     `vbpr positions`
"""
