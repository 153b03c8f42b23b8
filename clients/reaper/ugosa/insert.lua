--- Stems into the project, so that they sound exactly as the item did: sample for sample at its place, with its
-- gain, pan and fades, on child tracks of its track, so that they pass the same effects, fader and sends.

local instruments = require("ugosa.instruments")
local stretch = require("ugosa.stretch")

local insert = {}

local EXT_SOURCE = "P_EXT:ugosa_source" -- marks a track as one for stems of a source

local function track_index(track)
  return math.floor(reaper.GetMediaTrackInfo_Value(track, "IP_TRACKNUMBER")) - 1
end

local function folder_depth(track) return math.floor(reaper.GetMediaTrackInfo_Value(track, "I_FOLDERDEPTH")) end

-- Open a folder at `parent` and put `count` new tracks into it as its first ones; return them. A folder depth of 1
-- opens a folder with the next track; -n closes n of them after the track.
local function add_children(parent, count)
  local index, depth = track_index(parent), folder_depth(parent)
  local tracks = {}
  for number = 1, count do
    reaper.InsertTrackAtIndex(index + number, false) -- false: without the default effects of new tracks
    tracks[number] = reaper.GetTrack(0, index + number)
    reaper.SetMediaTrackInfo_Value(tracks[number], "I_FOLDERDEPTH", 0)
  end
  if depth < 1 then
    reaper.SetMediaTrackInfo_Value(parent, "I_FOLDERDEPTH", 1)
    reaper.SetMediaTrackInfo_Value(tracks[count], "I_FOLDERDEPTH", depth - 1)
  end
  return tracks
end

local function is_free(track, start_s, end_s)
  for index = 0, reaper.CountTrackMediaItems(track) - 1 do
    local item = reaper.GetTrackMediaItem(track, index)
    local item_start_s = reaper.GetMediaItemInfo_Value(item, "D_POSITION")
    local item_end_s = item_start_s + reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
    if item_start_s < end_s - 1e-9 and item_end_s > start_s + 1e-9 then return false end
  end
  return true
end

-- The stem tracks of an earlier item of the same track, by source, when all have room at this time; else nil.
local function tracks_with_room(parent, stems, start_s, end_s)
  local found, n_found = {}, 0
  for index = track_index(parent) + 1, reaper.CountTracks(0) - 1 do
    local track = reaper.GetTrack(0, index)
    if reaper.GetParentTrack(track) == parent then
      local _, source = reaper.GetSetMediaTrackInfo_String(track, EXT_SOURCE, "", false)
      if source ~= "" and not found[source] and is_free(track, start_s, end_s) then
        found[source], n_found = track, n_found + 1
      end
    end
  end
  for _, stem in ipairs(stems) do
    if not found[stem.source] then return nil end
  end
  return n_found > 0 and found or nil
end

