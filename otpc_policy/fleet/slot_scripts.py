"""What is changed in one step of the slots of an address, and of the members of the fleet.

Both are sorted sets by the instant, in milliseconds, at which an entry ends. Neither is signed:
whoever can write to the store can have replicas wait for a bounded time, and then measure with the
part of the cap that each has without the store.
"""

from typing import Final

from otpc_policy.fleet.scripts import Script, is_number
from otpc_policy.fleet.slots import MOST_OWNERS

# What claims to last longer was not written by a replica.
LONGEST_MS: Final = 120_000

_CURRENT: Final = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + {LONGEST_MS}), '+inf')
"""

# KEYS: slots of an address, "owner:slots:wanted". ARGV: owner, wanted, using, least, cap, members,
# lifetime in ms.
# Returns how many connections the owner may have open. See otpc_policy.fleet.slots.target.
SLOTS: Final = Script(
    "slots",
    f"""{_CURRENT}
local wanted, using = tonumber(ARGV[2]), tonumber(ARGV[3])
local least, cap, members = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local others, taken = {{}}, 0
if redis.call('ZCARD', KEYS[1]) > {4 * MOST_OWNERS} then
  redis.call('DEL', KEYS[1])
end
for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local owner, slots, wants = string.match(entry, '^(%x+):(%d%d?%d?):(%d%d?%d?)$')
  if not owner or owner == ARGV[1] or #others >= {MOST_OWNERS} then
    redis.call('ZREM', KEYS[1], entry)
  else
    others[#others + 1] = {{tonumber(slots), tonumber(wants)}}
    taken = taken + tonumber(slots)
  end
end
if wanted == 0 then
  return 0
end
local part = math.max(least, math.floor(cap / (#others + 1)))
local kept_back = least * math.max(0, members - #others - 1)
local free = math.max(0, cap - taken)
local found = math.min(wanted, math.max(free - kept_back, math.min(free, least)))
for _, other in ipairs(others) do
  if other[1] < math.min(other[2], part) then
    found = math.min(found, part)
  end
end
if found < least then
  found = 0
end
local kept = string.format('%s:%d:%d', ARGV[1], math.max(found, using), wanted)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[7])), kept)
redis.call('PEXPIRE', KEYS[1], {LONGEST_MS})
return found
""",
    is_number,
)

# KEYS: members. ARGV: replica, lifetime in ms or 0 to be none any more. Returns how many there are.
MEMBERS: Final = Script(
    "members",
    f"""{_CURRENT}
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], {LONGEST_MS})
end
return redis.call('ZCARD', KEYS[1])
""",
    is_number,
)
