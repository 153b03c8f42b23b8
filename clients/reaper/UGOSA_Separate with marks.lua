-- @description UGOSA: separate a song under silence marks
-- @version 0.1.0
-- @author UGOSA
-- @about
--   Separates the selected item into stems. Regions such as "no vocals" tell where an instrument is silent, and
--   the server learns your song from them. The stems come back in place and add up to the original exactly.
--   Needs the helper program (run "UGOSA: Setup") and a UGOSA server.
-- @provides
--   [main] UGOSA_Separate with marks.lua
--   [main] UGOSA_Resume jobs of this project.lua
--   [main] UGOSA_Setup.lua
--   [main] UGOSA_Accept suggestions.lua
--   [main] UGOSA_Mark selection *.lua
--   [nomain] UGOSA_Resume jobs of opened projects.lua
--   [nomain] ugosa/*.lua

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "?.lua;" .. package.path

local Job = require("ugosa.job")
local SeparateModel = require("ugosa.separate_model")
local stretch = require("ugosa.stretch")
local window = require("ugosa.window")

local TITLE = "UGOSA: Separate with marks"

local stretches, message = stretch.selected()
local model
if stretches then model, message = SeparateModel.new(stretches) end
if model then
  window.run(TITLE, model, Job.POLL_S)
else
  reaper.MB(message, TITLE, 0)
end
