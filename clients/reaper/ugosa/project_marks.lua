--- What the project says of instruments: named regions, ruler lanes, and empty items on named tracks.
--
-- A region says what its name says (see labels.lua). A region in a ruler lane that is named by an instrument,
-- or an empty item on a track of such a name, says that the instrument is active there; and where a lane or
-- track says it anywhere, the instrument is silent everywhere else.

local labels = require("ugosa.labels")

local project_marks = {}

--- Regions of the scripts themselves; they are no marks.
project_marks.FINDING_PREFIX = "UGOSA: "
project_marks.SUGGESTION_SUFFIX = " ?"

local function is_own(name)
  return name:sub(1, #project_marks.FINDING_PREFIX) == project_marks.FINDING_PREFIX
    or name:match("%s%?%s*$") ~= nil
end

-- Lane names by the numbers of regions. Ruler lanes came with REAPER 7.62.
local function lane_names()
  local names = {}
  for _, name in ipairs({ "GetNumRegionsOrMarkers", "GetRegionOrMarker", "GetRegionOrMarkerInfo_Value" }) do
    if not reaper.APIExists(name) then return names end
  end
  for index = 0, reaper.GetNumRegionsOrMarkers(0) - 1 do
    local object = reaper.GetRegionOrMarker(0, index, "")
    if reaper.GetRegionOrMarkerInfo_Value(0, object, "B_ISREGION") ~= 0 then
      local number = reaper.GetRegionOrMarkerInfo_Value(0, object, "I_NUMBER")
      local lane = math.floor(reaper.GetRegionOrMarkerInfo_Value(0, object, "I_LANENUMBER"))
      local ok, name = reaper.GetSetProjectInfo_String(0, "RULER_LANE_NAME:" .. lane, "", false)
      names[math.floor(number)] = ok and name or nil
    end
  end
  return names
end

--- Return all regions of the project: {name, start_s, end_s, number, lane}.
function project_marks.regions()
  local regions, lanes, index = {}, lane_names(), 0
  while true do
    local more, is_region, start_s, end_s, name, number = reaper.EnumProjectMarkers3(0, index)
    if more == 0 then return regions end
    if is_region then
      regions[#regions + 1] = { name = name, start_s = start_s, end_s = end_s, number = number, lane = lanes[number] }
    end
    index = index + 1
  end
end

local function read_region(region, sources, spans, problems)
  local lane_source = region.lane and region.lane ~= "" and labels.find_source(region.lane, sources)
  local states, message = labels.parse(region.name, sources)
  local negates = false
  for _, state in pairs(states or {}) do negates = negates or state == labels.SILENT end
  if lane_source and not negates then
    spans[#spans + 1] = { source = lane_source, state = labels.ACTIVE, start_s = region.start_s,
      end_s = region.end_s, lane = "ruler lane " .. region.lane, origin = "region R" .. region.number }
  elseif states then
    for _, source in ipairs(sources) do
      if states[source] then
        spans[#spans + 1] = { source = source, state = states[source], start_s = region.start_s,
          end_s = region.end_s, origin = ("region R%d '%s'"):format(region.number, region.name) }
      end
    end
  elseif region.name ~= "" then
    local meant = labels.is_meant_as_mark(region.name, sources)
    problems[#problems + 1] = {
      severity = meant and "warning" or "info", code = meant and "UNKNOWN_NAME" or "NOT_A_MARK",
      message = ("region R%d '%s': %s"):format(region.number, region.name, message),
      start_s = region.start_s, end_s = region.end_s,
    }
  end
end

local function read_empty_items(sources, spans)
  for track_index = 0, reaper.CountTracks(0) - 1 do
    local track = reaper.GetTrack(0, track_index)
    local _, name = reaper.GetSetMediaTrackInfo_String(track, "P_NAME", "", false)
    local source = name ~= "" and labels.find_source(name, sources)
    for item_index = 0, source and reaper.CountTrackMediaItems(track) - 1 or -1 do
      local item = reaper.GetTrackMediaItem(track, item_index)
      if reaper.CountTakes(item) == 0 then
        local start_s = reaper.GetMediaItemInfo_Value(item, "D_POSITION")
        spans[#spans + 1] = {
          source = source, state = labels.ACTIVE, start_s = start_s,
          end_s = start_s + reaper.GetMediaItemInfo_Value(item, "D_LENGTH"),
          lane = "track " .. name, origin = ("an empty item on track '%s'"):format(name),
        }
      end
    end
  end
end

--- Return what the project says of `sources`, as spans {source, state, start_s, end_s, origin, lane} in project
-- time, and problems {severity, code, message, start_s, end_s} with names that say nothing.
function project_marks.read(sources)
  local spans, problems = {}, {}
  for _, region in ipairs(project_marks.regions()) do
    if not is_own(region.name) then read_region(region, sources, spans, problems) end
  end
  read_empty_items(sources, spans)
  return spans, problems
end

--- Add a region of a state of a source in its colour; return its number.
function project_marks.add(source, state, start_s, end_s, suffix)
  local instruments = require("ugosa.instruments")
  local name = labels.write(source, state) .. (suffix or "")
  return reaper.AddProjectMarker2(0, true, start_s, end_s, name, -1, instruments.colour(source, state))
end

return project_marks
