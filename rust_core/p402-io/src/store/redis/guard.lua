-- Decides every admission and settlement inside the store: the twin of p402-core's `Account`.
-- Does not differ from it in one byte (tests/twin.rs); what a rule is for is said there, in Rust.
--
-- Arguments are packed, little-endian: 13 doubles (`arguments` below, in order), then the verb's
-- own: admit rid 16 · amount d · owner u32 · kind d; settle rid 16 · amount d · owner u32; extend
-- rid 16 · amount d; renew n × rid 16; adjust day d · nano d; recover length u32 and head of the
-- value as it was seen, then the new value. A reply is core's `Reply`. Nothing global is named while this text loads: Redis
-- 7.0 gives a library no globals at that time.

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
local KEPT_S = 48 * 3600

local DONE, RATE, DAILY_CAP, CONCURRENCY, BUDGET = 0, 1, 2, 3, 6
local RECOVER, COLD, LATE, UNKNOWN, TAKEN = 7, 8, 9, 10, 11
local REQUEST, CLOSED, KIND_SLICE = 0, 1, 2
local ON_EXPIRY_SUSPENSE, ON_EXPIRY_CHARGE = 0, 1
local FATE_UNKNOWN, FATE_RENEWED, FATE_RETAKEN = 0, 1, 2

local ARGUMENTS = '<ddddddddddddd'
local SIXTEEN = '<dddddddddddddddd'
local RECORD = '<dddI4I4'

-- The server's clock, read once per call; a caller's clock never enters.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1e6 + time[2]
end

local function arguments(packed)
  local a = {
    epoch = 0, version = 0, deadline = 0, interval_us = 0, tolerance_us = 0, daily_cap = 0,
    in_flight_max = 0, budget = 0, total = 0, hold_lease_ms = 0, slot_lease_ms = 0,
    on_expiry = 0, suspense_ms = 0, rest = 0, packed = packed,
  }
  a.epoch, a.version, a.deadline, a.interval_us, a.tolerance_us, a.daily_cap, a.in_flight_max,
    a.budget, a.total, a.hold_lease_ms, a.slot_lease_ms, a.on_expiry, a.suspense_ms,
    a.rest = struct.unpack(ARGUMENTS, packed)
  return a
end

local function decode(value)
  local s = {
    epoch = 0, version = 0, tat_us = 0, day = 0, day_spent = 0, day_held = 0, prev_day = 0,
    prev_spent = 0, prev_held = 0, budget_from_day = 0, budget_spent = 0, held = 0, suspense = 0,
    next_expiry_ms = 0, in_flight = 0, layout = 0, records = 0,
  }
  s.epoch, s.version, s.tat_us, s.day, s.day_spent, s.day_held, s.prev_day, s.prev_spent,
    s.prev_held, s.budget_from_day, s.budget_spent, s.held, s.suspense, s.next_expiry_ms,
    s.in_flight, s.layout = struct.unpack(SIXTEEN, value)
  s.records = string.sub(value, HEADER_BYTES + 1)
  return s
end

local function store(key, s)
  local header = struct.pack(SIXTEEN, s.epoch, s.version, s.tat_us, s.day, s.day_spent,
    s.day_held, s.prev_day, s.prev_spent, s.prev_held, s.budget_from_day, s.budget_spent, s.held,
    s.suspense, s.next_expiry_ms, s.in_flight, s.layout)
  redis.call('SET', key, header .. s.records, 'EX', KEPT_S)
end

local function reply(s, code, now, extra)
  return struct.pack(SIXTEEN, code, extra and extra.replayed or 0, extra and extra.late or 0,
    extra and extra.retry_ms or 0, s.in_flight, s.day, extra and extra.admitted or s.day,
    s.day_spent, s.day_held, s.budget_spent, s.held, s.suspense, extra and extra.parked or 0,
    s.tat_us, s.version, now)
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
  if day <= s.day then
    return false
  end
  s.prev_day, s.prev_spent, s.prev_held = s.day, s.day_spent, s.day_held
  s.day, s.day_spent, s.day_held = day, 0, 0
  local from = a.total == 1 and 0 or first_of_month(day)
  if from > s.budget_from_day then
    s.budget_from_day, s.budget_spent = from, 0
  end
  return true
end

local function grown(sum, nano)
  return math.max(0, math.min(AMOUNT_MAX, sum + nano))
end

