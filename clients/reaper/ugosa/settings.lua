--- What the user chose, kept by REAPER between runs.

local settings = {}

local SECTION = "UGOSA"

--- Return a setting, or nil where there is none.
function settings.get(key)
  local value = reaper.GetExtState(SECTION, key)
  return value ~= "" and value or nil
end

--- Keep a setting; nil or "" forgets it.
function settings.set(key, value)
  if value == nil or value == "" then
    reaper.DeleteExtState(SECTION, key, true)
  else
    reaper.SetExtState(SECTION, key, value, true)
  end
end

return settings
