--- `Setup`: find or install the helper, keep where it is, check the connection, and offer to resume jobs by itself.

local files = require("ugosa.files")
local helper = require("ugosa.helper")
local Installer = require("ugosa.installer")
local Job = require("ugosa.job")
local json = require("ugosa.json")
local settings = require("ugosa.settings")

local Setup = {}
Setup.__index = Setup

local YES, YES_NO = 6, 4
local TITLE = "UGOSA: Setup"
local STARTUP_NOTE = "-- UGOSA: take up the jobs of projects when they are opened (added by 'UGOSA: Setup')"

--- Let the user show where the helper is, or what it can be installed from; return that path, or nil.
local function ask_for_helper(message)
  reaper.MB(message .. "\n\nIf it is installed already, choose it in the next window. To have it installed here, "
    .. "choose clients/python/pyproject.toml of UGOSA Server there (not on Windows).", TITLE, 0)
  local ok, path = reaper.GetUserFileNameForRead("", "The ugosa program, or clients/python/pyproject.toml", "")
  return ok and path or nil
end

local function ask_for_server()
  local ok, address = reaper.GetUserInputs(TITLE, 1, "Server (empty = this machine),extrawidth=200",
    settings.get("server") or "")
  if ok then settings.set("server", address:match("^%s*(.-)%s*$")) end
  return ok
end

--- Have REAPER run the watcher at its start; return whether it is so.
function Setup.install_watcher(script_path)
  local path = files.join(reaper.GetResourcePath(), "Scripts", "__startup.lua")
  local text = files.read(path) or ""
  if text:find(STARTUP_NOTE, 1, true) then return true end
  local line = ("dofile(%q)"):format(script_path)
  if text ~= "" and text:sub(-1) ~= "\n" then text = text .. "\n" end
  return files.write(path, ("%s%s\n%s\n"):format(text, STARTUP_NOTE, line)) ~= nil
end

--- Find the helper and begin to check the connection; nil when the user gave up. `watcher_path` is the script that
-- resumes jobs.
function Setup.new(watcher_path)
  local path, message = helper.find()
  if not path then path = ask_for_helper(message) end
  if not path then return nil end
  if not ask_for_server() then return nil end
  local folder = files.join(reaper.GetResourcePath(), "UGOSA")
  reaper.RecursiveCreateDirectory(folder, 0)
  local self = setmetatable({ folder = folder, watcher_path = watcher_path, closed = false }, Setup)
  if path:match("[^/\\]+$") == Installer.SOURCE then
    self.installer, self.failure = Installer.start(path, folder)
  else
    self:check(path)
  end
  return self
end

--- Keep where the helper is and ask the server for its models.
function Setup:check(path)
  self.path = path
  settings.set("helper", path)
  self.job, self.failure = Job.start(self.folder, "call", { command = json.array({ "models" }) })
end

--- Follow the installation and the check.
function Setup:poll()
  local installer = self.installer
  if installer and installer.state == "installing" then
    installer:poll()
    self.failure = installer.message
    if installer.state == "done" then self:check(installer.path) end
  end
  if self.job then self.job:poll() end
  if self.job and self.job.state == "done" and not self.offered then
    self.offered = true
    local answer = reaper.MB("The helper and the server work.\n\nShall jobs be taken up by themselves when their "
      .. "project is opened? (Adds a line to Scripts/__startup.lua.)", TITLE, YES_NO)
    if answer == YES then self.watches = Setup.install_watcher(self.watcher_path) end
  end
end

--- Say what to show.
function Setup:view()
  local lines = { { text = "Helper: " .. (self.path or "not installed yet") } }
  local function add(text, severity) lines[#lines + 1] = { text = text, severity = severity } end
  local job = self.job
  if self.failure or (job and job.state == "failed") then
    add(self.failure or job.message, "error")
  elseif not job then
    add("Installing the helper; this can take some minutes ...")
  elseif job.state == "done" then
    add("Ready. Select the item of your song and run 'UGOSA: Separate with marks'.")
    for _, model in ipairs(job.result.models) do
      add(("Model %s: %s"):format(model.name, table.concat(model.sources, ", ")))
    end
    if self.watches then
      add("Jobs are taken up when their project is opened, from the next start of REAPER.", "info")
    end
  else
    add("Asking the server ...")
  end
  return { lines = lines, buttons = { { id = "close", label = "Close" } } }
end

--- Answer the user.
function Setup:handle(event) self.closed = event.button == "close" end

return Setup
