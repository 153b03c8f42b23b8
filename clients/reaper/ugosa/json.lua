--- JSON (RFC 8259) in plain Lua.
-- Objects become tables with string keys, arrays become tables with n = length, null becomes json.null.
-- Integers stay integers, so that frame counts beyond 2^31 come through whole.

local json = {}

--- Stands for null, which a Lua table cannot hold.
json.null = setmetatable({}, { __tostring = function() return "null" end })

--- Mark a table as an array, so that an empty one is written as [] and not as {}.
function json.array(list)
  list = list or {}
  list.n = #list
  return list
end

local ESCAPES = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

local WRITTEN = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t",
}

local decode_value

local function fail(text, position, what)
  error(("JSON: %s at byte %d of %d"):format(what, position, #text), 0)
end

local function skip_blanks(text, position)
  return text:match("^[ \t\r\n]*()", position)
end

-- A \uXXXX at `position`, or a pair of them that stands for one character; returns it with where to go on.
local function decode_unicode(text, position)
  local digits = text:match("^%x%x%x%x", position)
  if not digits then fail(text, position, "\\u without four hexadecimal digits") end
  local code = tonumber(digits, 16)
  position = position + 4
  if code >= 0xD800 and code < 0xDC00 then
    local low = tonumber(text:match("^\\u(%x%x%x%x)", position) or "0", 16)
    if low >= 0xDC00 and low < 0xE000 then
      return utf8.char(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), position + 6
    end
  end
  if code >= 0xDC80 and code < 0xDD00 then return string.char(code - 0xDC00), position end -- Python's byte of no text
  if code >= 0xD800 and code < 0xE000 then return utf8.char(0xFFFD), position end -- half a pair
  return utf8.char(code), position
end

local function decode_string(text, position)
  local parts = {}
  position = position + 1
  while true do
    local plain, stop = text:match('^([^"\\%c]*)()', position)
    parts[#parts + 1] = plain
    local byte = text:sub(stop, stop)
    if byte == '"' then return table.concat(parts), stop + 1 end
    if byte == "\127" then -- %c takes DEL for a control character; JSON does not
      parts[#parts + 1], position = byte, stop + 1
    elseif byte ~= "\\" then
      fail(text, stop, byte == "" and "a string without end" or "a control character in a string")
    else
      local escape = text:sub(stop + 1, stop + 1)
      if escape == "u" then
        parts[#parts + 1], position = decode_unicode(text, stop + 2)
      elseif ESCAPES[escape] then
        parts[#parts + 1], position = ESCAPES[escape], stop + 2
      else
        fail(text, stop, "an unknown escape")
      end
    end
  end
end

local function decode_number(text, position)
  local digits, stop = text:match("^(-?%d+%.?%d*[eE]?[+-]?%d*)()", position)
  local number = digits and tonumber(digits)
  if not number or digits:match("^-?0%d") or digits:match("%.$") or digits:match("%.[eE]") then
    fail(text, position, "not a value")
  end
  return number, stop
end

local function decode_array(text, position)
  local list = {}
  local n = 0
  position = skip_blanks(text, position + 1)
  if text:sub(position, position) == "]" then return json.array(list), position + 1 end
  while true do
    n = n + 1
    list[n], position = decode_value(text, position)
    position = skip_blanks(text, position)
    local byte = text:sub(position, position)
    position = position + 1
    if byte == "]" then return json.array(list), position end
    if byte ~= "," then fail(text, position - 1, "an array goes on without a comma") end
  end
end

local function decode_object(text, position)
  local object = {}
  position = skip_blanks(text, position + 1)
  if text:sub(position, position) == "}" then return object, position + 1 end
  while true do
    position = skip_blanks(text, position)
    if text:sub(position, position) ~= '"' then fail(text, position, "an object's key is not a string") end
    local key
    key, position = decode_string(text, position)
    position = skip_blanks(text, position)
    if text:sub(position, position) ~= ":" then fail(text, position, "a key without a colon") end
    object[key], position = decode_value(text, position + 1)
    position = skip_blanks(text, position)
    local byte = text:sub(position, position)
    position = position + 1
    if byte == "}" then return object, position end
    if byte ~= "," then fail(text, position - 1, "an object goes on without a comma") end
  end
end

local LITERALS = { { "true", true }, { "false", false }, { "null", json.null } }

decode_value = function(text, position)
  position = skip_blanks(text, position)
  local byte = text:sub(position, position)
  if byte == "{" then return decode_object(text, position) end
  if byte == "[" then return decode_array(text, position) end
  if byte == '"' then return decode_string(text, position) end
  for _, literal in ipairs(LITERALS) do
    if text:sub(position, position + #literal[1] - 1) == literal[1] then
      return literal[2], position + #literal[1]
    end
  end
  return decode_number(text, position)
end

--- Return the value of a JSON text; raise a message with the position when it is none.
function json.decode(text)
  local value, position = decode_value(text, 1)
  position = skip_blanks(text, position)
  if position <= #text then fail(text, position, "something follows the value") end
  return value
end

local function encode_string(text)
  return '"' .. text:gsub('[%z\1-\31"\\]', function(byte)
    return WRITTEN[byte] or ("\\u%04x"):format(byte:byte())
  end) .. '"'
end

local function encode_number(number)
  if math.type(number) == "integer" then return ("%d"):format(number) end
  if number ~= number or number == math.huge or number == -math.huge then
    error(("JSON: %s has no JSON form"):format(number), 0)
  end
  return (("%.17g"):format(number):gsub(",", ".")) -- the decimal sign of some systems
end

--- Return a value as JSON text; the keys of an object come in order, so that equal values give equal text.
function json.encode(value)
  local kind = type(value)
  if value == json.null then return "null" end
  if kind == "string" then return encode_string(value) end
  if kind == "number" then return encode_number(value) end
  if kind == "boolean" then return tostring(value) end
  if kind ~= "table" then error(("JSON: a %s has no JSON form"):format(kind), 0) end
  local parts = {}
  if #value > 0 or value.n then
    for index = 1, #value do parts[index] = json.encode(value[index]) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys)
  for index, key in ipairs(keys) do
    parts[index] = encode_string(key) .. ":" .. json.encode(value[key])
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

return json
