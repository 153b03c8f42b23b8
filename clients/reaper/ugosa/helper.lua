--- The `ugosa` command: where it is, and how it is started without waiting for it.

local files = require("ugosa.files")
local json = require("ugosa.json")
local settings = require("ugosa.settings")

local helper = {}

helper.INSTALL_ADVICE = "Install it with one of\n\n"
  .. "    pipx install PATH/TO/ugosa-server/clients/python\n"
  .. "    uv tool install PATH/TO/ugosa-server/clients/python\n\n"
  .. "and run the action 'UGOSA: Setup' again."

function helper.is_windows() return reaper.GetOS():match("^Win") ~= nil end

-- A program that was started from a dock or a start menu does not see the PATH of a shell, so the places where
-- pipx, uv and pip put commands are tried too.
local function candidates()
  local name = helper.is_windows() and "ugosa.exe" or "ugosa"
  local found = {}
  local function add(...)
    local parts = { ... }
    if parts[1] and parts[1] ~= "" then
      parts[#parts + 1] = name
      found[#found + 1] = files.join(table.unpack(parts))
    end
  end
  for folder in (os.getenv("PATH") or ""):gmatch(helper.is_windows() and "[^;]+" or "[^:]+") do add(folder) end
  if helper.is_windows() then
    local user = os.getenv("USERPROFILE")
    add(user and user .. "\\.local\\bin")
    for _, version in ipairs({ "311", "312", "313", "314" }) do
      local app_data, local_data = os.getenv("APPDATA"), os.getenv("LOCALAPPDATA")
      add(app_data and ("%s\\Python\\Python%s\\Scripts"):format(app_data, version))
      add(local_data and ("%s\\Programs\\Python\\Python%s\\Scripts"):format(local_data, version))
    end
  else
    local home = os.getenv("HOME")
    add(home and home .. "/.local/bin")
    add("/opt/homebrew/bin")
    add("/usr/local/bin")
    add("/usr/bin")
  end
  return found
end

--- Return the path of the helper that Setup has kept, or of the first one found; nil and what to do without any.
function helper.find()
  local kept = settings.get("helper")
  if kept and reaper.file_exists(kept) then return kept end
  for _, path in ipairs(candidates()) do
    if reaper.file_exists(path) then return path end
  end
  if kept then
    return nil, ("The helper was at %s, but it is no longer there.\n\n%s"):format(kept, helper.INSTALL_ADVICE)
  end
  return nil, "The helper program `ugosa` was not found.\n\n" .. helper.INSTALL_ADVICE
end

--- Return words as one command line; nil and a message when a word cannot be quoted.
function helper.command_line(words)
  local quoted = {}
  for index, word in ipairs(words) do
    if word:find('"', 1, true) then
      return nil, ("The path %s has a double quote in it, which no command line can carry; rename it."):format(word)
    end
    quoted[index] = word:match("^[%w_%-]+$") and word or '"' .. word .. '"'
  end
  return table.concat(quoted, " ")
end

--- Write `request` to request.json in `folder` and start `ugosa daw ACTION [JOB] request.json` in the background.
-- Returns the command line, or nil and what to do.
function helper.start(folder, action_words, request)
  local path, message = helper.find()
  if not path then return nil, message end
  request.server = settings.get("server")
  local request_path = files.join(folder, "request.json")
  local written, why = files.write(request_path, json.encode(request) .. "\n")
  if not written then return nil, ("Cannot write %s: %s"):format(request_path, why) end
  local words = { path, "daw" }
  for _, word in ipairs(action_words) do words[#words + 1] = word end
  words[#words + 1] = request_path
  local command_line, quoting = helper.command_line(words)
  if not command_line then return nil, quoting end
  if not reaper.ExecProcess(command_line, -2) then -- -2: neither wait nor show a console window
    return nil, ("REAPER could not start\n%s\n\nRun the action 'UGOSA: Setup'."):format(command_line)
  end
  return command_line
end

return helper
