"""What is changed in one step where last verdicts and their changes are kept.

A shard is a hash and a stream. The hash has the last verdict of each endpoint by its name, and
under "#n" how many changes there were; names of endpoints have no such sign. The changes are
numbered by that. Where the two do not agree, one of them was lost, and where either is nothing
that a script has written, somebody else has: then both begin anew.

Scripts take as their first argument by how many microseconds to move the server's clock, which
only tests do.
"""

import re
from typing import Any, Final

from otpc_policy.fleet.change_records import MARK_CHARACTERS, MOST_RECORD_CHARACTERS
from otpc_policy.fleet.changes import FORGOTTEN_AFTER, MOST_AHEAD
from otpc_policy.fleet.scripts import Script

MOST_READ_BYTES: Final = 131_072
"""Of one shard in one answer, beyond the first change."""
# A fleet has a few changes a minute. Whoever has missed more lists again.
_CHANGES_KEPT: Final = 8_192
# Of a shard; sixteen times as many endpoints can be watched.
_MOST_ENDPOINTS: Final = 8_192
_MOST_NAME_BYTES: Final = 1_024
# After the last word of any verdict.
_LIFETIME_MS: Final = 30 * 86_400_000
_MICRO: Final = 1_000_000
# Of how many changes there were: what has more was not counted. The next one may have one more.
_COUNT_DIGITS: Final = 14
_NUMBER_DIGITS: Final = _COUNT_DIGITS + 1

_LINES: Final = re.compile(rb"([0-9]{1,%d}-0 [A-Za-z0-9_=-]*(\n|\Z))*" % _NUMBER_DIGITS)

REFUSED, SAME, PUBLISHED, MOVED, FULL = range(5)


def _is_outcome(answer: Any, _keys: int) -> bool:
    match answer:
        case [int() as outcome, int() as number, bytes() as previous]:
            return REFUSED <= outcome <= FULL and number >= 0 and len(previous) == 1
        case _:
            return False


def _is_snapshot(answer: Any, _keys: int) -> bool:
    return (
        isinstance(answer, list)
        and 2 <= len(answer) <= 2 + 2 * (_MOST_ENDPOINTS + 2)
        and type(answer[0]) is int
        and answer[0] >= 0
        and all(isinstance(part, bytes) for part in answer[1:])
        and all(len(name) <= _MOST_NAME_BYTES for name in answer[2::2])
        and all(len(kept) <= 2 * MOST_RECORD_CHARACTERS for kept in answer[3::2])
    )


def _is_read(answer: Any, _keys: int) -> bool:
    # One change more than fits, and the numbers of all.
    most = 2 * MOST_READ_BYTES + MOST_RECORD_CHARACTERS
    return isinstance(answer, bytes) and len(answer) <= most and bool(_LINES.fullmatch(answer))


_READABLE: Final = """
local function of_another_kind(answer)
  return type(answer) == 'table' and answer.err and string.sub(answer.err, 1, 9) == 'WRONGTYPE'
end
"""

_COUNTED: Final = f"""{_READABLE}
local time = redis.call('TIME')
local now = time[1] * {_MICRO} + time[2] + tonumber(ARGV[1])
if of_another_kind(redis.pcall('HGET', KEYS[1], '#n'))
    or of_another_kind(redis.pcall('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)) then
  redis.call('DEL', KEYS[1], KEYS[2])
end
local n = redis.call('HGET', KEYS[1], '#n') or '0'
n = #n <= {_COUNT_DIGITS} and string.find(n, '^%d+$') and tonumber(n) or -1
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if (newest and newest[1] or '0-0') ~= string.format('%.0f-0', n) then
  redis.call('DEL', KEYS[1], KEYS[2])
  n = 0
end
"""

