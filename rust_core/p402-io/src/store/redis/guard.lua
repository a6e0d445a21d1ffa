-- Decides every admission and settlement inside the store: the twin of p402-core's `Account`.
-- Does not differ from it in one byte (tests/twin.rs); what a rule is for is said there, in Rust.
--
-- Arguments are packed, little-endian: 13 doubles (the places below, in order), then the verb's
-- own: admit rid 16 · amount d · owner u32 · kind d; settle rid 16 · amount d · owner u32;
-- extend rid 16 · amount d; renew n × rid 16; adjust day d · nano d; recover length u32 and head
-- of the value as it was seen, then the new value. A reply is core's `Reply`. Nothing global is
-- named while this text loads: Redis 7.0 gives a library no globals at that time.

local AMOUNT_MAX = 9e15
local INSTANT_MAX = AMOUNT_MAX / 2
local NEVER_MS = AMOUNT_MAX
local RECORDS_MAX = 1024
local RENEW_MAX = 256
local DAY_US = 86400e6
local PARKED_RETRY_MS = 1000
local NODES_MAX = 2 ^ 30
local ANYONE = 0
local SUSPENDED = 2 ^ 30
local SLICE = 2 ^ 31
local LAYOUT = 1
local HEADER_BYTES = 128
local RECORD_BYTES = 48
-- What makes a value this one and no other: its epoch and version.
local HEAD_BYTES = 16
-- Seeding makes expiry safe: an account nobody used for two days is read from the ledger.
local KEPT_S = '172800'

local DONE, RATE, DAILY_CAP, CONCURRENCY, BUDGET = 0, 1, 2, 3, 6
local RECOVER, COLD, LATE, UNKNOWN, TAKEN = 7, 8, 9, 10, 11
local REQUEST, CLOSED, KIND_SLICE = 0, 1, 2
local ON_EXPIRY_SUSPENSE, ON_EXPIRY_CHARGE = 0, 1
local FATE_UNKNOWN, FATE_RENEWED, FATE_RETAKEN = 0, 1, 2

local ARGUMENTS = '<ddddddddddddd'
local SIXTEEN = '<dddddddddddddddd'
local RECORD = '<dddI4I4'
local NOTHING = {}

-- Places of an account's numbers in its header, and of its records after it.
local EPOCH, VERSION, TAT_US, DAY, DAY_SPENT, DAY_HELD = 1, 2, 3, 4, 5, 6
local PREV_DAY, PREV_SPENT, PREV_HELD, BUDGET_FROM, BUDGET_SPENT = 7, 8, 9, 10, 11
local HELD, SUSPENSE, NEXT_MS, IN_FLIGHT, LAYOUT_AT, RECORDS = 12, 13, 14, 15, 16, 17
-- Places of a call's numbers, and of where the verb's own arguments begin.
local FENCE_EPOCH, FENCE_VERSION, DEADLINE, INTERVAL_US, TOLERANCE_US, CAP = 1, 2, 3, 4, 5, 6
local SLOTS, BUDGET_MAX, TOTAL, HOLD_LEASE_MS, SLOT_LEASE_MS = 7, 8, 9, 10, 11
local ON_EXPIRY, SUSPENSE_MS, REST = 12, 13, 14

-- The server's clock, read once per call; a caller's clock never enters.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1e6 + time[2]
end

-- Arrays, not records with named fields: these two are most of what a call makes.
local function arguments(packed)
  return { struct.unpack(ARGUMENTS, packed) }
end

local function decode(value)
  local s = { struct.unpack(SIXTEEN, value) }
  s[RECORDS] = string.sub(value, HEADER_BYTES + 1)
  return s
end

-- The lease of the key is renewed with the day: an account in use never loses it.
local function store(key, s, day)
  local value = struct.pack(SIXTEEN, unpack(s, 1, LAYOUT_AT)) .. s[RECORDS]
  if s[DAY] == day then
    redis.call('SET', key, value, 'KEEPTTL')
  else
    redis.call('SET', key, value, 'EX', KEPT_S)
  end
end

-- `admitted`: the day of the request in question, if it is not today's. `extra`: what is not zero.
local function reply(s, code, now, admitted, extra)
  extra = extra or NOTHING
  return struct.pack(SIXTEEN, code, extra.replayed or 0, extra.late or 0, extra.retry_ms or 0,
    s[IN_FLIGHT], s[DAY], admitted or s[DAY], s[DAY_SPENT], s[DAY_HELD], s[BUDGET_SPENT], s[HELD],
    s[SUSPENSE], extra.parked or 0, s[TAT_US], s[VERSION], now)
