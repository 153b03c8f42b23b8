--- Paths and files, with names of any script and blanks in them.

local files = {}

--- Join path parts with the separator of this system.
function files.join(...)
  return table.concat({ ... }, package.config:sub(1, 1))
end

--- Return the last part of a path, without its suffix.
function files.stem(path)
  local name = path:match("[^/\\]+$") or path
  return name:match("^(.+)%.[^.]*$") or name
end

--- Return a name as one that is a single path part on every system.
function files.safe_name(name)
  local safe = name:gsub('[%c/\\:*?"<>|]', "_"):gsub("^[%s.]+", ""):gsub("[%s.]+$", "")
  if #safe > 80 then -- cut between characters, not within one
    local cut = 80
    while cut > 0 and safe:byte(cut + 1) & 0xC0 == 0x80 do cut = cut - 1 end
    safe = safe:sub(1, cut)
  end
  return safe ~= "" and safe or "item"
end

--- Return the whole of a file, or nil and why not.
function files.read(path)
  local file, message = io.open(path, "rb")
  if not file then return nil, message end
  local text = file:read("a")
  file:close()
  return text
end

--- Write a file; return true, or nil and why not.
function files.write(path, text)
  local file, message = io.open(path, "wb")
  if not file then return nil, message end
  local ok, write_message = file:write(text)
  local closed, close_message = file:close()
  if not ok then return nil, write_message end
  return closed, close_message
end

--- Return the folder of all stems of the project, as it is now.
function files.stems_folder() return files.join(reaper.GetProjectPath(""), "UGOSA stems") end

--- Make a folder of that name in `parent`, numbered when there is one; return its path, or nil and why not.
function files.make_folder(parent, name)
  local number, path = 1, files.join(parent, name)
  while reaper.file_exists(files.join(path, "request.json")) do
    number = number + 1
    path = files.join(parent, ("%s (%d)"):format(name, number))
  end
  reaper.RecursiveCreateDirectory(path, 0)
  local probe = files.join(path, "request.json") -- also takes the name
  local ok, message = files.write(probe, "")
  if not ok then return nil, message end
  return path
end

return files
