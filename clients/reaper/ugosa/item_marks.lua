--- From spans in project time to marks in frames of the audio that is sent, and what is wrong with them.

local labels = require("ugosa.labels")

local item_marks = {}

local function clock(seconds)
  return ("%d:%06.3f"):format(seconds // 60, seconds % 60)
end

--- Say a stretch of project time as the ruler does.
function item_marks.span_text(start_s, end_s)
  return ("%s to %s"):format(clock(start_s), clock(end_s))
end

-- Join overlapping and touching intervals of one list, in order.
local function merged(intervals)
  table.sort(intervals, function(a, b) return a.start_s < b.start_s end)
  local joined = {}
  for _, interval in ipairs(intervals) do
    local last = joined[#joined]
    if last and interval.start_s <= last.end_s then
      last.end_s = math.max(last.end_s, interval.end_s)
    else
      joined[#joined + 1] = { start_s = interval.start_s, end_s = interval.end_s }
    end
  end
  return joined
end

local function complement(intervals, start_s, end_s)
  local gaps, position = {}, start_s
  for _, interval in ipairs(intervals) do
    if interval.start_s > position then gaps[#gaps + 1] = { start_s = position, end_s = interval.start_s } end
    position = math.max(position, interval.end_s)
  end
  if position < end_s then gaps[#gaps + 1] = { start_s = position, end_s = end_s } end
  return gaps
end

-- The spans that touch the stretch, cut to it, with the silence around lanes filled in.
local function spans_within(spans, start_s, end_s)
  local within, lanes, lane_order = {}, {}, {}
  for _, span in ipairs(spans) do
    local cut = { source = span.source, state = span.state, origin = span.origin,
      start_s = math.max(span.start_s, start_s), end_s = math.min(span.end_s, end_s) }
    if cut.start_s < cut.end_s then
      within[#within + 1] = cut
      if span.lane and not lanes[span.lane] then
        lanes[span.lane] = { source = span.source }
        lane_order[#lane_order + 1] = span.lane
      end
      if span.lane then table.insert(lanes[span.lane], { start_s = cut.start_s, end_s = cut.end_s }) end
    end
  end
  for _, name in ipairs(lane_order) do
    for _, gap in ipairs(complement(merged(lanes[name]), start_s, end_s)) do
      within[#within + 1] = { source = lanes[name].source, state = labels.SILENT, start_s = gap.start_s,
        end_s = gap.end_s, origin = "the gaps of " .. name }
    end
  end
  return within
end

local function find_contradictions(spans, problems)
  for i, a in ipairs(spans) do
    for j = i + 1, #spans do
      local b = spans[j]
      local start_s, end_s = math.max(a.start_s, b.start_s), math.min(a.end_s, b.end_s)
      if a.source == b.source and a.state ~= b.state and start_s < end_s then
        problems[#problems + 1] = {
          severity = "error", code = "CONTRADICTION", start_s = start_s, end_s = end_s,
          message = ("%s and %s say that %s is both active and silent; change one of them"):format(
            a.origin, b.origin, a.source),
        }
      end
    end
  end
end

local function find_all_silent(spans, sources, problems)
  local silent -- where all sources so far are silent
  for _, source in ipairs(sources) do
    local own = {}
    for _, span in ipairs(spans) do
      if span.source == source and span.state == labels.SILENT then own[#own + 1] = span end
    end
    own = merged(own)
    local both = {}
    for _, a in ipairs(silent or own) do
      for _, b in ipairs(own) do
        local start_s, end_s = math.max(a.start_s, b.start_s), math.min(a.end_s, b.end_s)
        if start_s < end_s then both[#both + 1] = { start_s = start_s, end_s = end_s } end
      end
    end
    silent = both
  end
  for _, interval in ipairs(silent or {}) do
    problems[#problems + 1] = {
      severity = "warning", code = "ALL_SILENT", start_s = interval.start_s, end_s = interval.end_s,
      message = "every instrument is marked silent; the server refuses that if the song sounds there",
    }
  end
end

--- Return the spans that concern a stretch of project time, and the problems among them.
function item_marks.check(spans, sources, start_s, end_s)
  local problems = {}
  local within = spans_within(spans, start_s, end_s)
  find_contradictions(within, problems)
  find_all_silent(within, sources, problems)
  return within, problems
end

--- Return marks in frames from the first frame that is sent: {source, state, start_frame, end_frame}.
-- The frame of a project time is the nearest one of the file, so marks are as exact as regions on the grid.
function item_marks.to_frames(spans, stretch)
  local marks = {}
  local n_frames = stretch.end_frame - stretch.start_frame
  local function frame(time_s)
    local in_file_s = time_s - stretch.start_s + stretch.offset_s
    local nearest = math.floor(in_file_s * stretch.sample_rate_hz + 0.5) - stretch.start_frame
    return math.max(0, math.min(n_frames, nearest))
  end
  for _, span in ipairs(spans) do
    local start_frame, end_frame = frame(span.start_s), frame(span.end_s)
    if start_frame < end_frame then
      marks[#marks + 1] = { source = span.source, state = span.state, start_frame = start_frame,
        end_frame = end_frame }
    end
  end
  return marks
end

return item_marks
