--- The grammar of region names: what a musician writes on a region, and what it says of which sources.
--
--   vocals                 vocals are active here
--   no vocals, -vocals     vocals are silent here (also: without, w/o, not, mute, minus, !)
--   vocals off             the same (also: out, muted, silent)
--   only drums             drums are active here, all other sources silent (also: just, solo)
--   drums only             the same
--   instrumental           no vocals; and `acapella` is only vocals
--   drums, -bass           a list: each item says something
--   no bass and drums      `and`, `&`, `+`, `or`, `/` join names under one word
--   only drums, bass       with `only`, a list belongs together
--
-- Case, plural and everyday names ("kit", "vox", "singer") are forgiven. `no vocals, drums` and `drums, vocals off`
-- can be read in two ways and are refused. It is the grammar of the Python client, with the same table of words;
-- a test holds the two against each other.

local words = require("ugosa.words")

local labels = {}

labels.ACTIVE, labels.SILENT = "active", "silent"

-- A name may differ in one letter of so many to be proposed, and of so many to be taken for a slip of the pen.
local HINT_LETTERS, SLIP_LETTERS = 3, 4

local function trim(text) return text:match("^%s*(.-)%s*$") end

-- Forgive case, plural, hyphens and doubled blanks.
local function fold(name)
  local folded = trim(name):lower():gsub("[%s_%-]+", " ")
  if folded:match("s$") and not folded:match("ss$") then folded = folded:sub(1, -2) end
  return folded
end

local names_of_models = setmetatable({}, { __mode = "k" })

-- The source of each folded name.
local function known_names(sources)
  if names_of_models[sources] then return names_of_models[sources] end
  local known = {}
  for _, source in ipairs(sources) do
    for _, alias in ipairs(words.ALIASES[source] or {}) do
      known[fold(alias)] = known[fold(alias)] or source
    end
  end
  for _, source in ipairs(sources) do known[fold(source)] = source end -- a model's own names come first
  names_of_models[sources] = known
  return known
end

