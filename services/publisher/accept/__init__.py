"""Accept: what comes in over HTTP becomes checked writes, and what was stored becomes an answer.

http       the routes of the FHIR server, one handler an interaction
requests   what the headers of a request ask for
examine    text into a resource that may be stored, or every reason why not
bundle     batches and transactions            targets   what the URL of an entry names
patch      JSON Patch into the version it makes
storing    changes into the store, patches first
queries    what a GET finds, alone and in a Bundle: reads, history, search
validate   what is wrong with a resource, without storing it
search     what a search asks, and its Bundle
answers    the response to a write, alone and in a Bundle
pressure   when intake has to say "later"      limits    what is accepted, and how much of it
"""
