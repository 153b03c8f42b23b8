--- The grammar of region names: what a musician writes on a region, and what it says of which sources.
--
--   vocals                 vocals are active here
--   no vocals, -vocals     vocals are silent here (also: without, not, !)
--   only drums             drums are active here, all other sources silent
--   drums, -bass           a list: each item says something
--   no bass and drums      `and`, `&`, `+`, `or`, `/` join names under one word
--   only drums, bass       after `only`, a list belongs together
--
-- Case, plural and everyday names ("kit", "vox", "singer") are forgiven. `no vocals, drums` can be read in two
-- ways and is refused. It is the grammar of the Python client, with the same table of words; a test holds the two
-- against each other.

local words = require("ugosa.words")

local labels = {}

labels.ACTIVE, labels.SILENT = "active", "silent"

local function trim(text) return text:match("^%s*(.-)%s*$") end

-- Forgive case, plural, hyphens and doubled blanks.
local function fold(name)
  local folded = trim(name):lower():gsub("[%s_%-]+", " ")
  if folded:match("s$") and not folded:match("ss$") then folded = folded:sub(1, -2) end
  return folded
end

local function known_names(sources)
  local known = {}
  for _, source in ipairs(sources) do
    for _, alias in ipairs(words.ALIASES[source] or {}) do
      known[fold(alias)] = known[fold(alias)] or source
    end
  end
  for _, source in ipairs(sources) do known[fold(source)] = source end -- a model's own names come first
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

--- Return the known name that a misspelt one comes close to, or nil.
function labels.nearest(name, sources)
  local folded = fold(name)
  local best, best_distance
  for known in pairs(known_names(sources)) do
    local distance = labels.distance(folded, known)
    if distance <= #known // 3 and (not best or distance < best_distance
        or (distance == best_distance and known < best)) then
      best, best_distance = known, distance
    end
  end
  for _, source in ipairs(sources) do -- show the model's own spelling
    if best and fold(source) == best then return source end
  end
  return best
end

--- Return the source that a musician means by a name, or nil and a message that names the nearest.
function labels.find_source(name, sources)
  local source = known_names(sources)[fold(name)]
  if source then return source end
  local near = labels.nearest(name, sources)
  return nil, ("unknown source '%s'; %sthe model has %s"):format(
    name, near and ("did you mean '%s'? "):format(near) or "", table.concat(sources, ", "))
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

-- Return what follows a leading "no", "-" and the like, and whether it was a word; nil when there is none.
local function after_negation(item)
  local rest = item:match("^[%-!]%s*(%S.*)$")
  if rest then return rest, false end
  for _, word in ipairs({ "no", "not", "without" }) do
    if item:sub(1, #word):lower() == word then
      rest = item:sub(#word + 1):match("^[%s_%-]+([^%s_%-].*)$")
      if rest then return rest, true end
    end
  end
end

local function after_only(item)
  if item:sub(1, 4):lower() == "only" then return item:sub(5):match("^[%s_%-]+([^%s_%-].*)$") end
end

local function say(states, source, state, label)
  if states[source] and states[source] ~= state then
    error(("'%s' says that %s is both active and silent"):format(label, source), 0)
  end
  states[source] = state
end

local function parse(label, sources)
  local states, only = {}, {}
  local said_only, said_no, said_anything = false, false, false
  for _, item in ipairs(split(label, { "," })) do
    item = trim(item)
    if item ~= "" then
      said_anything = true
      local only_rest = after_only(item)
      local rest, is_word = after_negation(item)
      if only_rest or (said_only and not rest) then
        said_only = true
        for _, source in ipairs(names_of(only_rest or item, sources)) do only[source] = true end
      else
        if not rest and said_no then
          error(("'%s' can mean that %s is silent or that it plays; write 'no %s', or put '%s' first"):format(
            label, item, item, item), 0)
        end
        said_no = said_no or (rest ~= nil and is_word)
        for _, source in ipairs(names_of(rest or item, sources)) do
          say(states, source, rest and labels.SILENT or labels.ACTIVE, label)
        end
      end
    end
  end
  if not said_anything then
    error(("the region has no name; call it for example '%s' or 'no %s'"):format(sources[1], sources[1]), 0)
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

--- Whether a name that is not understood looks like a mark with a slip of the pen, rather than like "Verse 2".
function labels.is_misspelt(label, sources)
  for _, item in ipairs(split(label, { "," })) do
    item = trim(item)
    local rest = after_only(item) or after_negation(item)
    if rest then return true end
    for _, name in ipairs(split(item, JOINS)) do
      if labels.nearest(trim(name), sources) then return true end
    end
  end
  return false
end

return labels
