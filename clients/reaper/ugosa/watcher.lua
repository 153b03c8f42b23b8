--- Takes up the jobs of a project when it is opened: looks once a second whether another project is in front.

local Job = require("ugosa.job")
local JobsModel = require("ugosa.jobs_model")
local pending = require("ugosa.pending")
local window = require("ugosa.window")

local LOOK_EVERY_S = 1

--- Begin to watch; runs until REAPER ends.
return function()
  local in_front, next_look_s = nil, 0
  local function cycle()
    local now_s = reaper.time_precise()
    if now_s >= next_look_s then
      next_look_s = now_s + LOOK_EVERY_S
      local project, path = reaper.EnumProjects(-1)
      local key = tostring(project) .. path
      if key ~= in_front then
        in_front = key
        local model = #pending.list() > 0 and JobsModel.reopen()
        if model then window.run("UGOSA: jobs of this project", model, Job.POLL_S) end
      end
    end
    reaper.defer(cycle)
  end
  cycle()
end
