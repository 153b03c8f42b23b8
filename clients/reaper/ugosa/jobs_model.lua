--- What the window shows while jobs run, and what comes after: stems into the project, all in one undo step.

local files = require("ugosa.files")
local insert = require("ugosa.insert")
local Job = require("ugosa.job")
local pending = require("ugosa.pending")
local preview = require("ugosa.preview")

local JobsModel = {}
JobsModel.__index = JobsModel

-- Two windows that follow one job would insert its stems twice. Whoever follows says so at every poll.
local FOLLOWED, FOLLOWED_S = "UGOSA_followed", 3

local function is_followed(folder)
  local since_s = tonumber(reaper.GetExtState(FOLLOWED, folder))
  return since_s ~= nil and math.abs(reaper.time_precise() - since_s) < FOLLOWED_S
end

local function remember(entry)
  if entry.kept ~= (entry.job.job_id or "") then
    entry.kept = entry.job.job_id or ""
    pending.put({ folder = entry.job.folder, job_id = entry.job.job_id, place = entry.place })
  end
end

--- Follow entries {job, place}; jobs that could not start may be among them (they have ended).
function JobsModel.new(entries)
  local self = setmetatable({ entries = entries, closed = false, finished = false, notices = {} }, JobsModel)
  self.project = reaper.EnumProjects(-1)
  for _, entry in ipairs(entries) do remember(entry) end
  return self
end

-- Return where the folder of a job is: where it was, or with the project that was moved; nil and what to do without it.
local function folder_now(waiting)
  local moved = files.join(files.stems_folder(), waiting.folder:match("[^/\\]+$"))
  for _, folder in ipairs({ waiting.folder, moved }) do
    if reaper.file_exists(files.join(folder, "request.json")) then return folder end
  end
  return nil, ("The folder of '%s' is not there: %s. Bring it back and run this again, or separate the item again.")
    :format(waiting.place.name, waiting.folder)
end

