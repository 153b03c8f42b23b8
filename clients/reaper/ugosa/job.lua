--- One run of the helper: started, followed through its progress file, cancelled, taken up again.

local files = require("ugosa.files")
local helper = require("ugosa.helper")
local json = require("ugosa.json")
local ProgressFile = require("ugosa.progress_file")

local Job = {}
Job.__index = Job

-- The helper gives a sign of life every 2 s. Polls are counted, not seconds, so that a computer that slept does
-- not find its helper dead. At 0.25 s a poll: 30 s to start, for Python from a slow disk, 20 s in between, and
-- 6 s to find out whether the helper of an earlier run still lives.
Job.POLL_S = 0.25
local POLLS_TO_START, POLLS_BETWEEN_SIGNS, POLLS_TO_FIND = 120, 80, 24

local PHASES = {
  prepare = "Preparing", base_separation = "First separation", adaptation = "Learning your song",
  separation = "Separating", report = "Checking the stems",
}

local function new(folder, action, request, command_line, attempt)
  return setmetatable({
    folder = folder, action = action, request = request, command_line = command_line, attempt = attempt,
    state = "starting", text = "Starting the helper", fraction = 0, eta_s = nil, job_id = nil, notices = {},
    result = nil, message = nil, silent_polls = 0, heard = false,
    progress = ProgressFile.open(request.progress_file),
  }, Job)
end

--- Start `ugosa daw ACTION` on a request in a folder of its own; nil and what to do when it cannot start.
function Job.start(folder, action, request)
  request.progress_file = files.join(folder, "progress.jsonl")
  request.cancel_file = action == "run" and files.join(folder, "cancel") or nil
  request.accept_file = action == "run" and files.join(folder, "accept") or nil
  request.preview_dir = action == "run" and files.join(folder, "previews") or nil
  os.remove(request.progress_file) -- of an earlier call
  local command_line, message = helper.start(folder, { action }, request)
  if not command_line then return nil, message end
  return new(folder, action, request, command_line, 1)
end

