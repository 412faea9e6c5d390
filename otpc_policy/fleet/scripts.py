"""What is changed in one step, in Lua, by the server's own clock.

Instants are microseconds since 1970, which a double holds exactly.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

# Fences and epochs only have to outlive the leases that know them.
_COUNTER_MS: Final = 86_400_000
# A shard sees a few changes a second. Whoever misses some asks about everything anew.
_NOTICES_KEPT: Final = 10_000
# What nobody watches any more is cleared away by the claims of those who watch something.
_FORGOTTEN_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name that the server knows it by, once it has run."""

    name: str
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode()).hexdigest())  # noqa: S324  # the protocol's name for scripts


# KEYS: facts. ARGV: most bytes of a record.
GET: Final = Script(
    "get",
    """
local found = {}
for at, key in ipairs(KEYS) do
  if redis.call('HSTRLEN', key, 'v') <= tonumber(ARGV[1]) then
    found[at] = redis.call('HGET', key, 'v')
  else
    found[at] = ''
  end
end
return found
""",
)

# KEYS: facts, fence, epoch, index, notices. ARGV: record, observed at, lifetime in ms, member,
# stem of facts, most facts of a host, digest, facts_id, fence and epoch of the lease or "".
# Returns 1 if the facts were kept.
PUT: Final = Script(
    "put",
    f"""
if ARGV[9] ~= '' and ((redis.call('GET', KEYS[2]) or '0') ~= ARGV[9]
    or (redis.call('GET', KEYS[3]) or '0') ~= ARGV[10]) then
  return 0
end
local present = redis.call('HGET', KEYS[1], 'o')
if present and tonumber(ARGV[2]) < tonumber(present) then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lifetime = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'o', ARGV[2], 'p', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], lifetime)
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[4], string.format('%.0f', now + lifetime * 1000), ARGV[4])
redis.call('PEXPIRE', KEYS[4], lifetime)
local over = redis.call('ZCARD', KEYS[4]) - tonumber(ARGV[6])
if over > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[4], over)
  for at = 1, #gone, 2 do
    redis.call('DEL', ARGV[5] .. string.match(gone[at], ':(.*)$'))
  end
end
redis.call('XADD', KEYS[5], 'MAXLEN', '~', {_NOTICES_KEPT}, '*', 'k', ARGV[7], 'i', ARGV[8])
return 1
""",
)

# KEYS: facts, index, notices. ARGV: member, digest.
DISCARD: Final = Script(
    "discard",
    f"""
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('DEL', KEYS[1]) == 1 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', {_NOTICES_KEPT}, '*', 'k', ARGV[2], 'i', '')
end
return 1
""",
)

# KEYS: index, epoch, notices. ARGV: stem of facts, port or "0" for all, host, replica.
# Returns how many facts there were.
DISCARD_HOST: Final = Script(
    "discard_host",
    f"""
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], {_COUNTER_MS})
local count = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local port, digest = string.match(member, '^(%d+):(.*)$')
  if ARGV[2] == '0' or ARGV[2] == port then
    count = count + redis.call('DEL', ARGV[1] .. digest)
    redis.call('ZREM', KEYS[1], member)
  end
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', {_NOTICES_KEPT}, '*', 'h', ARGV[3], 'p', ARGV[2],
  'r', ARGV[4])
return count
""",
)

# KEYS: lease, fence, facts, epoch. ARGV: token, length in ms, most microseconds since facts were
# stored that are as new as wanted, most bytes of a record.
# Returns {1, fence, epoch} with the lease, {2, record} for such facts, {0} while another has it.
ACQUIRE: Final = Script(
    "acquire",
    f"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.call('HGET', KEYS[3], 'p')
if stored and now - tonumber(stored) < tonumber(ARGV[3])
    and redis.call('HSTRLEN', KEYS[3], 'v') <= tonumber(ARGV[4]) then
  return {{2, redis.call('HGET', KEYS[3], 'v')}}
end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {{0}}
end
local fence = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], {_COUNTER_MS})
return {{1, fence, tonumber(redis.call('GET', KEYS[4]) or '0')}}
""",
)

# KEYS: lease. ARGV: token, length in ms. Returns 1 if the lease is still the token's.
RENEW: Final = Script(
    "renew",
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""",
)

# KEYS: lease. ARGV: token.
RELEASE: Final = Script(
    "release",
    """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
""",
)

# The schedule of the watch list. Its scripts take as their first argument by how many microseconds
# to move the server's clock, which only tests do.

# KEYS: due, kept. ARGV: move, lifetime in ms, then names, each with the microseconds until it is
# due if it is not known.
WATCH_KEEP: Final = Script(
    "watch_keep",
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
for at = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', now + tonumber(ARGV[at + 1])), ARGV[at])
  redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
""",
)

# KEYS: due, kept. ARGV: move, most names, microseconds for which they are claimed, and after which
# what nobody keeps is forgotten.
# Returns for how many microseconds the first of those that are left has been due, then the names.
WATCH_CLAIM: Final = Script(
    "watch_claim",
    f"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
local most = tonumber(ARGV[2])
local found = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now), 'BYSCORE',
  'LIMIT', 0, most + {_FORGOTTEN_AT_ONCE})
local answer = {{0}}
for _, name in ipairs(found) do
  local kept = redis.call('ZSCORE', KEYS[2], name)
  if not kept or tonumber(kept) <= now - tonumber(ARGV[4]) then
    redis.call('ZREM', KEYS[1], name)
    redis.call('ZREM', KEYS[2], name)
  elseif #answer <= most then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[3])), name)
    answer[#answer + 1] = name
  else
    break
  end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] and tonumber(first[2]) < now then
  answer[1] = now - tonumber(first[2])
end
return answer
""",
)

# KEYS: due. ARGV: move, "LT" to change only what is due later, else "", then names, each with the
# microseconds until it is due.
WATCH_DUE_IN: Final = Script(
    "watch_due_in",
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
for at = 3, #ARGV, 2 do
  local score = string.format('%.0f', now + tonumber(ARGV[at + 1]))
  if ARGV[2] == 'LT' then
    redis.call('ZADD', KEYS[1], 'XX', 'LT', score, ARGV[at])
  else
    redis.call('ZADD', KEYS[1], 'XX', score, ARGV[at])
  end
end
return 1
""",
)

# KEYS: due. ARGV: move, then names. Returns in how many microseconds each is due, "" for unknown.
WATCH_DUE: Final = Script(
    "watch_due",
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
local answer = {}
for at = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[at])
  answer[at - 1] = score and string.format('%.0f', tonumber(score) - now) or ''
end
return answer
""",
)

# KEYS: due, kept. ARGV: names.
WATCH_DROP: Final = Script(
    "watch_drop",
    """
for _, name in ipairs(ARGV) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
return 1
""",
)
