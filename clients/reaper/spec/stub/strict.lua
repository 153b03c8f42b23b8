--- A table that raises on every name that it does not have, and on every use of such a name.

local strict = {}

--- Return a table of functions named `title` that refuses unknown names.
function strict.table(title)
  return setmetatable({}, {
    __index = function(_, name) error(("%s.%s is not defined by the stub"):format(title, tostring(name)), 2) end,
  })
end

--- Raise unless the value is a handle of that kind ("track", "item", "take", "source").
function strict.handle(value, kind)
  if type(value) ~= "table" or value.kind ~= kind then
    error(("expected a %s, got %s"):format(kind, type(value) == "table" and tostring(value.kind) or type(value)), 3)
  end
  return value
end

--- Raise unless the value is of that Lua type.
function strict.value(value, kind)
  if type(value) ~= kind then error(("expected a %s, got %s"):format(kind, type(value)), 3) end
  return value
end

--- Raise unless the project argument means the current project.
function strict.project(value, current)
  if value ~= 0 and value ~= current then error("expected the current project: 0 or its handle", 3) end
end

return strict