# KEYS: verdicts, changes. ARGV: move, how, name, decision, measured at, expires at, revision, "1"
# if forced, then for the case that it is news: how many changes there are before, the decision
# before, the record. Decisions are letters, instants microseconds.
# Returns the outcome, how many changes there are and the decision before. MOVED: it is news, and
# the record is not for this number or says otherwise of the decision before.
# changes.py decides the same for one process.
PUBLISH: Final = Script(
    "verdict_publish",
    f"""{_COUNTED}
local how, decision, revision = ARGV[2], ARGV[4], ARGV[7]
local measured, expires = tonumber(ARGV[5]), tonumber(ARGV[6])
local kept = redis.call('HGET', KEYS[1], ARGV[3]) or ''
if #kept > {2 * MOST_RECORD_CHARACTERS} then
  kept = ''
end
local _, _, d, m, x, r, t, record = string.find(kept,
  '^([AID]) (%d+) (%d+) (%S+) (%d+) %d+ (%S+)$')
m, x, t = tonumber(m or '0'), tonumber(x or '0'), tonumber(t or '0')
local previous = d or '-'
local is_good = d and d ~= 'I' and x > now
local worse = {{A = 0, I = 1, D = 2}}
local function keep(verdict, measured, expires, revision, number, record)
  redis.call('HSET', KEYS[1], ARGV[3], string.format('%s %.0f %.0f %s %.0f %.0f %s', verdict,
    measured, expires, revision, now, number, record))
  redis.call('PEXPIRE', KEYS[1], {_LIFETIME_MS})
  redis.call('PEXPIRE', KEYS[2], {_LIFETIME_MS})
end
local function same()
  if d then
    local number = string.match(kept, '^%u %d+ %d+ %S+ %d+ (%d+)')
    if how == 'found' then
      keep(d, measured, expires, revision, tonumber(number), record)
    else
      keep(d, m, x, r, tonumber(number), record)
    end
  end
  return {{{SAME}, n, previous}}
end
local refused = {{{REFUSED}, n, previous}}
if how == 'found' then
  if measured > now + {MOST_AHEAD // MOST_AHEAD.resolution}
      or (decision ~= 'I' and expires <= now) then
    return refused
  end
  if d and m <= now + {MOST_AHEAD // MOST_AHEAD.resolution} then
    if measured < m then
      return refused
    end
    if decision == d then
      if ARGV[8] ~= '1' then
        return same()
      end
    elseif measured == m and revision == r and x > now and worse[decision] < worse[d] then
      return refused
    end
  end
elseif how == 'lapsed' then
  if not d or is_good then
    return refused
  end
  if d == 'I' then
    return same()
  end
  measured, expires = m, 0
elseif not d then
  return {{{SAME}, n, previous}}
elseif how == 'forgotten'
    and (is_good or t > now - {FORGOTTEN_AFTER // FORGOTTEN_AFTER.resolution}) then
  return refused
end
if tonumber(ARGV[9]) ~= n or ARGV[10] ~= previous then
  return {{{MOVED}, n, previous}}
end
if not d and redis.call('HLEN', KEYS[1]) > {_MOST_ENDPOINTS} then
  return {{{FULL}, n, previous}}
end
-- The first of all: a server without memory refuses it, and then nothing has been written.
redis.call('XADD', KEYS[2], 'MAXLEN', '~', {_CHANGES_KEPT}, string.format('%.0f-0', n + 1),
  'r', ARGV[11])
redis.call('HSET', KEYS[1], '#n', string.format('%.0f', n + 1))
if decision == '-' then
  redis.call('HDEL', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], {_LIFETIME_MS})
  redis.call('PEXPIRE', KEYS[2], {_LIFETIME_MS})
else
  keep(decision, measured, expires, revision, n + 1, ARGV[11])
end
return {{{PUBLISHED}, n + 1, previous}}
""",
    _is_outcome,
)

# KEYS: verdicts, changes. ARGV: move.
# Returns how many changes there were, the mark of the last, then names, each with the number of
# its last change and the record.
SNAPSHOT: Final = Script(
    "verdict_snapshot",
    f"""{_COUNTED}
local mark = n > 0 and newest[2][2] or ''
local answer = {{n, string.sub(mark, 1, {MARK_CHARACTERS})}}
local all = redis.call('HGETALL', KEYS[1])
if #all > 2 * {_MOST_ENDPOINTS + 2} then
  redis.call('DEL', KEYS[1], KEYS[2])
  return {{0, ''}}
end
for at = 1, #all, 2 do
  local number, record = string.match(all[at + 1], '^%u %d+ %d+ %S+ %d+ (%d+) (%S+)$')
  if number and #number <= {_NUMBER_DIGITS} and #record <= {MOST_RECORD_CHARACTERS}
      and #all[at] <= {_MOST_NAME_BYTES} then
    answer[#answer + 1] = all[at]
    answer[#answer + 1] = number .. ' ' .. record
  end
end
return answer
""",
    _is_snapshot,
)

# KEYS: changes. ARGV: the number of the last change that was read.
# Returns it, to be compared, and those that follow, a line each: number and record.
READ: Final = Script(
    "changes_read",
    f"""{_READABLE}
local first = ARGV[1] == '0' and '-' or ARGV[1] .. '-0'
local lines, size = {{}}, 0
local entries = redis.pcall('XRANGE', KEYS[1], first, '+', 'COUNT', 257)
if of_another_kind(entries) then
  return ''
elseif entries.err then
  return entries
end
for _, entry in ipairs(entries) do
  local record = entry[2][2] or ''
  if #record > {MOST_RECORD_CHARACTERS} or string.find(record, '[^%w_=-]') then
    record = ''
  end
  size = size + #record
  if size > {MOST_READ_BYTES} and #lines > 1 then
    break
  end
  -- What no script has numbered is a gap: whoever follows begins anew, and so does the history.
  local is_numbered = #entry[1] <= {_NUMBER_DIGITS} + 2 and string.find(entry[1], '^%d+%-0$')
  lines[#lines + 1] = (is_numbered and entry[1] or '0-0') .. ' ' .. record
end
return table.concat(lines, '\\n')
""",
    _is_read,
)