--- Follow the jobs that the project waits for; nil and why not when there is none to follow.
function JobsModel.reopen()
  local entries, why_not = {}, "This project waits for no job."
  for _, waiting in ipairs(pending.list()) do
    local folder, missing = folder_now(waiting)
    if not folder then
      why_not = missing
    elseif is_followed(folder) then
      why_not = "Another window follows the jobs of this project."
    else
      local job, message = Job.reopen(folder)
      if not job or folder ~= waiting.folder then pending.remove(waiting.folder) end
      if job then
        if type(waiting.job_id) == "string" then job.job_id = waiting.job_id end
        entries[#entries + 1] = { job = job, place = waiting.place }
      else
        why_not = message
      end
    end
  end
  if #entries > 0 then return JobsModel.new(entries) end
  return nil, why_not
end

--- Read what the helpers say; insert the stems once every job has ended and its project is in front.
function JobsModel:poll()
  self.is_elsewhere = reaper.EnumProjects(-1) ~= self.project
  if self.is_elsewhere then
    -- The helpers go on. A project that was closed finds its jobs when it is opened again.
    self.closed = not reaper.ValidatePtr2(0, self.project, "ReaProject*")
    return
  end
  local all_ended = true
  for _, entry in ipairs(self.entries) do
    entry.job:poll()
    if not self.finished then
      reaper.SetExtState(FOLLOWED, entry.job.folder, tostring(reaper.time_precise()), false)
    end
    remember(entry)
    all_ended = all_ended and entry.job:has_ended()
  end
  if all_ended and not self.finished then self:_finish() end
end

function JobsModel:_finish()
  self.finished = true
  preview.remove()
  for _, entry in ipairs(self.entries) do reaper.DeleteExtState(FOLLOWED, entry.job.folder, false) end
  local insertions = {}
  for _, entry in ipairs(self.entries) do
    if entry.job.state == "done" and not entry.inserted then
      entry.inserted = { place = entry.place, stems = entry.job.result.stems }
      insertions[#insertions + 1] = entry.inserted
    end
    if not entry.job.can_resume then pending.remove(entry.job.folder) end
  end
  if #insertions > 0 then self.notices = insert.stems(insertions) end
end

-- Let the newest previews be heard, of the first instrument that is marked.
function JobsModel:_listen()
  local previews = {}
  for _, entry in ipairs(self.entries) do
    local marks = entry.job.request.marks or {}
    if entry.job.preview then
      previews[#previews + 1] = { name = entry.place.name, start_s = entry.place.preview_start_s,
        files = entry.job.preview, source = marks[1] and marks[1].source }
    end
  end
  preview.show(previews)
end

-- The inserted stems that there are of the model as it is too, as changes of their files to those or back.
function JobsModel:_changes(takes_base)
  local changes = {}
  for _, entry in ipairs(self.entries) do
    local base = entry.inserted and entry.job.result.base_stems
    if base and #base > 0 then
      changes[#changes + 1] = { guids = entry.inserted.guids, stems = takes_base and base or entry.inserted.stems }
    end
  end
  return changes
end

local function add(lines, text, severity) lines[#lines + 1] = { text = text, severity = severity } end

local function describe_end(lines, entry)
  local job, name = entry.job, entry.place.name
  if job.state == "done" then
    add(lines, ("%s: stems are in the project; the original is muted. Report: %s"):format(name,
      files.join(job.folder, "report.html")))
    local verdict = job.result.job and job.result.job.verdict
    if verdict and verdict.message then add(lines, verdict.message) end  -- JSON null is a table without it
    for _, notice in ipairs(job.notices) do add(lines, notice.text, notice.severity) end
  elseif job.state == "cancelled" then
    add(lines, ("%s: cancelled; the project is as it was."):format(name), "warning")
  else
    add(lines, ("%s: %s"):format(name, job.message), "error")
  end
end

--- Say what to show.
function JobsModel:view()
  local lines, bars, can_resume = {}, {}, false
  if self.is_elsewhere then
    add(lines, "These jobs are of another project tab. Go back to it to see them and to get the stems.", "info")
    return { lines = lines, buttons = { { id = "close", label = "Close" } } }
  end
  for _, entry in ipairs(self.entries) do
    local job = entry.job
    if job:has_ended() then
      if self.finished then describe_end(lines, entry) end
      can_resume = can_resume or (job.state == "failed" and job.can_resume)
    end
    if not self.finished then
      bars[#bars + 1] = { label = ("%s: %s%s"):format(entry.place.name, job.text, job:eta_text()),
        fraction = job.state == "done" and 1 or job.fraction }
      if job.goes_on then add(lines, entry.place.name .. ": goes on from what your last run has learned.", "info") end
      for _, notice in ipairs(job.notices) do
        if notice.severity == "warning" then add(lines, ("%s: %s"):format(entry.place.name, notice.text), "warning") end
      end
    end
  end
  if not self.finished then
    add(lines, "You can go on working. Closing this window leaves the jobs running; 'UGOSA: Resume' brings them back.",
      "info")
    local is_learning, has_preview = false, false
    for _, entry in ipairs(self.entries) do
      is_learning = is_learning or entry.job.is_learning
      has_preview = has_preview or entry.job.preview and not entry.job:has_ended()
    end
    local buttons = { { id = "cancel", label = "Cancel" } }
    if has_preview then table.insert(buttons, 1, { id = "listen", label = "Listen" }) end
    if is_learning then table.insert(buttons, 1, { id = "accept", label = "Take it now" }) end
    return { lines = lines, bars = bars, buttons = buttons }
  end
  for _, notice in ipairs(self.notices) do add(lines, notice, "warning") end
  local buttons = { { id = "close", label = "Close" } }
  if #self:_changes(true) > 0 then
    table.insert(buttons, 1, { id = "other_files",
      label = self.plays_base and "Insert the learned ones again" or "Insert base instead" })
  end
  if can_resume then table.insert(buttons, 1, { id = "resume", label = "Resume" }) end
  return { lines = lines, bars = bars, buttons = buttons }
end

--- Answer the user.
function JobsModel:handle(event)
  if event.button == "close" then
    self.closed = true
  elseif event.button == "cancel" then
    for _, entry in ipairs(self.entries) do entry.job:cancel() end
  elseif event.button == "accept" then
    for _, entry in ipairs(self.entries) do entry.job:accept() end
  elseif event.button == "listen" then
    self:_listen()
  elseif event.button == "other_files" then
    self.plays_base = not self.plays_base
    insert.other_files(self:_changes(self.plays_base))
  elseif event.button == "resume" then
    for _, entry in ipairs(self.entries) do
      if entry.job.state == "failed" and entry.job.can_resume then entry.job:resume() end
    end
    self.finished = false
  end
end

--- Leave no preview behind.
function JobsModel:on_close()
  if not self.is_elsewhere then preview.remove() end
end

return JobsModel
