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
-- KEYS: a timeline; whose posts are merged with it. ARGV: most ids, ids kept, marker, what lies
-- below, seconds to live, how many are merged; then those, and the ids newest first.
local key, floor, merged = KEYS[1], ARGV[4], tonumber(ARGV[6])
if redis.call('ZREM', key, ARGV[3]) == 0 then return 0 end
redis.call('DEL', KEYS[2])
for i = 7, 6 + merged do redis.call('SADD', KEYS[2], ARGV[i]) end
redis.call('ZADD', key, 0, floor)
for i = 7 + merged, #ARGV do redis.call('ZADD', key, 0, ARGV[i]) end
-- What was pushed meanwhile and is older than the oldest loaded would have gaps above it.
if floor == '!cut' then redis.call('ZREMRANGEBYLEX', key, '[0', '(' .. ARGV[#ARGV]) end
trim(key, tonumber(ARGV[1]), tonumber(ARGV[2]))
redis.call('EXPIRE', key, ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
"""

READ = """
-- KEYS: a timeline; whose posts are merged with it. ARGV: where to start, how many ids, prefix of
-- the merged timelines. Gives the timeline's part, then a name and a part of each that is merged.
local top, count = ARGV[1], tonumber(ARGV[2])
local own = redis.call('ZREVRANGEBYLEX', KEYS[1], top, '-', 'LIMIT', 0, count)
local parts = {own}
local merged = redis.call('SMEMBERS', KEYS[2])
if #merged == 0 then return parts end
local last = own[count]
if last and string.sub(last, 1, 1) == '!' then last = nil end
for _, author in ipairs(merged) do
    local key, part = ARGV[3] .. author, nil
    if last then
        -- The page is full: of others only what is newer than its last id can be in it.
        part = redis.call('ZREVRANGEBYLEX', key, top, '(' .. last, 'LIMIT', 0, count)
        if #part < count then
            local lowest = redis.call('ZRANGE', key, 0, 1)
            local floor, oldest = lowest[1], lowest[2]
            if floor == '!cut' and oldest and oldest <= last then floor = '!all' end
            if floor then part[#part + 1] = floor end
        end
    else
        part = redis.call('ZREVRANGEBYLEX', key, top, '-', 'LIMIT', 0, count)
    end
    if part[1] ~= '!all' then  -- else it has nothing for this page
        parts[#parts + 1] = author
        parts[#parts + 1] = part
    end
end
return parts
"""

PUSH = f"""{_TRIM}
-- KEYS: timelines. ARGV: most ids, ids kept, where the last end of follows is noted; then for each
-- timeline how many changes, and the changes: '+' or '-' and an id. Gives that last end.
local most, kept, at = tonumber(ARGV[1]), tonumber(ARGV[2]), 4
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
return redis.call('GET', ARGV[3])
"""
