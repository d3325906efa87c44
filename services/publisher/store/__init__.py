"""Store: report version, outbox row and audit row in one transaction; then the answer may say 201."""
