"""Lua that changes timelines (see `timelines`); Redis runs each script as one step."""

BEGIN = """
-- KEYS: a timeline. ARGV: marker, seconds. Put the marker where there is no timeline.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""

_TRIM = """
local function trim(key, length)
    local excess = redis.call('ZCARD', key) - 1 - length
    if excess > 0 then
        redis.call('ZREMRANGEBYRANK', key, 1, excess)  -- rank 0 is the marker
        if redis.call('ZREM', key, '!all') == 1 then redis.call('ZADD', key, 0, '!cut') end
    end
end
"""

COMPLETE = f"""{_TRIM}
-- KEYS: a timeline. ARGV: marker, what lies below, seconds to live, most ids, ids newest first.
local key, floor = KEYS[1], ARGV[2]
if redis.call('ZREM', key, ARGV[1]) == 0 then return 0 end
redis.call('ZADD', key, 0, floor)
for i = 5, #ARGV do redis.call('ZADD', key, 0, ARGV[i]) end
-- What was pushed meanwhile and is older than the oldest loaded would have gaps above it.
if floor == '!cut' then redis.call('ZREMRANGEBYLEX', key, '[0', '(' .. ARGV[#ARGV]) end
trim(key, tonumber(ARGV[4]))
redis.call('EXPIRE', key, ARGV[3])
return 1
"""

PUSH = f"""{_TRIM}
-- KEYS: timelines. ARGV: most ids; then for each timeline how many changes, and the changes:
-- '+' or '-' and an id.
local at = 2
for _, key in ipairs(KEYS) do
    local last = at + tonumber(ARGV[at])
    if redis.call('EXISTS', key) == 1 then
        local cut = redis.call('ZSCORE', key, '!cut')
        local oldest = cut and redis.call('ZRANGE', key, 1, 1)[1]
        if cut and not oldest then
            redis.call('DEL', key)  -- every id was deleted: only PostgreSQL knows what comes next
        else
            for i = at + 1, last do
                local id = string.sub(ARGV[i], 2)
                if string.sub(ARGV[i], 1, 1) == '-' then
                    redis.call('ZREM', key, id)
                elseif not oldest or id > oldest then
                    redis.call('ZADD', key, 0, id)
                end
            end
            -- One that is being loaded is trimmed when it is complete.
            if cut or redis.call('ZSCORE', key, '!all') then trim(key, tonumber(ARGV[1])) end
        end
    end
    at = last + 1
end
return 0
"""
