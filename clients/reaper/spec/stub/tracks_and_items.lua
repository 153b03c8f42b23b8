--- Tracks, items, takes and sources, as the ReaScript documentation describes them.

local strict = require("spec.stub.strict")
local audio_header = require("spec.stub.audio_header")

local DEFAULT_FADE_S = 0.01 -- what REAPER's preferences give new and split items; scripts must undo it

local ITEM_DEFAULTS = {
  B_MUTE = 0, B_LOOPSRC = 1, B_ALLTAKESPLAY = 0, B_UISEL = 0, D_POSITION = 0, D_LENGTH = 0, D_VOL = 1,
  D_FADEINLEN = DEFAULT_FADE_S, D_FADEOUTLEN = DEFAULT_FADE_S, D_FADEINDIR = 0, D_FADEOUTDIR = 0,
  D_FADEINLEN_AUTO = -1, D_FADEOUTLEN_AUTO = -1, C_FADEINSHAPE = 0, C_FADEOUTSHAPE = 0, C_BEATATTACHMODE = -1,
}
local TAKE_DEFAULTS = {
  D_STARTOFFS = 0, D_VOL = 1, D_PAN = 0, D_PANLAW = -1, D_PLAYRATE = 1, D_PITCH = 0, B_PPITCH = 1, I_CHANMODE = 0,
}
local TRACK_DEFAULTS = { D_VOL = 1, D_PAN = 0, D_PANLAW = -1, B_MUTE = 0, I_FOLDERDEPTH = 0, I_CUSTOMCOLOR = 0,
  I_SELECTED = 0, I_SOLO = 0 }

local function copy(values)
  local result = {}
  for key, value in pairs(values) do result[key] = value end
  return result
end

local function value_of(object, name)
  local value = object.values[name]
  if value == nil then error(("%s has no value %s"):format(object.kind, tostring(name)), 3) end
  return value
end

