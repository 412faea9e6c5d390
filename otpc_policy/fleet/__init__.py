"""What several replicas of the service share through Valkey or Redis, and how they use it.

Theory of operation. The store holds only what can be measured again, so losing it costs
measurements and never an answer. Each replica trusts nothing in it that no replica has signed
(signing), asks it within a tenth of a second or not at all (connection), and does without it while
it fails.

One replica measures an endpoint at a time: it takes a lease (leases), which it has to renew, and
which gives it a fence. What it stores is accepted only under the newest fence of that endpoint
and while nobody has invalidated its host, so a replica that was paused cannot overwrite what
another one has found since (facts).

Every change of stored facts leaves a notice in the same atomic step. Replicas read the notices
four times a second (notices), so that what they keep in their own memory is never older than that
while the store can be read.

All keys of a script share a hash tag, as a cluster demands: hosts are spread over SHARDS tags
(keys). Scripts take the time from the server (scripts); a replica whose clock differs from it by
more than a few seconds does without the store (notices).
"""
