"""What both services know and what crosses between them. Nothing in here does any I/O.

event        one version of one report, as it crosses from publisher to notifier
facets       the search-index values of a report, the form every match and search runs over
fhir         FHIR's and VBPR's canonical URLs and code systems, each named once
dates        FHIR's partial dates as half-open intervals in UTC
raw_json     JSON text cut, spliced and hashed without re-writing a single number token
subset       the part of a resource that a search asks for
outcome      OperationOutcome: what is wrong, where, and which rule says so
search/      the search parameters and their grammar: one implementation for search and for matching
structure/   the structure gate: a JSON Schema generated from fhir.resources, and what a schema cannot say
topics/      the subscription topics, one file each
operations/  the operations of our own, one OperationDefinition each
capability   the CapabilityStatement, the same from every process
examples/    reports, contracts and parties for the demo and for readers
"""