return function(reaper, state)
  local function changed(what) state.note_change(what) end

  local function new_guid()
    state.guids = state.guids + 1
    return ("{00000000-0000-0000-0000-%012X}"):format(state.guids)
  end

  local function new_item(track)
    local item = { kind = "item", track = track, takes = {}, active = 1, guid = new_guid(),
      values = copy(ITEM_DEFAULTS) }
    track.items[#track.items + 1] = item
    return item
  end

  local function sorted_items(track)
    table.sort(track.items, function(a, b) return a.values.D_POSITION < b.values.D_POSITION end)
    return track.items
  end

  local function all_items()
    local items = {}
    for _, track in ipairs(state.tracks) do
      for _, item in ipairs(sorted_items(track)) do items[#items + 1] = item end
    end
    return items
  end

  local function index_of(list, value)
    for index, one in ipairs(list) do
      if one == value then return index end
    end
  end

  local function set_value(object, kind, name, value)
    strict.handle(object, kind)
    strict.value(value, "number")
    value_of(object, name)
    if object.values[name] ~= value then
      object.values[name] = value
      changed(kind .. "." .. name)
    end
    return true
  end

  -- Unlike those of tracks and items, which a project file would keep, these are new in every session.
  reaper.genGuid = function()
    local random = assert(io.open("/dev/urandom", "rb"))
    local a, b, c, d, e, f = string.unpack("<I4I2I2I2I4I2", random:read(16))
    random:close()
    return ("{%08X-%04X-%04X-%04X-%08X%04X}"):format(a, b, c, d, e, f)
  end

  -- Tracks
  reaper.CountTracks = function() return #state.tracks end
  reaper.GetTrack = function(project, index)
    strict.project(project, state.project)
    return state.tracks[index + 1]
  end
  reaper.InsertTrackAtIndex = function(index, want_defaults)
    strict.value(want_defaults, "boolean")
    if index < 0 or index > #state.tracks then error(("no place %d of %d"):format(index, #state.tracks), 2) end
    local track = { kind = "track", items = {}, name = "", ext = {}, guid = new_guid(), values = copy(TRACK_DEFAULTS),
      has_defaults = want_defaults }
    table.insert(state.tracks, index + 1, track)
    changed("track added")
  end
  reaper.DeleteTrack = function(track)
    table.remove(state.tracks, index_of(state.tracks, strict.handle(track, "track")))
    track.kind = "deleted track"
    changed("track deleted")
  end
  reaper.GetMediaTrackInfo_Value = function(track, name)
    strict.handle(track, "track")
    if name == "IP_TRACKNUMBER" then return index_of(state.tracks, track) or 0 end
    return value_of(track, name)
  end
  reaper.SetMediaTrackInfo_Value = function(track, name, value) return set_value(track, "track", name, value) end
  reaper.GetSetMediaTrackInfo_String = function(track, name, value, is_set)
    strict.handle(track, "track")
    if name ~= "P_NAME" and not name:match("^P_EXT:") then error("track has no string " .. name, 2) end
    if is_set then
      track.ext[name] = strict.value(value, "string")
      changed("track." .. name)
    end
    return true, track.ext[name] or ""
  end
  reaper.GetParentTrack = function(track)
    strict.handle(track, "track")
    local parents = {}
    for _, other in ipairs(state.tracks) do
      if other == track then return parents[#parents] end
      local depth = other.values.I_FOLDERDEPTH
      if depth == 1 then parents[#parents + 1] = other end
      for _ = 1, -depth do table.remove(parents) end
    end
  end
  reaper.CountSelectedTracks = function()
    local count = 0
    for _, track in ipairs(state.tracks) do count = count + (track.values.I_SELECTED ~= 0 and 1 or 0) end
    return count
  end
  reaper.CountTrackMediaItems = function(track) return #strict.handle(track, "track").items end
  reaper.GetTrackMediaItem = function(track, index) return sorted_items(strict.handle(track, "track"))[index + 1] end

  -- Items
  reaper.CountMediaItems = function() return #all_items() end
  reaper.GetMediaItem = function(_, index) return all_items()[index + 1] end
  reaper.AddMediaItemToTrack = function(track)
    changed("item added")
    return new_item(strict.handle(track, "track"))
  end
  reaper.GetMediaItem_Track = function(item) return strict.handle(item, "item").track end
  reaper.GetMediaItemInfo_Value = function(item, name) return value_of(strict.handle(item, "item"), name) end
  reaper.SetMediaItemInfo_Value = function(item, name, value) return set_value(item, "item", name, value) end
  reaper.GetSetMediaItemInfo_String = function(item, name, _, is_set)
    strict.handle(item, "item")
    if name ~= "GUID" or is_set then error("the stub only reads an item's GUID", 2) end
    return true, item.guid
  end
  reaper.SplitMediaItem = function(item, position)
    strict.handle(item, "item")
    local values = item.values
    local offset = position - values.D_POSITION
    if offset <= 0 or offset >= values.D_LENGTH then return nil end
    local right = new_item(item.track)
    right.values, right.active = copy(values), item.active
    right.values.D_POSITION, right.values.D_LENGTH = position, values.D_LENGTH - offset
    right.values.D_FADEINLEN, values.D_FADEOUTLEN, values.D_LENGTH = DEFAULT_FADE_S, DEFAULT_FADE_S, offset
    for index, take in ipairs(item.takes) do
      right.takes[index] = { kind = "take", item = right, source = take.source, name = take.name,
        values = copy(take.values), n_effects = take.n_effects, n_envelopes = take.n_envelopes,
        n_stretch_markers = take.n_stretch_markers }
      local take_values = right.takes[index].values
      take_values.D_STARTOFFS = take_values.D_STARTOFFS + offset * take_values.D_PLAYRATE
    end
    changed("item split")
    return right
  end
  reaper.CountSelectedMediaItems = function()
    local count = 0
    for _, item in ipairs(all_items()) do count = count + item.values.B_UISEL end
    return count
  end
  reaper.GetSelectedMediaItem = function(_, index)
    for _, item in ipairs(all_items()) do
      if item.values.B_UISEL == 1 then
        if index == 0 then return item end
        index = index - 1
      end
    end
  end
  reaper.SelectAllMediaItems = function(_, selected)
    for _, item in ipairs(all_items()) do item.values.B_UISEL = selected and 1 or 0 end
  end
  reaper.SetMediaItemSelected = function(item, selected)
    strict.handle(item, "item").values.B_UISEL = strict.value(selected, "boolean") and 1 or 0
  end
  reaper.UpdateItemInProject = function(item) strict.handle(item, "item") end

  -- Takes
  reaper.CountTakes = function(item) return #strict.handle(item, "item").takes end
  reaper.GetActiveTake = function(item) return strict.handle(item, "item").takes[item.active] end
  reaper.SetActiveTake = function(take)
    local item = strict.handle(take, "take").item
    item.active = index_of(item.takes, take)
    changed("take chosen")
  end
  reaper.AddTakeToMediaItem = function(item)
    strict.handle(item, "item")
    local take = { kind = "take", item = item, name = "", values = copy(TAKE_DEFAULTS), n_effects = 0, n_envelopes = 0,
      n_stretch_markers = 0 }
    item.takes[#item.takes + 1] = take
    changed("take added")
    return take
  end
  reaper.GetMediaItemTakeInfo_Value = function(take, name) return value_of(strict.handle(take, "take"), name) end
  reaper.SetMediaItemTakeInfo_Value = function(take, name, value) return set_value(take, "take", name, value) end
  reaper.GetSetMediaItemTakeInfo_String = function(take, name, value, is_set)
    strict.handle(take, "take")
    if name ~= "P_NAME" then error("take has no string " .. name, 2) end
    if is_set then take.name = strict.value(value, "string") end
    return true, take.name
  end
  reaper.GetTakeName = function(take) return strict.handle(take, "take").name end
  reaper.TakeIsMIDI = function(take) return strict.handle(take, "take").source.type == "MIDI" end
  reaper.TakeFX_GetCount = function(take) return strict.handle(take, "take").n_effects end
  reaper.CountTakeEnvelopes = function(take) return strict.handle(take, "take").n_envelopes end
  reaper.GetTakeNumStretchMarkers = function(take) return strict.handle(take, "take").n_stretch_markers end
  reaper.GetMediaItemTake_Source = function(take) return strict.handle(take, "take").source end
  reaper.SetMediaItemTake_Source = function(take, source)
    strict.handle(take, "take").source = strict.handle(source, "source")
    changed("take.source")
    return true
  end

  -- Sources
  reaper.PCM_Source_CreateFromFile = function(path)
    local header = audio_header(strict.value(path, "string"))
    if not header then return nil end
    return { kind = "source", path = path, type = header.kind, rate = header.rate, channels = header.channels,
      length = header.frames / header.rate }
  end
  reaper.PCM_Source_Destroy = function(source) strict.handle(source, "source").kind = "destroyed source" end
  local function is_section(source) return source.section ~= nil or source.reversed == true end
  reaper.GetMediaSourceType = function(source)
    return is_section(strict.handle(source, "source")) and "SECTION" or source.type
  end
  reaper.GetMediaSourceFileName = function(source)
    return is_section(strict.handle(source, "source")) and "" or source.path
  end
  reaper.GetMediaSourceSampleRate = function(source) return strict.handle(source, "source").rate end
  reaper.GetMediaSourceNumChannels = function(source) return strict.handle(source, "source").channels end
  reaper.GetMediaSourceLength = function(source) return strict.handle(source, "source").length, false end
  reaper.GetMediaSourceParent = function(source)
    return is_section(strict.handle(source, "source")) and { kind = "source", type = source.type } or nil
  end
  reaper.PCM_Source_GetSectionInfo = function(source)
    strict.handle(source, "source")
    return is_section(source), source.section or 0, source.length, source.reversed == true
  end
end
