-- @noindex
-- Finds the helper program, checks the connection to the server.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "?.lua;" .. package.path

local Job = require("ugosa.job")
local Setup = require("ugosa.setup")
local window = require("ugosa.window")

local model = Setup.new(folder .. "UGOSA_Resume jobs of opened projects.lua")
if model then window.run("UGOSA: Setup", model, Job.POLL_S) end
