"""The `vbpr` command: one module or folder a subcommand, put together in `main`.

serve, publisher, notifier, migrate   run the services
publish/                              send reports to a publisher, over HTTP
listen/                               a receiver that checks every notification it gets
demo/                                 the whole path on this machine, with a kill half-way and a ledger
"""