local function book(s, day, nano)
  if day == s.day then
    s.day_spent = grown(s.day_spent, nano)
  elseif day == s.prev_day then
    s.prev_spent = grown(s.prev_spent, nano)
  end
  if day >= s.budget_from_day then
    s.budget_spent = grown(s.budget_spent, nano)
  end
end

local function hold(s, day, nano)
  if day == s.day then
    s.day_held = s.day_held + nano
  elseif day == s.prev_day then
    s.prev_held = s.prev_held + nano
  end
  s.held = s.held + nano
end

local function fits_day(s, day, nano, a)
  local taken = AMOUNT_MAX
  if day == s.day then
    taken = s.day_spent + s.day_held
  elseif day == s.prev_day then
    taken = s.prev_spent + s.prev_held
  end
  return nano == 0 or taken + nano <= a.daily_cap
end

local function fits_budget(s, nano, a)
  if nano == 0 then
    return true
  end
  if a.budget < 0 then
    return s.held + nano <= AMOUNT_MAX
  end
  return s.budget_spent + s.held + nano <= a.budget
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

local function look_at(s, r)
  local ends_ms = r.money_ms
  if r.slot_ms > 0 and r.slot_ms < ends_ms then
    ends_ms = r.slot_ms
  end
  s.next_expiry_ms = math.min(s.next_expiry_ms, ends_ms)
end

local function let_go(s, r)
  hold(s, r.day, -r.amount)
  if r.slot_ms > 0 then
    s.in_flight = s.in_flight - 1
  end
  if is_suspended(r) then
    s.suspense = s.suspense - r.amount
  end
end

local function lapse_slot(s, r, now_ms, a)
  if r.slot_ms == 0 then
    return
  end
  r.slot_ms = math.min(r.slot_ms, now_ms + a.slot_lease_ms)
  if r.slot_ms <= now_ms then
    r.slot_ms = 0
    s.in_flight = s.in_flight - 1
  end
end

-- A money lease has ended; whether the record stays.
local function lapse_money(s, r, a)
  local charge = is_suspended(r) or a.on_expiry == ON_EXPIRY_CHARGE
  if not charge and a.on_expiry == ON_EXPIRY_SUSPENSE then
    r.owner = r.owner + SUSPENDED
    r.money_ms = math.min(r.money_ms + a.suspense_ms, INSTANT_MAX)
    s.suspense = s.suspense + r.amount
    return true
  end
  let_go(s, r)
  if charge then
    book(s, r.day, r.amount)
  end
  return false
end

