"""Says whether a resource has the structure FHIR R4 gives it, and if not, everything that is wrong with it.

generate        writes r4.schema.json from the models of fhir.resources; not imported at run time
bindings        what R4 says and the models do not: value sets, types that came after R4
values          what a JSON Schema cannot say: real dates, URLs, references
quick           the schema said so that a right resource is soonest seen to be right
gate            the verdict: `check_structure`, 0.05 ms for a 6 KB report
faults          a schema's error put as an Issue: expression, and a sentence of what was found and expected
explain         fhir.resources' own words for a rejection; slow, for a thread
"""
