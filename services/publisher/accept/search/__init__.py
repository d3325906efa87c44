"""A search: what it asks, the page that answers it, how that is written.

asked      the query string, understood
cursor     where a page begins, as text in a link
searchset  the Bundle: matches, what comes along, what is to be said
searching  from the one to the other, over the store
"""
