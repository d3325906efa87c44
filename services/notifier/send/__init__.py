"""Send: one HTTP try, bounded in time and bytes, its outcome a value; and the lanes that are due.

addresses  which addresses may be dialled, judged at connect time
client     request -> answer, never an exception
claims     due lanes leased, with their plan fixed in the same statement
worker     a claimed lane's batches, one request at a time, in order
"""
