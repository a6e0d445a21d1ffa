-- Decides every admission and settlement inside the store: the twin of p402-core's `Account`.
-- Does not differ from it in one byte (tests/twin.rs); what a rule is for is said there, in Rust.
--
-- Arguments are packed, little-endian: 13 doubles (`read_call` names them), then the verb's own:
-- admit rid 16 · amount d · owner u32 · kind d; settle rid 16 · amount d · owner u32;
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
local FENCE = '<ddd'
local CLAIM = '<c16dI4d'
local SETTLEMENT = '<c16dI4'
local EXTENSION = '<c16d'
local ADJUSTMENT = '<dd'
local ONE = '<d'
local SIXTEEN = '<dddddddddddddddd'
local RECORD = '<c16dddI4I4'
local RECORD_TAIL = '<dddI4I4'
-- Where the ninth number of a call is (is its budget for all time), and its verb's own arguments.
local TOTAL_AT, REST = 65, 105

-- The account of this call and the call itself. They are variables of the text, not of a table: one
-- call runs at a time and reads them all anew, and what a function costs here is what it looks up
-- by name and what it makes. A string is hashed whole when it is made, so none is made twice.
local epoch, version, tat_us, day, day_spent, day_held, prev_day, prev_spent, prev_held
local budget_from, budget_spent, held, suspense, next_ms, in_flight, layout
-- The records: a text, the place in it where they begin, and what comes after it.
local records, first, after
local now, now_ms
local fence_epoch, fence_version, deadline, interval_us, tolerance_us, cap, slots, budget_max, total
local hold_lease_ms, slot_lease_ms, on_expiry, suspense_ms

-- The server's clock, read once per call; a caller's clock never enters.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1e6 + time[2]
end

local function in_ms(us)
  return (us - us % 1000) / 1000
end

local function decode(value)
  epoch, version, tat_us, day, day_spent, day_held, prev_day, prev_spent, prev_held, budget_from,
    budget_spent, held, suspense, next_ms, in_flight, layout = struct.unpack(SIXTEEN, value)
  records, first, after = value, HEADER_BYTES + 1, ''
end

-- The lease of the key is renewed with the day: an account in use never loses it. Records that
-- stayed as they were are left alone: a new one goes behind them.
local function store(key, same_day)
  local header = struct.pack(SIXTEEN, epoch, version, tat_us, day, day_spent, day_held, prev_day,
    prev_spent, prev_held, budget_from, budget_spent, held, suspense, next_ms, in_flight, layout)
  if first > 1 and same_day then
    redis.call('SETRANGE', key, '0', header)
    if after ~= '' then
      redis.call('APPEND', key, after)
    end
    return
  end
  local value = header .. (first == 1 and records or string.sub(records, first)) .. after
  if same_day then
    redis.call('SET', key, value, 'KEEPTTL')
  else
    redis.call('SET', key, value, 'EX', KEPT_S)
  end
end

-- `admitted`: the day of the request in question, if it is not today's. The rest is mostly zero.
local function reply(code, admitted, replayed, late, retry_ms, parked)
  return struct.pack(SIXTEEN, code, replayed or 0, late or 0, retry_ms or 0, in_flight, day,
    admitted or day, day_spent, day_held, budget_spent, held, suspense, parked or 0, tat_us,
    version, now)
end

-- A reply about an account that is not there, or not one that this text can read.
local function without(code)
  return struct.pack(SIXTEEN, code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, now)
end

local function first_of_month(of_day)
  local shifted = of_day + 719468
  local of_era = shifted % 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  return of_day - (of_year - math.floor((153 * month + 2) / 5))
end

local function begin_day()
  if now < (day + 1) * DAY_US then
    return false
  end
  prev_day, prev_spent, prev_held = day, day_spent, day_held
  day, day_spent, day_held = math.floor(now / DAY_US), 0, 0
  local from = total == 1 and 0 or first_of_month(day)
  if from > budget_from then
    budget_from, budget_spent = from, 0
  end
  return true
end

local function counted(amount)
  if amount < 0 then
    return 0
  end
  return amount < AMOUNT_MAX and amount or AMOUNT_MAX
end

local function book(of_day, nano)
  if of_day == day then
    day_spent = counted(day_spent + nano)
  elseif of_day == prev_day then
    prev_spent = counted(prev_spent + nano)
  end
  if of_day >= budget_from then
    budget_spent = counted(budget_spent + nano)
  end
end

local function hold(of_day, nano)
  if of_day == day then
    day_held = day_held + nano
  elseif of_day == prev_day then
    prev_held = prev_held + nano
  end
  held = held + nano
end

