"""Store: report version, outbox row and audit row in one transaction; then the answer may say 201.

write       who may write what, in transactions that requests share (batches) under locks
plan        what a request needs, told by the request alone    resolve  what it has to search for first
gather      what is stored of everything a batch touches       view     that, as its decisions change it
decide      what becomes of each write    reports, context, contracts, identifiers, events  its parts
save        rows to the database          rows, index          what they are
search      what is found, for clients    criteria             a search as SQL
tables, versions, statements, availability, model, content, references
"""
