--- `Separate with marks`, from the click to the stems: ask the server, show what will be done, do it.

local files = require("ugosa.files")
local findings = require("ugosa.findings")
local insert = require("ugosa.insert")
local item_marks = require("ugosa.item_marks")
local Job = require("ugosa.job")
local JobForm = require("ugosa.job_form")
local JobsModel = require("ugosa.jobs_model")
local json = require("ugosa.json")
local labels = require("ugosa.labels")
local project_marks = require("ugosa.project_marks")
local render = require("ugosa.render")
local stretch = require("ugosa.stretch")

local SeparateModel = {}
SeparateModel.__index = SeparateModel

local PREVIEW_MAX_S = 15

local function calls_folder()
  local folder = files.join(reaper.GetResourcePath(), "UGOSA")
  reaper.RecursiveCreateDirectory(folder, 0)
  return folder
end

--- Prepare to separate these stretches. Returns nil and what to do when the helper cannot be asked.
function SeparateModel.new(stretches)
  local self = setmetatable({ stretches = stretches, closed = false, notes = {} }, SeparateModel)
  local job, message = Job.start(calls_folder(), "call", { command = json.array({ "models" }) })
  if not job then return nil, message end
  self.call, self.on_answer = job, self._show_form
  self.waiting_for = "Asking the server"
  return self
end

function SeparateModel:_show_form(result) self.form = JobForm.new(result.models) end