-- Name the files of a request where their folder is now; its project may have been moved.
local function move(request, folder)
  local before = tostring(request.out_dir)
  for name, path in pairs(request) do
    local is_inside = type(path) == "string" and path:sub(1, #before) == before
    if is_inside then request[name] = folder .. path:sub(#before + 1) end
  end
end

--- Take up the job of a folder, left behind by an earlier run of this script; nil and what to do if there is none.
-- A helper that still works is followed; one that has ended is started anew by `resume`.
function Job.reopen(folder)
  local text = files.read(files.join(folder, "request.json"))
  local ok, request = pcall(json.decode, text or "")
  if not ok or type(request) ~= "table" or type(request.progress_file) ~= "string" then
    return nil, ("%s has no job that can be taken up; separate the item again."):format(folder)
  end
  move(request, folder)
  local job = new(folder, "run", request, "", 1)
  job.reopened = true
  job.text = "Looking for the helper"
  return job
end

function Job:_describe(object)
  if object.event == "upload" then
    self.state, self.text = "uploading", "Sending the audio"
    self.fraction = 0
  elseif object.event == "job" then
    self.job_id, self.state, self.text = object.job.job_id, "running", "Waiting for its turn"
    self.goes_on = tostring((object.job.options or {}).start_from):match("^job%-") ~= nil
  elseif object.event == "state" then
    if object.state == "queued" then self.text = "Waiting for its turn" end
    if object.state == "cancelling" then self.text = "Cancelling" end
  elseif object.event == "progress" then
    self.text = PHASES[object.phase] or object.phase
    self.is_learning = object.phase == "adaptation" and (object.step or 0) > 0 and not self.accepted
    if (object.epochs or 0) > 0 then
      self.text = ("%s, pass %d of %d"):format(self.text, object.epoch, object.epochs)
    end
    self.fraction = object.fraction
    self.eta_s = object.eta_s ~= json.null and object.eta_s or nil
  elseif object.event == "preview" then
    self.preview = {}
    for index, source in ipairs(object.sources) do
      self.preview[index] = { source = source, path = object.files[source] }
    end
  elseif object.event == "notice" then
    self.notices[#self.notices + 1] = { text = object.message, severity = object.warning and "warning" or "info" }
  elseif object.event == "fetch" then
    self.text, self.eta_s, self.fraction = "Fetching " .. object.file, nil, 1
  elseif object.event == "result" then
    self.result, self.is_learning = object, false
    if object.ok then
      self.state, self.text = "done", "Done"
    elseif object.exit_code == 4 then
      self.state, self.text = "cancelled", "Cancelled"
    else
      self.state, self.text = "failed", "Failed"
      self.message = object.error and object.error.message or "the helper gave no reason"
      self.can_resume = object.exit_code == 3 or object.exit_code == 5 -- no server; damaged on the way
    end
    self.eta_s = nil
  end
end

--- Read what the helper has said since; call this every POLL_S.
function Job:poll()
  if self:has_ended() then return end
  local objects, heard = self.progress:poll()
  for _, object in ipairs(objects) do self:_describe(object) end
  if self:has_ended() then return end
  -- What an earlier run of the script left behind says nothing of a helper that lives now.
  if heard and not (self.reopened and not self.read_old) then
    self.heard, self.silent_polls = true, 0
  else
    self.silent_polls = self.silent_polls + 1
  end
  if self.reopened and not self.read_old then self.read_old = true end
  local patience = POLLS_TO_START
  if self.heard then patience = POLLS_BETWEEN_SIGNS elseif self.reopened then patience = POLLS_TO_FIND end
  if self.silent_polls >= patience then self:_lose() end
end

function Job:_lose()
  if self.reopened and not self.heard then
    self:resume()
    return
  end
  self.state, self.text, self.can_resume = "failed", "Lost the helper", true
  if self.heard then
    self.message = "The helper stopped without a word. "
      .. (self.job_id and "The job goes on at the server; Resume brings its stems." or "Resume starts it again.")
  else
    self.message = "The helper did not start. To see why, run this in a terminal:\n" .. self.command_line
  end
end

--- Go on after a failure that need not be the last word: with the job at the server, or from the start.
function Job:resume()
  local attempt = self.attempt + 1
  local request = self.request
  request.progress_file = files.join(self.folder, ("progress-%d.jsonl"):format(attempt))
  while reaper.file_exists(request.progress_file) do
    attempt = attempt + 1
    request.progress_file = files.join(self.folder, ("progress-%d.jsonl"):format(attempt))
  end
  os.remove(request.cancel_file or "")
  os.remove(request.accept_file or "")
  local words = self.job_id and { "resume", self.job_id } or { "run" }
  local command_line, message = helper.start(self.folder, words, request)
  local job_id = self.job_id
  local fresh = new(self.folder, self.action, request, command_line or "", attempt)
  for key in pairs(self) do self[key] = nil end
  for key, value in pairs(fresh) do self[key] = value end
  self.job_id = job_id
  if not command_line then self.state, self.text, self.message = "failed", "Failed", message end
end

--- Ask the helper to cancel. It answers with a result.
function Job:cancel()
  if self:has_ended() or not self.request.cancel_file then return end
  files.write(self.request.cancel_file, "")
  self.text, self.eta_s = "Cancelling", nil
end

--- Ask the helper to take what is learned so far.
function Job:accept()
  if not (self.is_learning and self.request.accept_file) then return end
  files.write(self.request.accept_file, "")
  self.text, self.eta_s, self.is_learning, self.accepted = "Taking what is learned so far", nil, false, true
end

--- Whether nothing more will come.
function Job:has_ended()
  return self.state == "done" or self.state == "failed" or self.state == "cancelled"
end

--- Say the time that is left as a clock does.
function Job:eta_text()
  if not self.eta_s then return "" end
  local seconds = math.floor(self.eta_s + 0.5)
  if seconds >= 3600 then return (" - %d:%02d:%02d left"):format(seconds // 3600, seconds // 60 % 60, seconds % 60) end
  return (" - %d:%02d left"):format(seconds // 60, seconds % 60)
end

return Job
