--- What is being learned, to listen to: a track of its own, soloed, on which each item has a take for every source.

local insert = require("ugosa.insert")

local preview = {}

local EXT_PREVIEW = "P_EXT:ugosa_preview" -- marks the track

local function find_track()
  for index = 0, reaper.CountTracks(0) - 1 do
    local track = reaper.GetTrack(0, index)
    local _, is_preview = reaper.GetSetMediaTrackInfo_String(track, EXT_PREVIEW, "", false)
    if is_preview ~= "" then return track end
  end
end

local function add_item(track, one)
  local item = reaper.AddMediaItemToTrack(track)
  local heard
  for _, file in ipairs(one.files) do
    local take = reaper.AddTakeToMediaItem(item)
    local source = reaper.PCM_Source_CreateFromFile(file.path)
    reaper.SetMediaItemTake_Source(take, source)
    reaper.GetSetMediaItemTakeInfo_String(take, "P_NAME", ("%s - %s, so far"):format(one.name, file.source), true)
    reaper.SetMediaItemInfo_Value(item, "D_LENGTH", (reaper.GetMediaSourceLength(source)))
    if file.source == one.source then heard = take end
  end
  if heard then reaper.SetActiveTake(heard) end
  reaper.SetMediaItemInfo_Value(item, "D_POSITION", one.start_s)
  reaper.SetMediaItemInfo_Value(item, "B_LOOPSRC", 0)
  reaper.UpdateItemInProject(item)
end

--- Show previews in place of the ones before, and play the first unless REAPER plays. Each is {name, start_s, files =
-- {{source, path}}, source (the one to be heard first)}.
function preview.show(previews)
  insert.in_one_step("UGOSA: listen to what is learned so far", function()
    local old = find_track()
    if old then reaper.DeleteTrack(old) end
    local index = reaper.CountTracks(0)
    reaper.InsertTrackAtIndex(index, false)
    local track = reaper.GetTrack(0, index)
    reaper.GetSetMediaTrackInfo_String(track, "P_NAME", "UGOSA preview", true)
    reaper.GetSetMediaTrackInfo_String(track, EXT_PREVIEW, "1", true)
    reaper.SetMediaTrackInfo_Value(track, "I_SOLO", 1)
    for _, one in ipairs(previews) do add_item(track, one) end
  end)
  if reaper.GetPlayState() & 1 == 0 then
    reaper.SetEditCurPos(previews[1].start_s, true, false)
    reaper.OnPlayButton()
  end
end

--- Take the track away again, if there is one.
function preview.remove()
  local track = find_track()
  if track then insert.in_one_step("UGOSA: end of the preview", function() reaper.DeleteTrack(track) end) end
end

return preview