local function fits_day(of_day, nano)
  local taken = AMOUNT_MAX
  if of_day == day then
    taken = day_spent + day_held
  elseif of_day == prev_day then
    taken = prev_spent + prev_held
  end
  return nano == 0 or taken + nano <= cap
end

local function fits_budget(nano)
  if nano == 0 then
    return true
  end
  if budget_max < 0 then
    return held + nano <= AMOUNT_MAX
  end
  return budget_spent + held + nano <= budget_max
end

local function bounded(amount)
  if amount >= 0 and amount <= AMOUNT_MAX then
    return amount
  end
  return AMOUNT_MAX + 1
end

-- Where the record of `rid` begins, or nothing.
local function find(rid)
  local at = string.find(records, rid, first, true)
  while at and (at - first) % RECORD_BYTES ~= 0 do
    at = string.find(records, rid, at + 1, true)
  end
  return at
end

local function read(at)
  local r = { rid = 0, slot_ms = 0, money_ms = 0, amount = 0, day = 0, owner = 0 }
  r.rid, r.slot_ms, r.money_ms, r.amount, r.day, r.owner = struct.unpack(RECORD, records, at)
  return r
end

local function write(r)
  return struct.pack(RECORD, r.rid, r.slot_ms, r.money_ms, r.amount, r.day, r.owner)
end

local function is_suspended(owner)
  return owner % SLICE >= SUSPENDED
end

-- The next look comes no later than the first of these leases ends.
local function look_at(slot_ms, money_ms)
  if slot_ms > 0 and slot_ms < money_ms then
    money_ms = slot_ms
  end
  if money_ms < next_ms then
    next_ms = money_ms
  end
end

local function let_go(slot_ms, amount, of_day, owner)
  hold(of_day, -amount)
  if slot_ms > 0 then
    in_flight = in_flight - 1
  end
  if is_suspended(owner) then
    suspense = suspense - amount
  end
end

local function lapse_slot(r)
  if r.slot_ms == 0 then
    return
  end
  r.slot_ms = math.min(r.slot_ms, now_ms + slot_lease_ms)
  if r.slot_ms <= now_ms then
    r.slot_ms = 0
    in_flight = in_flight - 1
  end
end

-- A money lease has ended; whether the record stays.
local function lapse_money(r)
  local charge = is_suspended(r.owner) or on_expiry == ON_EXPIRY_CHARGE
  if not charge and on_expiry == ON_EXPIRY_SUSPENSE then
    r.owner = r.owner + SUSPENDED
    r.money_ms = math.min(r.money_ms + suspense_ms, INSTANT_MAX)
    suspense = suspense + r.amount
    return true
  end
  let_go(r.slot_ms, r.amount, r.day, r.owner)
  if charge then
    book(r.day, r.amount)
  end
  return false
end