local function lapse(s, now_ms, a)
  s.next_expiry_ms = NEVER_MS
  local kept = {}
  for at = 1, #s.records, RECORD_BYTES do
    local r = read(s.records, at)
    lapse_slot(s, r, now_ms, a)
    local stays = r.money_ms > now_ms or lapse_money(s, r, a)
    if stays and (r.money_ms > now_ms or lapse_money(s, r, a)) then
      look_at(s, r)
      kept[#kept + 1] = write(r)
    end
  end
  s.records = table.concat(kept)
end

local function pass_time(s, a, now)
  local began = begin_day(s, a, now)
  local now_ms = math.floor(now / 1000)
  local tat_us = math.min(s.tat_us, now + a.tolerance_us)
  local changed = began or tat_us ~= s.tat_us
  s.tat_us = tat_us
  local set_back = s.in_flight > 0 and s.next_expiry_ms > now_ms + a.slot_lease_ms
  if s.next_expiry_ms > now_ms and not set_back then
    return changed
  end
  lapse(s, now_ms, a)
  return true
end

-- The sum of the slices that can be called in, and what the account holds of their days without.
local function parked(s)
  local sum, of_day, of_prev = 0, 0, 0
  for at = 1, #s.records, RECORD_BYTES do
    local _, _, amount, day, owner = struct.unpack(RECORD, s.records, at + 16)
    if owner >= SLICE and owner < SLICE + SUSPENDED then
      sum = sum + amount
      if day == s.day then
        of_day = of_day + amount
      elseif day == s.prev_day then
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
    local free = {
      day = s.day, day_spent = s.day_spent, day_held = s.day_held - of_day,
      prev_day = s.prev_day, prev_spent = s.prev_spent, prev_held = s.prev_held - of_prev,
      budget_spent = s.budget_spent, held = s.held - sum,
    }
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
  return reply(s, refused.code, now, extra)
end

local function day_left_us(s, now)
  return math.max(0, (s.day + 1) * DAY_US - now)
end

-- Layers 1, 2, 3, 6: the arrival time after this request, or who refuses it.
local function admissible(s, claim, a, now)
  local nano = claim.kind == CLOSED and 0 or bounded(claim.amount)
  local runs = claim.kind ~= KIND_SLICE
  local tat_us = s.tat_us
  local function refused(code, wait_us)
    return nil, { code = code, wait_us = wait_us, day = s.day, nano = nano }
  end
  if runs then
    tat_us = math.max(tat_us, now) + a.interval_us
    local wait_us = tat_us - a.tolerance_us - now
    if wait_us > 0 then
      return refused(RATE, wait_us)
    end
  end
  if not fits_day(s, s.day, nano, a) then
    return refused(DAILY_CAP, day_left_us(s, now))
  end
  local full = claim.kind ~= CLOSED and #s.records >= RECORDS_MAX * RECORD_BYTES
  if full or (runs and s.in_flight >= a.in_flight_max) then
    return refused(CONCURRENCY, 0)
  end
  if not fits_budget(s, nano, a) then
    return refused(BUDGET, 0)
  end
  return tat_us
end

local function lease(r, now_ms, a)
  r.slot_ms = r.owner >= SLICE and 0 or now_ms + a.slot_lease_ms
  r.money_ms = now_ms + a.hold_lease_ms
end

local function keep(s, claim, a, now)
  local r = { rid = claim.rid, amount = bounded(claim.amount), day = s.day, slot_ms = 0 }
  r.owner = claim.owner % NODES_MAX
  if claim.kind == KIND_SLICE then
    r.owner = r.owner + SLICE
  else
    s.in_flight = s.in_flight + 1
  end
  lease(r, math.floor(now / 1000), a)
  look_at(s, r)
  hold(s, s.day, r.amount)
  s.records = s.records .. write(r)
end

local function admit(s, a, now)
  local claim = { rid = string.sub(a.packed, a.rest, a.rest + 15), amount = 0, owner = 0, kind = 0 }
  claim.amount, claim.owner, claim.kind = struct.unpack('<dI4d', a.packed, a.rest + 16)
  local passed = pass_time(s, a, now)
  local known = claim.kind ~= CLOSED and find(s.records, claim.rid)
  if known then
    local r = read(s.records, known)
    local ours = r.owner % NODES_MAX == claim.owner
    s.version = s.version + (passed and 1 or 0)
    return reply(s, ours and DONE or TAKEN, now, { replayed = ours and 1 or 0, admitted = r.day })
  end
  local tat_us, refused = admissible(s, claim, a, now)
  if refused then
    s.version = s.version + (passed and 1 or 0)
    return refusal(s, refused, a, now)
  end
  s.version = s.version + 1
  s.tat_us = tat_us
  if claim.kind ~= CLOSED then
    keep(s, claim, a, now)
  end
  if claim.kind == KIND_SLICE then
    return reply(s, DONE, now, { parked = parked(s) })
  end
  return reply(s, DONE, now)
end

-- Both leases of one record anew; its fate.
local function renew_record(s, r, now_ms, a)
  local is_slice = r.owner >= SLICE
  local lapsed = not is_slice and r.slot_ms <= now_ms
  if not is_slice and r.slot_ms == 0 then
    s.in_flight = s.in_flight + 1
  end
  if is_suspended(r) then
    s.suspense = s.suspense - r.amount
    r.owner = r.owner - SUSPENDED
  end
  lease(r, now_ms, a)
  look_at(s, r)
  return lapsed and FATE_RETAKEN or FATE_RENEWED
end

local function replace(records, at, with)
  return string.sub(records, 1, at - 1) .. with .. string.sub(records, at + RECORD_BYTES)
end

local function extend(s, a, now)
  local passed = pass_time(s, a, now)
  s.version = s.version + (passed and 1 or 0)
  local at = find(s.records, string.sub(a.packed, a.rest, a.rest + 15))
  if not at then
    return reply(s, UNKNOWN, now)
  end
  local r = read(s.records, at)
  local nano = math.max(0, bounded((struct.unpack('<d', a.packed, a.rest + 16))) - r.amount)
  if not fits_day(s, r.day, nano, a) then
    local wait_us = day_left_us(s, now)
    return refusal(s, { code = DAILY_CAP, wait_us = wait_us, day = r.day, nano = nano }, a, now)
  end
  if not fits_budget(s, nano, a) then
    return refusal(s, { code = BUDGET, wait_us = 0, day = r.day, nano = nano }, a, now)
  end
  renew_record(s, r, math.floor(now / 1000), a)
  r.amount = r.amount + nano
  s.records = replace(s.records, at, write(r))
  hold(s, r.day, nano)
  s.version = s.version + (passed and 0 or 1)
  return reply(s, DONE, now, { replayed = nano == 0 and 1 or 0, admitted = r.day })
end

local function renew(s, a, now)
  local now_ms = math.floor(now / 1000)
  local last = math.min(#a.packed, a.rest + RENEW_MAX * 16 - 1)
  local fates, changed, any = {}, {}, false
  for from = a.rest, last, 16 do
    local at = find(s.records, string.sub(a.packed, from, from + 15))
    local fate = FATE_UNKNOWN
    if at then
      changed[at] = changed[at] or read(s.records, at)
      fate = renew_record(s, changed[at], now_ms, a)
      any = true
    end
    fates[#fates + 1] = string.char(fate)
  end
  if any then
    local kept = {}
    for at = 1, #s.records, RECORD_BYTES do
      local r = changed[at]
      kept[#kept + 1] = r and write(r) or string.sub(s.records, at, at + RECORD_BYTES - 1)
    end
    s.records = table.concat(kept)
    s.version = s.version + 1
  end
  return reply(s, DONE, now, { parked = parked(s) }) .. table.concat(fates)
end

local function settle(s, a, now)
  local at = find(s.records, string.sub(a.packed, a.rest, a.rest + 15))
  if not at then
    return reply(s, UNKNOWN, now)
  end
  local r = read(s.records, at)
  local actual, owner = struct.unpack('<dI4', a.packed, a.rest + 16)
  local node = r.owner % NODES_MAX
  if node ~= owner and node ~= ANYONE then
    return reply(s, UNKNOWN, now)
  end
  s.records = replace(s.records, at, '')
  let_go(s, r)
  book(s, r.day, counted(actual))
  s.version = s.version + 1
  local late = is_suspended(r) or r.money_ms <= math.floor(now / 1000)
  return reply(s, DONE, now, { late = late and 1 or 0, admitted = r.day })
end

local function adjust(s, a, now)
  local passed = pass_time(s, a, now)
  local day, nano = struct.unpack('<dd', a.packed, a.rest)
  if day > s.day then
    s.version = s.version + (passed and 1 or 0)
    return reply(s, UNKNOWN, now)
  end
  s.version = s.version + 1
  book(s, day, math.max(-AMOUNT_MAX, math.min(AMOUNT_MAX, nano)))
  return reply(s, DONE, now)
end

local function is_account(value)
  local length = #value - HEADER_BYTES
  return length >= 0 and length % RECORD_BYTES == 0
    and (struct.unpack('<d', value, HEADER_BYTES - 7)) == LAYOUT
end

-- One call: the fence first, then the verb; what did not change is not written.
local function call(verb, keys, args)
  local now = clock(args)
  local value = redis.call('GET', keys[1])
  if not value then
    return without(COLD, now)
  end
  if not is_account(value) then
    return without(RECOVER, now)
  end
  local a = arguments(args[1])
  local s = decode(value)
  if a.epoch ~= s.epoch or a.version > s.version then
    return reply(s, RECOVER, now)
  end
  if a.deadline > 0 and now > a.deadline then
    return reply(s, LATE, now)
  end
  if (s.budget_from_day == 0) ~= (a.total == 1) then
    return reply(s, RECOVER, now)
  end
  local version = s.version
  local answer = verb(s, a, now)
  if s.version ~= version then
    store(keys[1], s)
  end
  return answer
end

-- Writes an account that was read from the ledger, if what is there is still what was seen.
local function recover(keys, args)
  local now = clock(args)
  local a = arguments(args[1])
  if a.deadline > 0 and now > a.deadline then
    return without(LATE, now)
  end
  local length = struct.unpack('<I4', args[1], a.rest)
  local seen = string.sub(args[1], a.rest + 4, a.rest + 3 + length)
  local there = redis.call('GET', keys[1]) or ''
  if string.sub(there, 1, HEAD_BYTES) ~= seen then
    return without(RECOVER, now)
  end
  redis.call('SET', keys[1], string.sub(args[1], a.rest + 4 + length), 'EX', KEPT_S)
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
