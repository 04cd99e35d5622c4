"""Lua that changes timelines (see `timelines`); Redis runs each script as one step."""

_TRIM = """
local function trim(key, most, kept)
    local ids = redis.call('ZCARD', key) - 1
    if ids > most then
        redis.call('ZREMRANGEBYRANK', key, 1, ids - kept)  -- rank 0 is the marker
        if redis.call('ZREM', key, '!all') == 1 then redis.call('ZADD', key, 0, '!cut') end
    end
end
"""

BEGIN = """
-- KEYS: a timeline. ARGV: marker, seconds. Put the marker where there is no timeline.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""

COMPLETE = f"""{_TRIM}
-- KEYS: a timeline. ARGV: most ids, ids kept, marker, what lies below, seconds to live, ids newest
-- first.
local key, floor = KEYS[1], ARGV[4]
if redis.call('ZREM', key, ARGV[3]) == 0 then return 0 end
redis.call('ZADD', key, 0, floor)
for i = 6, #ARGV do redis.call('ZADD', key, 0, ARGV[i]) end
-- What was pushed meanwhile and is older than the oldest loaded would have gaps above it.
if floor == '!cut' then redis.call('ZREMRANGEBYLEX', key, '[0', '(' .. ARGV[#ARGV]) end
trim(key, tonumber(ARGV[1]), tonumber(ARGV[2]))
redis.call('EXPIRE', key, ARGV[5])
return 1
"""

PUSH = f"""{_TRIM}
-- KEYS: timelines. ARGV: most ids, ids kept; then for each timeline how many changes, and the
-- changes: '+' or '-' and an id.
local most, kept, at = tonumber(ARGV[1]), tonumber(ARGV[2]), 3
for _, key in ipairs(KEYS) do
    local last = at + tonumber(ARGV[at])
    local lowest = redis.call('ZRANGE', key, 0, 1)
    local floor, oldest = lowest[1], lowest[2]
    if floor == '!cut' and not oldest then
        redis.call('DEL', key)  -- every id was deleted: only PostgreSQL knows what comes next
    elseif floor then
        for i = at + 1, last do
            local id = string.sub(ARGV[i], 2)
            if string.sub(ARGV[i], 1, 1) == '-' then
                redis.call('ZREM', key, id)
            elseif floor ~= '!cut' or id > oldest then
                redis.call('ZADD', key, 0, id)
            end
        end
        -- One that is being loaded is trimmed when it is complete.
        if floor == '!cut' or floor == '!all' then trim(key, most, kept) end
    end
    at = last + 1
end
return 0
"""
