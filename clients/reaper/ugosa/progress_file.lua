--- Follows a file that another program appends JSON lines to.
-- A line may be there in part, even cut within a character: it is read when its end has come.

local json = require("ugosa.json")

local ProgressFile = {}
ProgressFile.__index = ProgressFile

--- Follow the file from its start; it need not be there yet.
function ProgressFile.open(path)
  return setmetatable({ path = path, offset = 0, rest = "", damaged = 0 }, ProgressFile)
end

--- Return the objects that came since the last call, and whether any byte came.
function ProgressFile:poll()
  local objects = {}
  local file = io.open(self.path, "rb")
  if not file then return objects, false end
  file:seek("set", self.offset)
  local bytes = file:read("a") or ""
  file:close()
  self.offset = self.offset + #bytes
  local text, start = self.rest .. bytes, 1
  for line, stop in text:gmatch("([^\n]*)\n()") do
    start = stop
    local ok, object = pcall(json.decode, line)
    if ok and type(object) == "table" then
      objects[#objects + 1] = object
    elseif line:match("%S") then
      self.damaged = self.damaged + 1
    end
  end
  self.rest = text:sub(start)
  return objects, #bytes > 0
end

return ProgressFile
