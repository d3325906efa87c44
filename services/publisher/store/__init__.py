"""Store: report version, outbox row and audit row in one transaction; then the answer may say 201.

write       who may write what, in transactions that requests share (batches) under locks
plan        what a request needs, told by the request alone    resolve  what it has to search for first
gather      what is stored of everything a batch touches       view     that, as its decisions change it
several     one deletion of many reports, answered as one
decide      what becomes of each write    reports, context, contracts, identifiers, deletions, events  its parts
referrers   who leans on what is to be deleted
remarks     what its sender is told all the same    rehearse  all of that without storing it
save        rows to the database          rows, index          what they are    pending  many tables at once
search      what is found, for clients    order, inclusion     in which order, and what comes along
selection   which reports, as SQL         others, criteria     which of the other types; one comparison
history     every version, a page at a time
tables, versions, statements, availability, model, content, references
"""
