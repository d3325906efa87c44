"""The `vbpr` command: one module or folder a subcommand, put together in `main`.

serve                both services in one process, on SQLite
publisher, notifier  one of them, on PostgreSQL and Kafka; `cluster` is what they insist on
migrate              both databases (`databases`) and the topic
publish/             send reports to a publisher, over HTTP
listen/              a receiver that checks every notification it gets
demo/                the whole path on this machine, with a crash half-way and a ledger
settings_options     options that override settings; `errors` says foreseeable failures in one sentence

What a command does not need for its options is imported when it runs, so that `--help` is quick.
"""