end

-- A reply about an account that is not there, or not one that this text can read.
local function without(code, now)
  return struct.pack(SIXTEEN, code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, now)
end

local function first_of_month(day)
  local shifted = day + 719468
  local of_era = shifted % 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  return day - (of_year - math.floor((153 * month + 2) / 5))
end

local function begin_day(s, a, now)
  local day = math.floor(now / DAY_US)
  if day <= s[DAY] then
    return false
  end
  s[PREV_DAY], s[PREV_SPENT], s[PREV_HELD] = s[DAY], s[DAY_SPENT], s[DAY_HELD]
  s[DAY], s[DAY_SPENT], s[DAY_HELD] = day, 0, 0
  local from = a[TOTAL] == 1 and 0 or first_of_month(day)
  if from > s[BUDGET_FROM] then
    s[BUDGET_FROM], s[BUDGET_SPENT] = from, 0
  end
  return true
end

local function grown(sum, nano)
  return math.max(0, math.min(AMOUNT_MAX, sum + nano))
end

local function book(s, day, nano)
  if day == s[DAY] then
    s[DAY_SPENT] = grown(s[DAY_SPENT], nano)
  elseif day == s[PREV_DAY] then
    s[PREV_SPENT] = grown(s[PREV_SPENT], nano)
  end
  if day >= s[BUDGET_FROM] then
    s[BUDGET_SPENT] = grown(s[BUDGET_SPENT], nano)
  end
end

local function hold(s, day, nano)
  if day == s[DAY] then
    s[DAY_HELD] = s[DAY_HELD] + nano
  elseif day == s[PREV_DAY] then
    s[PREV_HELD] = s[PREV_HELD] + nano
  end
  s[HELD] = s[HELD] + nano
end

local function fits_day(s, day, nano, a)
  local taken = AMOUNT_MAX
  if day == s[DAY] then
    taken = s[DAY_SPENT] + s[DAY_HELD]
  elseif day == s[PREV_DAY] then
    taken = s[PREV_SPENT] + s[PREV_HELD]
  end
  return nano == 0 or taken + nano <= a[CAP]
end

local function fits_budget(s, nano, a)
  if nano == 0 then
    return true
  end
  if a[BUDGET_MAX] < 0 then
    return s[HELD] + nano <= AMOUNT_MAX
  end
  return s[BUDGET_SPENT] + s[HELD] + nano <= a[BUDGET_MAX]
end

local function bounded(amount)
  if amount >= 0 and amount <= AMOUNT_MAX then
    return amount
  end
  return AMOUNT_MAX + 1
end

local function counted(amount)
  return math.max(0, math.min(AMOUNT_MAX, amount))
end

-- The request that a verb is about.
local function rid_of(a, packed)
  return string.sub(packed, a[REST], a[REST] + 15)
end

-- Where the record of `rid` begins, or nothing.
local function find(records, rid)
  local at = string.find(records, rid, 1, true)
  while at and (at - 1) % RECORD_BYTES ~= 0 do
    at = string.find(records, rid, at + 1, true)
  end
  return at
end

local function read(records, at)
  local r = { slot_ms = 0, money_ms = 0, amount = 0, day = 0, owner = 0, rid = 0 }
  r.slot_ms, r.money_ms, r.amount, r.day, r.owner = struct.unpack(RECORD, records, at + 16)
  r.rid = string.sub(records, at, at + 15)
  return r
end

local function write(r)
  return r.rid .. struct.pack(RECORD, r.slot_ms, r.money_ms, r.amount, r.day, r.owner)
end

local function is_suspended(r)
  return r.owner % SLICE >= SUSPENDED
end

-- The next look comes no later than the first of these leases ends.
local function look_at(s, slot_ms, money_ms)
  if slot_ms > 0 and slot_ms < money_ms then
    money_ms = slot_ms
  end
  if money_ms < s[NEXT_MS] then
    s[NEXT_MS] = money_ms
  end
end

local function let_go(s, r)
  hold(s, r.day, -r.amount)
  if r.slot_ms > 0 then
    s[IN_FLIGHT] = s[IN_FLIGHT] - 1
  end
  if is_suspended(r) then
    s[SUSPENSE] = s[SUSPENSE] - r.amount
  end
end

local function lapse_slot(s, r, now_ms, a)
  if r.slot_ms == 0 then
    return
  end
  r.slot_ms = math.min(r.slot_ms, now_ms + a[SLOT_LEASE_MS])
  if r.slot_ms <= now_ms then
    r.slot_ms = 0
    s[IN_FLIGHT] = s[IN_FLIGHT] - 1
  end