-- What the project says, for the chosen model; `problems` of all items together.
function SeparateModel:_read_marks()
  local sources = self.form:sources()
  local spans, problems = project_marks.read(sources)
  self.problems, self.can_send = {}, true
  for _, one in ipairs(self.stretches) do
    for _, problem in ipairs(problems) do
      if problem.start_s < one.end_s and problem.end_s > one.start_s then
        self.problems[#self.problems + 1] = problem
      end
    end
    local found
    one.spans, found = item_marks.check(spans, sources, one.start_s, one.end_s)
    for _, problem in ipairs(found) do
      self.problems[#self.problems + 1] = problem
      if problem.severity == "error" then self.can_send = false end
    end
  end
end

local MEASURED = { "start_s", "end_s", "item_start_s", "take_offset_s", "is_whole", "why" }

-- The window is open while the user works: return whether the item is still what was measured, or nil and what to do.
local function is_unchanged(one)
  local again, message
  one.item = insert.find_item(one.guid)
  if one.item then again, message = stretch.of_item(one.item, one.start_s, one.end_s) end
  if message then return nil, message end
  local is_same = again ~= nil and (again.mode == "render" or again.song == one.song)
  for _, name in ipairs(MEASURED) do is_same = is_same and again[name] == one[name] end
  if is_same then return true end
  return nil, ("'%s' was changed or removed since this window was opened. Close it and run the action again."):format(
    one.name)
end

-- Give the stretch a folder and a file; once only.
local function prepare(one)
  local ok, changed = is_unchanged(one)
  if not ok then return nil, changed end
  if not one.folder then
    local parent = files.stems_folder()
    local name = ("%s %s"):format(files.safe_name(files.stem(one.name)), os.date("%Y-%m-%d %H-%M-%S"))
    local folder, message = files.make_folder(parent, name)
    if not folder then return nil, ("Cannot write to %s: %s"):format(parent, message) end
    one.folder = folder
  end
  if one.mode == "render" and not one.song then return render.item(one, one.folder) end
  return true
end

-- The stretch that can be heard while the job learns: what the time selection covers of it, from its start.
local function preview_of(one)
  local from_s, to_s = reaper.GetSet_LoopTimeRange2(0, false, false, 0, 0, false)
  local start_s = math.max(from_s, one.start_s)
  local end_s = math.min(to_s, one.end_s, start_s + PREVIEW_MAX_S)
  return start_s < end_s and { start_s = start_s, end_s = end_s } or nil
end

local function start_job(one, options)
  local span = preview_of(one)
  local frames = span and item_marks.to_frames({ span }, one)[1]
  if frames then
    one.preview_start_s = span.start_s
    options.preview_start_frame, options.preview_end_frame = frames.start_frame, frames.end_frame
  end
  return Job.start(one.folder, "run", {
    song = one.song, start_frame = one.start_frame, end_frame = one.end_frame, out_dir = one.folder,
    marks = json.array(item_marks.to_frames(one.spans, one)), options = options,
    request_id = reaper.genGuid(""):gsub("[{}]", ""),
  })
end

function SeparateModel:_separate()
  self:_read_marks()
  if not self.can_send then return end
  for _, one in ipairs(self.stretches) do
    local ok, message = prepare(one)
    if not ok then
      self.failure = message
      return
    end
  end
  local entries = {}
  for _, one in ipairs(self.stretches) do
    local job, message = start_job(one, self.form:options())
    if not job then
      self.failure = message
      break
    end
    entries[#entries + 1] = { job = job, place = insert.place_of(one) }
  end
  if #entries > 0 then self.jobs = JobsModel.new(entries) end
end

-- Ask about the first stretch; `action` is "lint" or "suggest". Answers come in frames of the whole file.
function SeparateModel:_ask(action)
  local one = self.stretches[1]
  local ok, message = prepare(one)
  local command
  if ok and action == "suggest" then
    command = { "-o", files.join(one.folder, "suggestions.txt"), "--overwrite" }
  elseif ok then
    local lines = {}
    for _, mark in ipairs(item_marks.to_frames(one.spans, one)) do
      lines[#lines + 1] = ("%.9f\t%.9f\t%s\n"):format((mark.start_frame + one.start_frame) / one.sample_rate_hz,
        (mark.end_frame + one.start_frame) / one.sample_rate_hz, labels.write(mark.source, mark.state))
    end
    local path = files.join(one.folder, "marks.txt")
    ok, message = files.write(path, table.concat(lines))
    command = { "--marks", path, "--listen" }
  end
  local job
  if ok then
    local words = { "marks", action, one.song, "--model", self.form:options().model, table.unpack(command) }
    job, message = Job.start(calls_folder(), "call", { command = json.array(words) })
  end
  if not job then
    self.failure = message
    return
  end
  self.call, self.waiting_for = job, action == "lint" and "Checking the marks" or "Listening for suggestions"
  self.on_answer = self._show_findings
end

function SeparateModel:_show_findings(result)
  local one, problems, suggestions = self.stretches[1], {}, {}
  local function place(object)
    local placed = findings.to_project_time(object, one)
    return (not placed.start_s or placed.start_s < placed.end_s) and placed or nil -- nil: outside of the item
  end
  for _, finding in ipairs(result.findings or {}) do problems[#problems + 1] = place(finding) end
  for _, suggestion in ipairs(result.suggestions or {}) do
    local placed = place(suggestion.mark)
    if placed then
      placed.confidence = suggestion.confidence
      suggestions[#suggestions + 1] = placed
    end
  end
  reaper.Undo_BeginBlock2(0)
  findings.clear()
  findings.add_problems(problems)
  findings.add_suggestions(suggestions)
  reaper.UpdateTimeline()
  reaper.Undo_EndBlock2(0, "UGOSA: findings and suggestions", -1)
  local scope = #self.stretches > 1 and ("Of '%s' alone. "):format(one.name) or ""
  self.notes = { scope .. ("Findings: %d, suggestions: %d. Those of a place are in the project as regions. A "
    .. "suggestion becomes a mark when you take the question mark from its name, or by 'UGOSA: Accept suggestions'.")
    :format(#problems, #suggestions) }
  for _, problem in ipairs(problems) do self.notes[#self.notes + 1] = problem.message end
end

--- Follow what was started.
function SeparateModel:poll()
  if self.jobs then
    self.jobs:poll()
  elseif self.call then
    local call = self.call
    call:poll()
    -- A check that finds errors does not end well, and still has its findings.
    if call.state == "done" or (call.result and call.result.findings) then
      self:on_answer(call.result)
      self.call = nil
    elseif call:has_ended() then
      self.failure = call.message
      self.call = nil
    end
  end
end

local function count_marks(spans)
  local counts, order = {}, {}
  for _, span in ipairs(spans) do
    if not counts[span.source] then
      counts[span.source] = { active = 0, silent = 0 }
      order[#order + 1] = span.source
    end
    counts[span.source][span.state] = counts[span.source][span.state] + 1
  end
  local parts = {}
  for index, source in ipairs(order) do
    parts[index] = ("%s %d silent, %d active"):format(source, counts[source].silent, counts[source].active)
  end
  return table.concat(parts, "; ")
end

function SeparateModel:_form_view()
  self:_read_marks()
  local lines = {}
  local function add(text, severity) lines[#lines + 1] = { text = text, severity = severity } end
  for _, one in ipairs(self.stretches) do
    add(stretch.describe(one))
    if not one.is_whole then
      add("Only the time selection: " .. item_marks.span_text(one.start_s, one.end_s), "info")
    end
    local span = preview_of(one)
    if span then
      add(("While it learns, you can listen to %s."):format(item_marks.span_text(span.start_s, span.end_s)), "info")
    end
    if #one.spans > 0 then
      add("Marks: " .. count_marks(one.spans))
    else
      add("No marks: the song is separated without learning from it. Mark where an instrument is silent, for "
        .. "example by a region named 'no vocals', for better stems.", "warning")
    end
  end
  for _, problem in ipairs(self.problems) do
    add(("%s: %s"):format(item_marks.span_text(problem.start_s, problem.end_s), problem.message), problem.severity)
  end
  for _, note in ipairs(self.notes) do add(note, "info") end
  local buttons = { { id = "lint", label = "Check marks" }, { id = "suggest", label = "Suggest marks" },
    { id = "close", label = "Close" } }
  if self.can_send then table.insert(buttons, 1, { id = "separate", label = "Separate" }) end
  return { lines = lines, choices = self.form:choices(), buttons = buttons }
end

--- Say what to show.
function SeparateModel:view()
  if self.failure then
    return { lines = { { text = self.failure, severity = "error" } }, buttons = {
      self.form and { id = "back", label = "Back" } or { id = "close", label = "Close" } } }
  end
  if self.jobs then return self.jobs:view() end
  if self.call then
    local bars = self.form and { { label = self.call.text .. self.call:eta_text(), fraction = self.call.fraction } }
    return { lines = { { text = self.waiting_for .. " ..." } }, bars = bars,
      buttons = { { id = "close", label = "Close" } } }
  end
  return self:_form_view()
end

--- Answer the user.
function SeparateModel:handle(event)
  if event.button == "back" then
    self.failure = nil
  elseif self.jobs then
    self.jobs:handle(event)
    self.closed = self.jobs.closed
  elseif event.button == "close" then
    self.closed = true
  elseif event.button == "separate" then
    self:_separate()
  elseif event.button == "lint" or event.button == "suggest" then
    self:_ask(event.button)
  elseif event.choice then
    self.form:choose(event.choice, event.selected)
  end
end

--- Leave nothing behind that was only to be heard meanwhile.
function SeparateModel:on_close()
  if self.jobs then self.jobs:on_close() end
end

return SeparateModel
