"""Send: one HTTP try, bounded in time and bytes, its outcome a value; and the lanes that are due.

addresses  which addresses may be dialled, judged at connect time
endpoints  how hard one endpoint may be leant on
exchange   bytes out, status and headers back, on kept connections
client     request -> answer, never an exception
claims     due lanes leased, with their plan fixed in the same statement
loading    what they carry: channels, and of what they owe as much as one turn takes
events     those used last with their reports, for one goes to many
latest     what is passed over for whoever wants the latest only
gaps       numbers that were passed over: nothing is owed for those
jumps      the wall clock put forward or back, and what waits moved with it
resends    what may be sent again, after that
leases     what this process holds, begun anew by the heartbeat
notices    PostgreSQL's LISTEN, as a wake-up
client     also what a sender asks of the websockets of its process, which `websocket` keeps
sender     a claimed lane's batches, one request at a time, in order
deliverer  which lanes are sent for at a time
delivery   the loops: claim, heartbeat, record
"""
