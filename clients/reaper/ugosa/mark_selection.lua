--- The one-key actions: the time selection becomes a region that says a state of an instrument.

local labels = require("ugosa.labels")
local project_marks = require("ugosa.project_marks")

--- Mark the time selection. What older marks of the same instrument say within it gives way: they are shortened,
-- split or removed, so that marking again is how a mark is changed.
return function(source, state)
  local start_s, end_s = reaper.GetSet_LoopTimeRange2(0, false, false, 0, 0, false)
  if end_s <= start_s then
    local title = "UGOSA: mark " .. labels.write(source, state)
    reaper.MB("Select the time in which it is so, then run this again.", title, 0)
    return
  end
  reaper.Undo_BeginBlock2(0)
  reaper.PreventUIRefresh(1)
  local names = {}
  for _, known in ipairs({ labels.ACTIVE, labels.SILENT }) do names[labels.write(source, known)] = known end
  for _, region in ipairs(project_marks.regions()) do
    local old_state = names[region.name]
    if old_state and region.start_s < end_s and region.end_s > start_s then
      reaper.DeleteProjectMarker(0, region.number, true)
      if region.start_s < start_s then project_marks.add(source, old_state, region.start_s, start_s) end
      if region.end_s > end_s then project_marks.add(source, old_state, end_s, region.end_s) end
    end
  end
  project_marks.add(source, state, start_s, end_s)
  reaper.PreventUIRefresh(-1)
  reaper.UpdateTimeline()
  reaper.Undo_EndBlock2(0, ("UGOSA: mark %s"):format(labels.write(source, state)), -1)
end