--- Number of letters to insert, delete, replace or swap with their neighbour between two words.
function labels.distance(a, b)
  local before, last
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    before, last, row = last, row, { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
  end
  return row[#b]
end

-- Return the known name with the fewest slips, if these are few for its length.
local function nearest(folded, known, letters_per_slip)
  local best, best_distance
  for name in pairs(known) do
    local limit = #name // letters_per_slip
    local distance = math.abs(#name - #folded) <= limit and labels.distance(folded, name)
    if distance and distance <= limit and (not best or distance < best_distance
        or (distance == best_distance and name < best)) then
      best, best_distance = name, distance
    end
  end
  return best
end

local function has(list, word)
  for _, one in ipairs(list) do
    if one == word then return true end
  end
  return false
end

--- Return the source that a musician means by a name, or nil and a message that names the nearest, or the model
-- that has it.
function labels.find_source(name, sources)
  local known, folded = known_names(sources), fold(name)
  if known[folded] then return known[folded] end
  for instrument, model in pairs(words.MODELS_WITH) do
    if has(sources, "other") and known_names({ instrument })[folded] then
      return nil, ("this model has %s inside 'other'; %s has its own: ugosa-server models pull %s"):format(
        instrument, model, model)
    end
  end
  local near = nearest(folded, known, HINT_LETTERS)
  return nil, ("unknown source '%s'; %sthe model has %s"):format(
    name, near and ("did you mean '%s'? "):format(known[near]) or "", table.concat(sources, ", "))
end

-- Split at every match of any pattern.
local function split(text, patterns)
  local parts, start = {}, 1
  while true do
    local first, last
    for _, pattern in ipairs(patterns) do
      local from, to = text:find(pattern, start)
      if from and (not first or from < first or (from == first and to > last)) then first, last = from, to end
    end
    if not first then break end
    parts[#parts + 1] = text:sub(start, first - 1)
    start = last + 1
  end
  parts[#parts + 1] = text:sub(start)
  return parts
end

local JOINS = { "%s+[aA][nN][dD]%s+", "%s+[oO][rR]%s+", "%s*[&+/]%s*" }

-- Raises a message; parse() catches it.
local function names_of(text, sources)
  local found = {}
  for _, name in ipairs(split(text, JOINS)) do
    local source, message = labels.find_source(trim(name), sources)
    if not source then error(message, 0) end
    found[#found + 1] = source
  end
  return found
end

-- Return what follows one of the words at the start of an item, and the word.
local function after_word(item, list)
  for _, word in ipairs(list) do
    if item:sub(1, #word):lower() == word then
      local names = item:sub(#word + 1):match("^[%s_%-]+([^%s_%-].*)$")
      if names then return names, word end
    end
  end
end

-- Return what stands before one of the words at the end of an item, and the word.
local function before_word(item, list)
  for _, word in ipairs(list) do
    if #item > #word and item:sub(-#word):lower() == word then
      local names = item:sub(1, -#word - 1):match("^(.*[^%s_%-])[%s_%-]+$")
      if names then return names, word end
    end
  end
end

-- Part an item into {names, says, word, is_after, is_sure}; a name of the model stands for itself. `is_sure`: it
-- speaks of instruments whatever its names are.
local function read_item(text, sources)
  if known_names(sources)[fold(text)] then return { names = text, says = "plays" } end
  local sign, rest = text:match("^([%-!])%s*(%S.*)$")
  if sign then return { names = rest, says = labels.SILENT, word = sign, is_sign = true, is_sure = true } end
  local names, word = after_word(text, words.SILENT_BEFORE)
  if names then return { names = names, says = labels.SILENT, word = word, is_sure = has(words.SURE_BEFORE, word) } end
  names, word = after_word(text, words.ONLY_BEFORE)
  if names then return { names = names, says = "only", word = word, is_sure = has(words.SURE_BEFORE, word) } end
  names, word = before_word(text, words.SILENT_AFTER)
  if names then return { names = names, says = labels.SILENT, word = word, is_after = true } end
  names, word = before_word(text, words.ONLY_AFTER)
  if names then return { names = names, says = "only", word = word, is_after = true } end
  return { names = text, says = "plays" }
end

local function items_of(label)
  for letter, meant in pairs(words.LOOK_ALIKES) do label = label:gsub(letter, meant) end
  for short, word in pairs(words.SPELLED_OUT) do
    local any_case = short:gsub("%a", function(letter) return "[" .. letter .. letter:upper() .. "]" end)
    label = label:gsub("%f[%w]" .. any_case .. "%f[%W]", word)
  end
  local items = {}
  for _, item in ipairs(split(label, { "," })) do
    if trim(item) ~= "" then items[#items + 1] = trim(item) end
  end
  return items
end

-- Put its meaning in the place of an item such as "instrumental".
local function expanded(item, sources)
  local folded = fold(item)
  if known_names(sources)[folded] then return item end
  for phrase, meaning in pairs(words.PHRASES) do
    if fold(phrase) == folded then return meaning end
  end
  return item
end

local function say(states, source, state, label)
  if states[source] and states[source] ~= state then
    error(("'%s' says that %s is both active and silent"):format(label, source), 0)
  end
  states[source] = state
end

local function refuse_two_readings(label, item, negated, first)
  error(("'%s' can mean that %s is silent or that it plays; write '%s', or put '%s' first"):format(
    label, item, negated, first), 0)
end

local function parse(label, sources)
  local states, only = {}, {}
  local said_only = false
  local negated, plain -- an item that a negation may reach beyond, and one that it may reach
  local items = items_of(label)
  if #items == 0 then
    error(("the region has no name; call it for example '%s' or 'no %s'"):format(sources[1], sources[1]), 0)
  end
  for _, unexpanded in ipairs(items) do
    local text = expanded(unexpanded, sources)
    local item = read_item(text, sources)
    local found = names_of(item.names, sources)
    if item.says == "only" and item.is_after then -- "drums, bass only"
      for source, state in pairs(states) do only[source] = only[source] or state == labels.ACTIVE end
    end
    said_only = said_only or item.says == "only"
    if said_only and item.says ~= labels.SILENT then
      for _, source in ipairs(found) do only[source] = true end
    elseif item.says == "plays" then
      if negated then refuse_two_readings(label, text, "no " .. text, text) end
      plain = plain or text
      for _, source in ipairs(found) do say(states, source, labels.ACTIVE, label) end
    else
      if plain and item.is_after then refuse_two_readings(label, plain, plain .. " " .. item.word, text) end
      if not item.is_sign and not item.is_after then negated = text end
      for _, source in ipairs(found) do say(states, source, labels.SILENT, label) end
    end
  end
  if said_only then
    for _, source in ipairs(sources) do
      say(states, source, only[source] and labels.ACTIVE or labels.SILENT, label)
    end
  end
  return states
end

--- Return what a region name says of each source that it speaks of ({vocals = "silent"}), or nil and a message.
function labels.parse(label, sources)
  local ok, result = pcall(parse, label, sources)
  if ok then return result end
  return nil, result
end

--- Return the region name that says a state of a source.
function labels.write(source, state)
  return state == labels.SILENT and ("no " .. source) or source
end

--- Return whether a name that is not understood is a mark with a slip of the pen, not a section such as "Verse 2".
function labels.is_meant_as_mark(label, sources)
  local known = known_names(sources)
  for _, text in ipairs(items_of(label)) do
    local item = read_item(text, sources)
    if item.is_sure then return true end
    for _, name in ipairs(split(item.names, JOINS)) do
      if nearest(fold(name), known, SLIP_LETTERS) then return true end
    end
  end
  return false
end

return labels
