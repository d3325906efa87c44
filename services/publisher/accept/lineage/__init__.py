"""What became of a report, and what changed on the way? The operation `$lineage`.

pairing      which metric, stratum or extension of one version is which of another
labels       what a place in a report is called: its metric, stratum and population
comparison   the changes between two versions, element by element
generations  which version of an identity follows which
answer       all of it as Parameters
http         the operation
All but the last are pure.
"""