local function lapse()
  next_ms = NEVER_MS
  local kept = {}
  for at = first, #records, RECORD_BYTES do
    local r = read(at)
    lapse_slot(r)
    local stays = r.money_ms > now_ms or lapse_money(r)
    if stays and (r.money_ms > now_ms or lapse_money(r)) then
      look_at(r.slot_ms, r.money_ms)
      kept[#kept + 1] = write(r)
    end
  end
  records, first = table.concat(kept), 1
end

local function pass_time()
  local began, latest_us = begin_day(), now + tolerance_us
  local changed = began or tat_us > latest_us
  if tat_us > latest_us then
    tat_us = latest_us
  end
  local set_back = in_flight > 0 and next_ms > now_ms + slot_lease_ms
  if next_ms > now_ms and not set_back then
    return changed
  end
  lapse()
  return true
end

-- The sum of the slices that can be called in, and what the account holds of their days.
local function slices()
  local sum, of_day, of_prev = 0, 0, 0
  for at = first, #records, RECORD_BYTES do
    local _, _, amount, its_day, owner = struct.unpack(RECORD_TAIL, records, at + 16)
    if owner >= SLICE and owner < SLICE + SUSPENDED then
      sum = sum + amount
      if its_day == day then
        of_day = of_day + amount
      elseif its_day == prev_day then
        of_prev = of_prev + amount
      end
    end
  end
  return sum, of_day, of_prev
end

-- `nano`, and the day it is for: what would have fitted if no slice were parked waits for one.
local function refusal(code, wait_us, of_day, nano)
  local retry_ms, parked = in_ms(wait_us + 999), 0
  if code == DAILY_CAP or code == BUDGET then
    local of_today, of_prev
    parked, of_today, of_prev = slices()
    day_held, prev_held, held = day_held - of_today, prev_held - of_prev, held - parked
    local fits
    if code == BUDGET then
      fits = fits_budget(nano)
    else
      fits = fits_day(of_day, nano)
    end
    day_held, prev_held, held = day_held + of_today, prev_held + of_prev, held + parked
    if fits then
      retry_ms = PARKED_RETRY_MS
    end
  end
  return reply(code, nil, 0, 0, retry_ms, parked)
end

local function day_left_us()
  return math.max(0, (day + 1) * DAY_US - now)
end

-- Layers 1, 2, 3, 6: the arrival time after this request, or who refuses it and for how long.
local function admissible(nano, kind)
  local runs, arrival_us = kind ~= KIND_SLICE, tat_us
  if runs then
    arrival_us = (tat_us > now and tat_us or now) + interval_us
    local wait_us = arrival_us - tolerance_us - now
    if wait_us > 0 then
      return nil, RATE, wait_us
    end
  end
  if not fits_day(day, nano) then
    return nil, DAILY_CAP, day_left_us()
  end
  local full = kind ~= CLOSED and #records - first + 1 >= RECORDS_MAX * RECORD_BYTES
  if full or (runs and in_flight >= slots) then
    return nil, CONCURRENCY, 0
  end
  if not fits_budget(nano) then
    return nil, BUDGET, 0
  end
  return arrival_us
end

local function keep(rid, amount, owner, kind)
  local slot_ms, money_ms = now_ms + slot_lease_ms, now_ms + hold_lease_ms
  owner = owner % NODES_MAX
  if kind == KIND_SLICE then
    owner, slot_ms = owner + SLICE, 0
  else
    in_flight = in_flight + 1
  end
  look_at(slot_ms, money_ms)
  hold(day, amount)
  after = struct.pack(RECORD, rid, slot_ms, money_ms, amount, day, owner)
end

local function admit(packed)
  local rid, amount, owner, kind = struct.unpack(CLAIM, packed, REST)
  local passed = pass_time()
  local known = kind ~= CLOSED and find(rid)
  if known then
    local _, _, _, its_day, its_owner = struct.unpack(RECORD_TAIL, records, known + 16)
    local ours = its_owner % NODES_MAX == owner
    version = version + (passed and 1 or 0)
    return reply(ours and DONE or TAKEN, its_day, ours and 1 or 0)
  end
  local nano = kind == CLOSED and 0 or bounded(amount)
  local arrival_us, code, wait_us = admissible(nano, kind)
  if code then
    version = version + (passed and 1 or 0)
    return refusal(code, wait_us, day, nano)
  end
  version, tat_us = version + 1, arrival_us
  local parked = 0
  if kind == KIND_SLICE then
    parked = slices() + nano
  end
  if kind ~= CLOSED then
    keep(rid, nano, owner, kind)
  end
  return reply(DONE, nil, 0, 0, 0, parked)
end

-- Both leases of one record anew; its fate.
local function renew_record(r)
  local is_slice = r.owner >= SLICE
  local lapsed = not is_slice and r.slot_ms <= now_ms
  if not is_slice and r.slot_ms == 0 then
    in_flight = in_flight + 1
  end
  if is_suspended(r.owner) then
    suspense = suspense - r.amount
    r.owner = r.owner - SUSPENDED
  end
  r.slot_ms = is_slice and 0 or now_ms + slot_lease_ms
  r.money_ms = now_ms + hold_lease_ms
  look_at(r.slot_ms, r.money_ms)
  return lapsed and FATE_RETAKEN or FATE_RENEWED
end

local function replace(at, with)
  after = with .. string.sub(records, at + RECORD_BYTES)
  records, first = string.sub(records, first, at - 1), 1
end

local function extend(packed)
  local passed = pass_time()
  version = version + (passed and 1 or 0)
  local rid, amount = struct.unpack(EXTENSION, packed, REST)
  local at = find(rid)
  if not at then
    return reply(UNKNOWN)
  end
  local r = read(at)
  local nano = math.max(0, bounded(amount) - r.amount)
  if not fits_day(r.day, nano) then
    return refusal(DAILY_CAP, day_left_us(), r.day, nano)
  end
  if not fits_budget(nano) then
    return refusal(BUDGET, 0, r.day, nano)
  end
  renew_record(r)
  r.amount = r.amount + nano
  replace(at, write(r))
  hold(r.day, nano)
  version = version + (passed and 0 or 1)
  return reply(DONE, r.day, nano == 0 and 1 or 0)
end

local function renew(packed)
  local last = math.min(#packed, REST + RENEW_MAX * 16 - 1)
  local fates, changed, any = {}, {}, false
  for from = REST, last, 16 do
    local at = find(string.sub(packed, from, from + 15))
    local fate = FATE_UNKNOWN
    if at then
      changed[at] = changed[at] or read(at)
      fate = renew_record(changed[at])
      any = true
    end
    fates[#fates + 1] = string.char(fate)
  end
  if any then
    local kept = {}
    for at = first, #records, RECORD_BYTES do
      local r = changed[at]
      kept[#kept + 1] = r and write(r) or string.sub(records, at, at + RECORD_BYTES - 1)
    end
    records, first = table.concat(kept), 1
    version = version + 1
  end
  return reply(DONE, nil, 0, 0, 0, (slices())) .. table.concat(fates)
end

local function settle(packed)
  local rid, actual, owner = struct.unpack(SETTLEMENT, packed, REST)
  local at = find(rid)
  if not at then
    return reply(UNKNOWN)
  end
  local slot_ms, money_ms, amount, its_day, its_owner =
    struct.unpack(RECORD_TAIL, records, at + 16)
  if its_owner ~= owner and its_owner % NODES_MAX ~= owner then
    return reply(UNKNOWN)
  end
  replace(at, '')
  let_go(slot_ms, amount, its_day, its_owner)
  book(its_day, counted(actual))
  version = version + 1
  local late = is_suspended(its_owner) or money_ms <= now_ms
  return reply(DONE, its_day, 0, late and 1 or 0)
end

local function adjust(packed)
  local passed = pass_time()
  local of_day, nano = struct.unpack(ADJUSTMENT, packed, REST)
  if of_day > day then
    version = version + (passed and 1 or 0)
    return reply(UNKNOWN)
  end
  version = version + 1
  book(of_day, math.max(-AMOUNT_MAX, math.min(AMOUNT_MAX, nano)))
  return reply(DONE)
end

-- What a call is told; a settlement is bound by no limit, so it reads none.
local function read_call(packed, with_limits)
  if with_limits then
    fence_epoch, fence_version, deadline, interval_us, tolerance_us, cap, slots, budget_max, total,
      hold_lease_ms, slot_lease_ms, on_expiry, suspense_ms = struct.unpack(ARGUMENTS, packed)
  else
    fence_epoch, fence_version, deadline = struct.unpack(FENCE, packed)
    total = struct.unpack(ONE, packed, TOTAL_AT)
  end
end

-- One call: the fence first, then the verb; what did not change is not written.
local function call(verb, with_limits, keys, args)
  now = clock(args)
  now_ms = in_ms(now)
  local key, packed = keys[1], args[1]
  local value = redis.call('GET', key)
  if not value then
    return without(COLD)
  end
  local length = #value - HEADER_BYTES
  if length < 0 or length % RECORD_BYTES ~= 0 then
    return without(RECOVER)
  end
  decode(value)
  if layout ~= LAYOUT then
    return without(RECOVER)
  end
  read_call(packed, with_limits)
  if fence_epoch ~= epoch or fence_version > version then
    return reply(RECOVER)
  end
  if deadline > 0 and now > deadline then
    return reply(LATE)
  end
  if (budget_from == 0) ~= (total == 1) then
    return reply(RECOVER)
  end
  local version_before, day_before = version, day
  local answer = verb(packed)
  if version ~= version_before then
    store(key, day == day_before)
  end
  return answer
end

-- Writes an account that was read from the ledger, if what is there is still what was seen.
local function recover(keys, args)
  now = clock(args)
  local packed = args[1]
  read_call(packed, true)
  if deadline > 0 and now > deadline then
    return without(LATE)
  end
  local length = struct.unpack('<I4', packed, REST)
  local seen = string.sub(packed, REST + 4, REST + 3 + length)
  local there = redis.call('GET', keys[1]) or ''
  if string.sub(there, 1, HEAD_BYTES) ~= seen then
    return without(RECOVER)
  end
  redis.call('SET', keys[1], string.sub(packed, REST + 4 + length), 'EX', KEPT_S)
  return without(DONE)
end

-- The clock, then the value as it is; it changes nothing, not even what time alone would.
local function peek(keys, args)
  return struct.pack(ONE, clock(args)) .. (redis.call('GET', keys[1]) or '')
end

local function verb(which, with_limits)
  return function(keys, args)
    return call(which, with_limits, keys, args)
  end
end

-- What this text offers: name, body, flags. Two releases live side by side: the version is in the
-- name.
local EXPORTS = {
  { 'p402_admit_v1', verb(admit, true), {} },
  { 'p402_extend_v1', verb(extend, true), {} },
  { 'p402_renew_v1', verb(renew, true), {} },
  { 'p402_settle_v1', verb(settle, false), {} },
  { 'p402_adjust_v1', verb(adjust, true), {} },
  { 'p402_recover_v1', recover, {} },
  { 'p402_peek_v1', peek, { 'no-writes' } },
}
