"""Accept: what comes in over HTTP becomes checked writes, and what was stored becomes an answer.

http       the routes of the FHIR server, one handler an interaction
requests   what the headers of a request ask for
examine    text into a resource that may be stored, or every reason why not
bundle     batches and transactions
validate   what is wrong with a resource, without storing it
search     search results as Bundles
answers    the response to a write, alone and in a Bundle
pressure   when intake has to say "later"
"""
