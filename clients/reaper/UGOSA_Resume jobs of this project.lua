-- @noindex
-- Takes up the jobs that this project waits for.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "?.lua;" .. package.path

local Job = require("ugosa.job")
local JobsModel = require("ugosa.jobs_model")
local window = require("ugosa.window")

local TITLE = "UGOSA: Resume"

local model, message = JobsModel.reopen()
if model then
  window.run(TITLE, model, Job.POLL_S)
else
  reaper.MB(message, TITLE, 0)
end
