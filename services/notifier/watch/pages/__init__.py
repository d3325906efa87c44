"""`/ops`: the rows as pages, rendered here, for whoever is on call.

same_origin   may this request change something? Pure
rendering     templates, times in words, and the headers of every page
overview      the handlers that show
acts          what can be done: what it would do, and doing it
acting        the handlers that ask for a reason and act
templates/    one a page; static/ is the stylesheet and the script that keeps a page current
"""
