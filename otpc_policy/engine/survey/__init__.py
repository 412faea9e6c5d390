"""What to ask a server, and what its answers prove. Nothing here does IO.

Theory of operation
===================

A survey finds out which versions and cipher suites one server accepts, and which certificates it
serves, from ClientHellos and the first flight of each answer. It is a plain state machine
(`survey`): it yields a wave of hellos, which the caller sends at once, each over a connection of
its own, and takes their outcomes; then it yields the next wave, until nothing more can be learned.
Clocks, sockets and randomness belong to the caller.

A ServerHello is sufficient evidence of an offer. The handshake need not be completed, and one
alert refuses everything in a hello at once. So a compliant server costs two waves, about 50
connections.
The first wave (`offers.opening`) asks for every suite of a payment client by itself, placed after
all suites that it might be alone with: each answer proves a suite, and is the control for the
refusals to come. The second asks for everything that is left, for old versions and for rare kinds
of signature, and closes with controls that are opened last and sent last. A server that accepts
much is explored by elimination instead: the remaining suites are divided into lanes, each lane
finds one suite per wave, and the refusal of what remains ends it.

Absence needs proof. Only three observations make a version or suite NO: a refusing alert between
two successful controls of the same hello shape; three closes that alternate with successful
controls; a lower version chosen when a higher one was offered. Everything else leaves UNKNOWN. In
particular, a server that stalls, drips or begins to refuse everything in the middle of a scan
leaves UNKNOWN, and the answer is INDETERMINATE. A refusal does not count if its list may not have
been read to its end. One alert between two good controls is believed: a server that sends alerts
at random is detected only where it refuses what it had accepted
(tests/engine/survey/test_survey_hostile.py measures what that misses).

Refusals count per family. A server may choose a suite first and fail afterwards. Then one family
(key exchange and authentication) that it cannot serve makes it refuse every list that contains the
family. The lists are laid out (`offers.layout_at`) so that for every two families some list
contains the one without the other, with and without finite-field groups where that matters. ECDSA
suites get lists of their own, because HAProxy and Envoy choose their certificate by whether a
hello offers them.

An unsteady server proves no absence. A server that refuses a hello equivalent to one it had
accepted contradicts itself (`inference.contradictions`), and none of its refusals counts. It is
surveyed once more, one connection at a time, because some servers merely cannot accept many at
once; what was accepted in either survey stays accepted. A server that is still unsteady then
leaves UNKNOWN.

Concurrency is capped at four fifths of the highest level at which a connection was accepted, which
the first wave shows. A refusal by a server that limits concurrent connections may be about their
number, and such a server counts a closed connection until it has noticed the close. Hellos that
only reveal (see below) are sent right after the first three, so that they are not the ones such a
server turns away. If the server accepted only part of the first wave, what was refused is asked
once more with no other connection open (`Survey.confirmation`): everything if results for one kind
of hello were inconsistent, otherwise the kinds that were refused as a whole. The caller applies the
cap.

Intolerant servers are accommodated, not misread. For a server that fails on long hellos, lists are
cut to 64 suites including their control, then hellos to fewer than 256 bytes (`suited_hellos`).
The observation reports in `intolerances` what was met.

Certificates are those that ordinary clients get. A server may choose its certificate by anything
in the hello. So flights are requested in the shapes of several clients (`cast`), with versions
mixed and alone, and for each kind of signature (`client_survey`). A flight is read to its
end, at TLS 1.3 decrypted with our own key share (`transport.conversation`), and the signature that
proves possession of the leaf's key is verified (`transport.key_proof`). A flight that ends before
its certificate, or a client that gets no answer, leaves a deployment UNKNOWN. In the same waves,
hellos of old clients and short lists of insecure suites only reveal: acceptance is proof, refusal
proves nothing.

No hello has a fixed shape. Every measurement draws its clients, and the variants of its wide
hellos, under a cover (`cast`, `profiles.cover`): whatever servers tell clients apart by is in some
hello and not in another, for each question, and differs from one measurement to the next. A
refusal counts only between controls of the same variant. Where a client is given something that
the wide hellos were refused, the refusals of that family prove nothing. The seed of what is drawn
repeats a measurement.

Groups of TLS 1.3 are asked about by hellos without a key share, which a server can only answer by
naming a group or by refusing (`group_survey`). They cost connections, so they are asked about only
if a policy judges them, once the first wave has shown how much the server tolerates.

Modules
=======

- `probe`: one hello and its outcome; `reading`: what one answer proves alone.
- `journal`: what was asked and answered, in order.
- `inference`: what a journal proves; `absence`: what refusals that count prove together.
- `offers`: suites in families, lanes and layouts, and the opening waves.
- `suited_hellos`: hellos that one server can read; `planning`: what to ask next.
- `cast`: which clients are asked as.
- `survey`: the survey of versions and suites; `client_survey`: the survey of certificates;
  `group_survey`: the survey of groups.

Rules
=====

- A record is added to the journal before anything is inferred from it, and is never changed.
- Presence is taken from any record; absence only from `inference`, or from a version that was
  passed over.
"""
