--- Install the helper from a copy of the project, in the background: an environment of Python's own in REAPER's
-- resource folder, and `pip install` of clients/python. Everything it says goes to a log, whose last line is DONE.

local files = require("ugosa.files")
local helper = require("ugosa.helper")

local Installer = {}
Installer.__index = Installer

Installer.SOURCE = "pyproject.toml"

local DONE, FAILED = "UGOSA: installed", "UGOSA: not installed"

local SCRIPT = [[
#!/bin/sh
exec >%s 2>&1
PATH="$PATH:/usr/local/bin:/opt/homebrew/bin"
for python in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; then
        "$python" -m venv --clear %s && %s -m pip install --disable-pip-version-check %s && echo '%s' && exit 0
        echo '%s'
        exit 1
    fi
done
echo "no Python 3.11 or newer with venv is installed"
echo '%s'
]]

local function shell_quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Begin to install from `project_file`, the pyproject.toml of clients/python, into `folder`; nil and why not.
function Installer.start(project_file, folder)
  if helper.is_windows() then
    return nil, "On Windows Setup cannot install the helper.\n\n" .. helper.INSTALL_ADVICE
  end
  local text = files.read(project_file) or ""
  if not text:find('name = "ugosa-client"', 1, true) then
    return nil, ("%s is not the pyproject.toml of clients/python of UGOSA Server."):format(project_file)
  end
  local environment = files.join(folder, "helper")
  local self = setmetatable({
    path = files.join(environment, "bin", "ugosa"),
    log = files.join(folder, "install.log"),
    state = "installing",
  }, Installer)
  local script = files.join(folder, "install.sh")
  local written, why = files.write(self.log, "")
  if written then
    local python = shell_quoted(files.join(environment, "bin", "python"))
    local source = shell_quoted(project_file:match("^(.*)/[^/]*$"))
    written, why = files.write(script,
      SCRIPT:format(shell_quoted(self.log), shell_quoted(environment), python, source, DONE, FAILED, FAILED))
  end
  if not written then return nil, ("Cannot write to %s: %s"):format(folder, why) end
  local command_line, quoting = helper.command_line({ "/bin/sh", script })
  if not command_line then return nil, quoting end
  if not reaper.ExecProcess(command_line, -2) then return nil, "REAPER could not start\n" .. command_line end
  return self
end

--- Look how far it is: `state` becomes "done", or "failed" with a `message`.
function Installer:poll()
  if self.state ~= "installing" then return end
  local text = files.read(self.log) or ""
  if text:find(DONE .. "\n", 1, true) then
    self.state = "done"
  elseif text:find(FAILED .. "\n", 1, true) then
    local said = text:gsub(FAILED .. "\n", ""):match("([^\n]*)\n*$")
    self.state, self.message = "failed", ("%s\n(all of it: %s)"):format(said, self.log)
  end
end

return Installer
