--- What lint and suggestion say, as coloured regions: findings to read, suggestions to edit and accept.

local instruments = require("ugosa.instruments")
local labels = require("ugosa.labels")
local project_marks = require("ugosa.project_marks")

local findings = {}

--- Take away the regions of earlier findings.
function findings.clear()
  for _, region in ipairs(project_marks.regions()) do
    if region.name:sub(1, #project_marks.FINDING_PREFIX) == project_marks.FINDING_PREFIX then
      reaper.DeleteProjectMarker(0, region.number, true)
    end
  end
end

--- Add a region for each problem {severity, message, fix, start_s, end_s} that has a place.
function findings.add_problems(problems)
  for _, problem in ipairs(problems) do
    if problem.start_s and problem.end_s and problem.end_s > problem.start_s and problem.severity ~= "info" then
      local text = problem.message
      if type(problem.fix) == "string" and problem.fix ~= "" then text = text .. " - " .. problem.fix end
      reaper.AddProjectMarker2(0, true, problem.start_s, problem.end_s, project_marks.FINDING_PREFIX .. text, -1,
        instruments.finding_colour())
    end
  end
end

-- Return what a suggestion's name says without its confidence and question mark, or nil for any other name.
local function suggested(name)
  local said = name:match("^(.-)%s+%?%s*$")
  return said and (said:match("^(.-)%s+%d+%%$") or said)
end

local function saying(name, span) return ("%s %.6f %.6f"):format(name, span.start_s, span.end_s) end

--- Add a region for each suggestion {source, state, start_s, end_s, confidence}, unless there is one that says the same
-- of the same time. The question mark at the end of its name keeps it from being a mark.
function findings.add_suggestions(suggestions)
  local is_said = {}
  for _, region in ipairs(project_marks.regions()) do
    is_said[saying(suggested(region.name) or region.name, region)] = true
  end
  for _, suggestion in ipairs(suggestions) do
    local suffix = project_marks.SUGGESTION_SUFFIX
    if suggestion.confidence then suffix = (" %d%%%s"):format(math.floor(suggestion.confidence * 100 + 0.5), suffix) end
    if not is_said[saying(labels.write(suggestion.source, suggestion.state), suggestion)] then
      project_marks.add(suggestion.source, suggestion.state, suggestion.start_s, suggestion.end_s, suffix)
    end
  end
end

--- Turn all suggestions in [from_s, to_s], or all there are, into marks, in one undo step; return how many.
function findings.accept_suggestions(from_s, to_s)
  local count = 0
  reaper.Undo_BeginBlock2(0)
  for _, region in ipairs(project_marks.regions()) do
    local name = suggested(region.name)
    local inside = not from_s or (region.start_s >= from_s - 1e-9 and region.end_s <= to_s + 1e-9)
    if name and inside then
      local negated = name:match("^no (.+)$")
      local colour = instruments.colour(negated or name, negated and labels.SILENT or labels.ACTIVE)
      reaper.SetProjectMarker3(0, region.number, true, region.start_s, region.end_s, name, colour)
      count = count + 1
    end
  end
  reaper.Undo_EndBlock2(0, "UGOSA: accept suggestions", -1)
  return count
end

--- Turn the frames of a stretch's file that the server speaks of into project time.
function findings.to_project_time(object, stretch)
  local function time_s(frame)
    local at_s = stretch.start_s + frame / stretch.sample_rate_hz - stretch.offset_s
    return math.max(stretch.start_s, math.min(stretch.end_s, at_s))
  end
  local placed = {}
  for key, value in pairs(object) do placed[key] = value end
  if math.type(object.start_frame) and math.type(object.end_frame) then
    placed.start_s, placed.end_s = time_s(object.start_frame), time_s(object.end_frame)
  end
  return placed
end

return findings
