"""How are reports asked for? One grammar and one table of parameters, for search and for matching.

parameters   every search parameter of reports: its type, other spellings, what it accepts
resources    those of Measures, Organizations and Groups, and where their values stand
result       how a result is to be shown: sorted, cut into pages, in part, with what comes along
definition   the same as FHIR SearchParameter resources
references   what a reference is compared as, in reports and in criteria alike
values       what a criterion says, parsed: terms and values
syntax       the text of a query: decoding, splitting, escapes
operand      the text of one value, by the parameter's type
grammar      criteria, Backport filters and search strings into values
predicate    a term as a function over facets
"""