local function stem_tracks(parent, stems, start_s, end_s)
  local found = tracks_with_room(parent, stems, start_s, end_s)
  if found then return found end
  found = {}
  for index, track in ipairs(add_children(parent, #stems)) do
    local source = stems[index].source
    reaper.GetSetMediaTrackInfo_String(track, "P_NAME", source, true)
    reaper.GetSetMediaTrackInfo_String(track, EXT_SOURCE, source, true)
    reaper.SetMediaTrackInfo_Value(track, "D_PANLAW", 1) -- 0 dB: the folder applies the project's law once already
    reaper.SetMediaTrackInfo_Value(track, "I_CUSTOMCOLOR", instruments.colour(source, "active"))
    found[source] = track
  end
  return found
end

-- Return the GUID of the new item.
local function add_stem(track, stem, place)
  local item = reaper.AddMediaItemToTrack(track)
  local take = reaper.AddTakeToMediaItem(item)
  reaper.SetMediaItemTake_Source(take, reaper.PCM_Source_CreateFromFile(stem.path))
  reaper.GetSetMediaItemTakeInfo_String(take, "P_NAME", ("%s - %s"):format(place.name, stem.source), true)
  reaper.SetMediaItemInfo_Value(item, "D_POSITION", place.start_s)
  reaper.SetMediaItemInfo_Value(item, "D_LENGTH", place.end_s - place.start_s)
  reaper.SetMediaItemInfo_Value(item, "B_LOOPSRC", 0)
  reaper.SetMediaItemTakeInfo_Value(take, "D_STARTOFFS", place.stem_offset_s)
  for name, value in pairs(place.look.item) do reaper.SetMediaItemInfo_Value(item, name, value) end
  for name, value in pairs(place.look.take) do reaper.SetMediaItemTakeInfo_Value(take, name, value) end
  reaper.UpdateItemInProject(item)
  local _, guid = reaper.GetSetMediaItemInfo_String(item, "GUID", "", false)
  return guid
end

-- Cut the item so that the separated part is an item of its own, without new fades; return that item.
local function cut_out(item, place)
  local start_s = reaper.GetMediaItemInfo_Value(item, "D_POSITION")
  local end_s = start_s + reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
  local function unfade(left, right)
    for _, name in ipairs({ "D_FADEOUTLEN", "D_FADEOUTLEN_AUTO" }) do reaper.SetMediaItemInfo_Value(left, name, 0) end
    for _, name in ipairs({ "D_FADEINLEN", "D_FADEINLEN_AUTO" }) do reaper.SetMediaItemInfo_Value(right, name, 0) end
  end
  if place.start_s > start_s then
    local right = reaper.SplitMediaItem(item, place.start_s)
    unfade(item, right)
    item = right
  end
  if place.end_s < end_s then unfade(item, reaper.SplitMediaItem(item, place.end_s)) end
  return item
end

--- Return the item of a GUID ("{...}"), or nil.
function insert.find_item(guid)
  for index = 0, reaper.CountMediaItems(0) - 1 do
    local item = reaper.GetMediaItem(0, index)
    local _, item_guid = reaper.GetSetMediaItemInfo_String(item, "GUID", "", false)
    if item_guid == guid then return item end
  end
end

--- Insert the stems of one place and mute what they replace. A place is {guid, name, start_s, end_s,
-- stem_offset_s, look, is_whole}, stems are {source, path} in order. Returns the GUIDs of the new items by source, and
-- what the user should know or nil.
local function insert_one(place, stems)
  local item = insert.find_item(place.guid)
  local parent, notice
  if item then
    parent = reaper.GetMediaItem_Track(item)
    local start_s = reaper.GetMediaItemInfo_Value(item, "D_POSITION")
    local end_s = start_s + reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
    local is_there = math.abs(start_s - place.item_start_s) < 1e-9 and end_s > place.end_s - 1e-9
    local take = reaper.GetActiveTake(item)
    is_there = is_there and take ~= nil
      and reaper.GetMediaItemTakeInfo_Value(take, "D_STARTOFFS") == place.take_offset_s
    if is_there and place.is_whole then is_there = math.abs(end_s - place.end_s) < 1e-9 end
    if is_there then
      if place.mode == "source" then -- the user may have changed its gain or fades since
        place.look = stretch.look_of(item, take, place.start_s == start_s, place.end_s == end_s)
      end
      item = place.is_whole and item or cut_out(item, place)
      reaper.SetMediaItemInfo_Value(item, "B_MUTE", 1)
    else
      notice = ("'%s' was moved, trimmed or slipped since it was sent. Its stems are where it was; "
        .. "it is not muted."):format(place.name)
    end
  else
    reaper.InsertTrackAtIndex(reaper.CountTracks(0), false)
    parent = reaper.GetTrack(0, reaper.CountTracks(0) - 1)
    reaper.GetSetMediaTrackInfo_String(parent, "P_NAME", place.name .. " (stems)", true)
    notice = ("'%s' is no longer in the project. Its stems are on a track of their own."):format(place.name)
  end
  local tracks = stem_tracks(parent, stems, place.start_s, place.end_s)
  local guids = {}
  for _, stem in ipairs(stems) do guids[stem.source] = add_stem(tracks[stem.source], stem, place) end
  return guids, notice
end

--- Do some work as one undo step.
function insert.in_one_step(name, work)
  reaper.Undo_BeginBlock2(0)
  reaper.PreventUIRefresh(1)
  work()
  reaper.PreventUIRefresh(-1)
  reaper.UpdateArrange()
  reaper.Undo_EndBlock2(0, name, -1)
end

--- Insert the stems of several places in one undo step; return what the user should know. Each pair gets `guids`: its
-- new items by source.
function insert.stems(pairs_of_place_and_stems)
  local notices = {}
  insert.in_one_step("UGOSA: insert stems", function()
    for _, pair in ipairs(pairs_of_place_and_stems) do
      pair.guids, notices[#notices + 1] = insert_one(pair.place, pair.stems)
    end
  end)
  return notices
end

--- Let items that were inserted play other files, in one undo step; those that are gone are passed over. A change is
-- {guids, stems}.
function insert.other_files(changes)
  insert.in_one_step("UGOSA: other stems", function()
    for _, change in ipairs(changes) do
      for _, stem in ipairs(change.stems) do
        local item = change.guids[stem.source] and insert.find_item(change.guids[stem.source])
        local take = item and reaper.GetActiveTake(item)
        if take then
          reaper.SetMediaItemTake_Source(take, reaper.PCM_Source_CreateFromFile(stem.path))
          reaper.UpdateItemInProject(item)
        end
      end
    end
  end)
end

--- Return the place of a stretch, which can be written to a file and outlives the item.
function insert.place_of(one)
  return {
    guid = one.guid, name = one.name, start_s = one.start_s, end_s = one.end_s, mode = one.mode,
    item_start_s = one.item_start_s, take_offset_s = one.take_offset_s,
    is_whole = one.is_whole, look = one.look,
    preview_start_s = one.preview_start_s,
    -- Where the item begins in what was sent.
    stem_offset_s = one.offset_s - one.start_frame / one.sample_rate_hz,
  }
end

return insert