end

-- A money lease has ended; whether the record stays.
local function lapse_money(s, r, a)
  local charge = is_suspended(r) or a[ON_EXPIRY] == ON_EXPIRY_CHARGE
  if not charge and a[ON_EXPIRY] == ON_EXPIRY_SUSPENSE then
    r.owner = r.owner + SUSPENDED
    r.money_ms = math.min(r.money_ms + a[SUSPENSE_MS], INSTANT_MAX)
    s[SUSPENSE] = s[SUSPENSE] + r.amount
    return true
  end
  let_go(s, r)
  if charge then
    book(s, r.day, r.amount)
  end
  return false
end

local function lapse(s, now_ms, a)
  s[NEXT_MS] = NEVER_MS
  local kept = {}
  for at = 1, #s[RECORDS], RECORD_BYTES do
    local r = read(s[RECORDS], at)
    lapse_slot(s, r, now_ms, a)
    local stays = r.money_ms > now_ms or lapse_money(s, r, a)
    if stays and (r.money_ms > now_ms or lapse_money(s, r, a)) then
      look_at(s, r.slot_ms, r.money_ms)
      kept[#kept + 1] = write(r)
    end
  end
  s[RECORDS] = table.concat(kept)
end

local function pass_time(s, a, now)
  local began = begin_day(s, a, now)
  local now_ms = math.floor(now / 1000)
  local tat_us = math.min(s[TAT_US], now + a[TOLERANCE_US])
  local changed = began or tat_us ~= s[TAT_US]
  s[TAT_US] = tat_us
  local set_back = s[IN_FLIGHT] > 0 and s[NEXT_MS] > now_ms + a[SLOT_LEASE_MS]
  if s[NEXT_MS] > now_ms and not set_back then
    return changed
  end
  lapse(s, now_ms, a)
  return true
end

-- The sum of the slices that can be called in, and what the account holds of their days without.
local function parked(s)
  local sum, of_day, of_prev = 0, 0, 0
  for at = 1, #s[RECORDS], RECORD_BYTES do
    local _, _, amount, day, owner = struct.unpack(RECORD, s[RECORDS], at + 16)
    if owner >= SLICE and owner < SLICE + SUSPENDED then
      sum = sum + amount
      if day == s[DAY] then
        of_day = of_day + amount
      elseif day == s[PREV_DAY] then
        of_prev = of_prev + amount
      end
    end
  end
  return sum, of_day, of_prev
end

local function refusal(s, refused, a, now)
  local extra = { retry_ms = math.floor((refused.wait_us + 999) / 1000), parked = 0 }
  if refused.code == DAILY_CAP or refused.code == BUDGET then
    local sum, of_day, of_prev = parked(s)
    extra.parked = sum
    local free = { unpack(s) }
    free[DAY_HELD] = free[DAY_HELD] - of_day
    free[PREV_HELD] = free[PREV_HELD] - of_prev
    free[HELD] = free[HELD] - sum
    local fits
    if refused.code == BUDGET then
      fits = fits_budget(free, refused.nano, a)
    else
      fits = fits_day(free, refused.day, refused.nano, a)
    end
    if fits then
      extra.retry_ms = PARKED_RETRY_MS
    end
  end
  return reply(s, refused.code, now, nil, extra)
end

local function day_left_us(s, now)
  return math.max(0, (s[DAY] + 1) * DAY_US - now)
end

-- Layers 1, 2, 3, 6: the arrival time after this request, or who refuses it and for how long.
local function admissible(s, claim, a, now)
  local nano = claim.kind == CLOSED and 0 or bounded(claim.amount)
  local runs = claim.kind ~= KIND_SLICE
  local tat_us = s[TAT_US]
  if runs then
    tat_us = math.max(tat_us, now) + a[INTERVAL_US]
    local wait_us = tat_us - a[TOLERANCE_US] - now
    if wait_us > 0 then
      return nil, RATE, wait_us
    end
  end
  if not fits_day(s, s[DAY], nano, a) then
    return nil, DAILY_CAP, day_left_us(s, now)
  end
  local full = claim.kind ~= CLOSED and #s[RECORDS] >= RECORDS_MAX * RECORD_BYTES
  if full or (runs and s[IN_FLIGHT] >= a[SLOTS]) then
    return nil, CONCURRENCY, 0
  end
  if not fits_budget(s, nano, a) then
    return nil, BUDGET, 0
  end
  return tat_us
end

local function keep(s, claim, a, now)
  local now_ms = math.floor(now / 1000)
  local owner, slot_ms = claim.owner % NODES_MAX, now_ms + a[SLOT_LEASE_MS]
  if claim.kind == KIND_SLICE then
    owner, slot_ms = owner + SLICE, 0
  else
    s[IN_FLIGHT] = s[IN_FLIGHT] + 1
  end
  local money_ms, amount = now_ms + a[HOLD_LEASE_MS], bounded(claim.amount)
  look_at(s, slot_ms, money_ms)
  hold(s, s[DAY], amount)
  s[RECORDS] = s[RECORDS] .. claim.rid
    .. struct.pack(RECORD, slot_ms, money_ms, amount, s[DAY], owner)
end

local function admit(s, a, now, packed)
  local claim = { rid = rid_of(a, packed), amount = 0, owner = 0, kind = 0 }
  claim.amount, claim.owner, claim.kind = struct.unpack('<dI4d', packed, a[REST] + 16)
  local passed = pass_time(s, a, now)
  local known = claim.kind ~= CLOSED and find(s[RECORDS], claim.rid)
  if known then
    local r = read(s[RECORDS], known)
    local ours = r.owner % NODES_MAX == claim.owner
    s[VERSION] = s[VERSION] + (passed and 1 or 0)
    return reply(s, ours and DONE or TAKEN, now, r.day, { replayed = ours and 1 or 0 })
  end
  local tat_us, code, wait_us = admissible(s, claim, a, now)
  if code then
    s[VERSION] = s[VERSION] + (passed and 1 or 0)
    local nano = claim.kind == CLOSED and 0 or bounded(claim.amount)
    return refusal(s, { code = code, wait_us = wait_us, day = s[DAY], nano = nano }, a, now)
  end
  s[VERSION] = s[VERSION] + 1
  s[TAT_US] = tat_us
  if claim.kind ~= CLOSED then
    keep(s, claim, a, now)
  end
  if claim.kind == KIND_SLICE then
    return reply(s, DONE, now, nil, { parked = parked(s) })
  end
  return reply(s, DONE, now)
end

-- Both leases of one record anew; its fate.
local function renew_record(s, r, now_ms, a)
  local is_slice = r.owner >= SLICE
  local lapsed = not is_slice and r.slot_ms <= now_ms
  if not is_slice and r.slot_ms == 0 then
    s[IN_FLIGHT] = s[IN_FLIGHT] + 1
  end
  if is_suspended(r) then
    s[SUSPENSE] = s[SUSPENSE] - r.amount
    r.owner = r.owner - SUSPENDED
  end
  r.slot_ms = is_slice and 0 or now_ms + a[SLOT_LEASE_MS]
  r.money_ms = now_ms + a[HOLD_LEASE_MS]
  look_at(s, r.slot_ms, r.money_ms)
  return lapsed and FATE_RETAKEN or FATE_RENEWED
end

local function replace(records, at, with)
  return string.sub(records, 1, at - 1) .. with .. string.sub(records, at + RECORD_BYTES)
end

local function extend(s, a, now, packed)
  local passed = pass_time(s, a, now)
  s[VERSION] = s[VERSION] + (passed and 1 or 0)
  local at = find(s[RECORDS], rid_of(a, packed))
  if not at then
    return reply(s, UNKNOWN, now)
  end
  local r = read(s[RECORDS], at)
  local nano = math.max(0, bounded((struct.unpack('<d', packed, a[REST] + 16))) - r.amount)
  if not fits_day(s, r.day, nano, a) then
    local wait_us = day_left_us(s, now)
    return refusal(s, { code = DAILY_CAP, wait_us = wait_us, day = r.day, nano = nano }, a, now)
  end
  if not fits_budget(s, nano, a) then
    return refusal(s, { code = BUDGET, wait_us = 0, day = r.day, nano = nano }, a, now)
  end
  renew_record(s, r, math.floor(now / 1000), a)
  r.amount = r.amount + nano
  s[RECORDS] = replace(s[RECORDS], at, write(r))
  hold(s, r.day, nano)
  s[VERSION] = s[VERSION] + (passed and 0 or 1)
  return reply(s, DONE, now, r.day, { replayed = nano == 0 and 1 or 0 })
end

local function renew(s, a, now, packed)
  local now_ms = math.floor(now / 1000)
  local last = math.min(#packed, a[REST] + RENEW_MAX * 16 - 1)
  local fates, changed, any = {}, {}, false
  for from = a[REST], last, 16 do
    local at = find(s[RECORDS], string.sub(packed, from, from + 15))
    local fate = FATE_UNKNOWN
    if at then
      changed[at] = changed[at] or read(s[RECORDS], at)
      fate = renew_record(s, changed[at], now_ms, a)
      any = true
    end
    fates[#fates + 1] = string.char(fate)
  end
  if any then
    local kept = {}
    for at = 1, #s[RECORDS], RECORD_BYTES do
      local r = changed[at]
      kept[#kept + 1] = r and write(r) or string.sub(s[RECORDS], at, at + RECORD_BYTES - 1)
    end
    s[RECORDS] = table.concat(kept)
    s[VERSION] = s[VERSION] + 1
  end
  return reply(s, DONE, now, nil, { parked = parked(s) }) .. table.concat(fates)
end

local function settle(s, a, now, packed)
  local at = find(s[RECORDS], rid_of(a, packed))
  if not at then
    return reply(s, UNKNOWN, now)
  end
  local r = read(s[RECORDS], at)
  local actual, owner = struct.unpack('<dI4', packed, a[REST] + 16)
  local node = r.owner % NODES_MAX
  if node ~= owner and node ~= ANYONE then
    return reply(s, UNKNOWN, now)
  end
  s[RECORDS] = replace(s[RECORDS], at, '')
  let_go(s, r)
  book(s, r.day, counted(actual))
  s[VERSION] = s[VERSION] + 1
  local late = is_suspended(r) or r.money_ms <= math.floor(now / 1000)
  return reply(s, DONE, now, r.day, late and { late = 1 })
end

local function adjust(s, a, now, packed)
  local passed = pass_time(s, a, now)
  local day, nano = struct.unpack('<dd', packed, a[REST])
  if day > s[DAY] then
    s[VERSION] = s[VERSION] + (passed and 1 or 0)
    return reply(s, UNKNOWN, now)
  end
  s[VERSION] = s[VERSION] + 1
  book(s, day, math.max(-AMOUNT_MAX, math.min(AMOUNT_MAX, nano)))
  return reply(s, DONE, now)
end

-- One call: the fence first, then the verb; what did not change is not written.
local function call(verb, keys, args)
  local now = clock(args)
  local value = redis.call('GET', keys[1])
  if not value then
    return without(COLD, now)
  end
  local length = #value - HEADER_BYTES
  local s = length >= 0 and length % RECORD_BYTES == 0 and decode(value)
  if not s or s[LAYOUT_AT] ~= LAYOUT then
    return without(RECOVER, now)
  end
  local a = arguments(args[1])
  local version, day = s[VERSION], s[DAY]
  if a[FENCE_EPOCH] ~= s[EPOCH] or a[FENCE_VERSION] > version then
    return reply(s, RECOVER, now)
  end
  if a[DEADLINE] > 0 and now > a[DEADLINE] then
    return reply(s, LATE, now)
  end
  if (s[BUDGET_FROM] == 0) ~= (a[TOTAL] == 1) then
    return reply(s, RECOVER, now)
  end
  local answer = verb(s, a, now, args[1])
  if s[VERSION] ~= version then
    store(keys[1], s, day)
  end
  return answer
end

-- Writes an account that was read from the ledger, if what is there is still what was seen.
local function recover(keys, args)
  local now = clock(args)
  local a = arguments(args[1])
  if a[DEADLINE] > 0 and now > a[DEADLINE] then
    return without(LATE, now)
  end
  local length = struct.unpack('<I4', args[1], a[REST])
  local seen = string.sub(args[1], a[REST] + 4, a[REST] + 3 + length)
  local there = redis.call('GET', keys[1]) or ''
  if string.sub(there, 1, HEAD_BYTES) ~= seen then
    return without(RECOVER, now)
  end
  redis.call('SET', keys[1], string.sub(args[1], a[REST] + 4 + length), 'EX', KEPT_S)
  return without(DONE, now)
end

-- The clock, then the value as it is; it changes nothing, not even what time alone would.
local function peek(keys, args)
  return struct.pack('<d', clock(args)) .. (redis.call('GET', keys[1]) or '')
end

local function verb(which)
  return function(keys, args)
    return call(which, keys, args)
  end
end

-- What this text offers: name, body, flags. Two releases live side by side: the version is in the
-- name.
local EXPORTS = {
  { 'p402_admit_v1', verb(admit), {} },
  { 'p402_extend_v1', verb(extend), {} },
  { 'p402_renew_v1', verb(renew), {} },
  { 'p402_settle_v1', verb(settle), {} },
  { 'p402_adjust_v1', verb(adjust), {} },
  { 'p402_recover_v1', recover, {} },
  { 'p402_peek_v1', peek, { 'no-writes' } },
}
