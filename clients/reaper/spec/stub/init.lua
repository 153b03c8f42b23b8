--- A strict stand-in for REAPER: it defines what the scripts use, with the documented meaning, and raises on all else.

local strict = require("spec.stub.strict")

local stub = {}

local SETTINGS = { RENDER_SETTINGS = 0, RENDER_BOUNDSFLAG = 1, RENDER_CHANNELS = 2, RENDER_SRATE = 44100,
  RENDER_TAILFLAG = 18, RENDER_ADDTOPROJ = 1, RENDER_DITHER = 3, RENDER_NORMALIZE = 1 }
local SETTING_STRINGS = { RENDER_FILE = "/user's renders", RENDER_PATTERN = "$project", RENDER_FORMAT = "bDNwbQ==",
  RENDER_FORMAT2 = "" }

local function copy(values)
  local result = {}
  for key, value in pairs(values) do result[key] = value end
  return result
end

--- Make a fresh REAPER with an empty project, as the globals `reaper` and `gfx`; return its state. `folder` is where
-- project, resources and helper logs lie.
function stub.install(folder)
  local state = {
    project = { kind = "ReaProject" }, project_path = folder .. "/song.rpp", media_folder = folder,
    resource_folder = folder .. "/REAPER", helper_log = folder .. "/helper.log", os = "Other", now_s = 1000,
    tracks = {}, regions = {}, lanes = {}, time_selection = { 0, 0 }, guids = 0, undo_steps = {},
    changes_without_undo = {}, project_ext = {}, ext = {}, settings = copy(SETTINGS),
    setting_strings = copy(SETTING_STRINGS), started = {}, messages = {}, answers = {},
  }
  _G.reaper = strict.table("reaper")
  require("spec.stub.regions_and_undo")(_G.reaper, state)
  require("spec.stub.tracks_and_items")(_G.reaper, state)
  require("spec.stub.system")(_G.reaper, state)
  _G.gfx = require("spec.stub.screen")(_G.reaper, state)

  --- Do what the user did before the script ran; none of it is an undo step of the script.
  state.set_up = function(action)
    state.is_setting_up = true
    local result = action()
    state.is_setting_up = false
    return result
  end

  --- Add an item with a take of a WAV file; `values` and `take_values` replace defaults.
  state.add_item = function(track, path, values, take_values)
    return state.set_up(function()
      local item = _G.reaper.AddMediaItemToTrack(track)
      local take = _G.reaper.AddTakeToMediaItem(item)
      take.source = assert(_G.reaper.PCM_Source_CreateFromFile(path), "no file " .. path)
      take.name = path:match("[^/]+$")
      item.values.D_LENGTH, item.values.D_FADEINLEN, item.values.D_FADEOUTLEN = take.source.length, 0, 0
      for name, value in pairs(values or {}) do item.values[name] = value end
      for name, value in pairs(take_values or {}) do take.values[name] = value end
      return item
    end)
  end

  --- Add a track of that name at the end.
  state.add_track = function(name, values)
    return state.set_up(function()
      _G.reaper.InsertTrackAtIndex(#state.tracks, true)
      local track = state.tracks[#state.tracks]
      _G.reaper.GetSetMediaTrackInfo_String(track, "P_NAME", name, true)
      for key, value in pairs(values or {}) do track.values[key] = value end
      return track
    end)
  end

  --- Add a region of that name.
  state.add_region = function(name, start_s, end_s, lane)
    return state.set_up(function()
      local number = _G.reaper.AddProjectMarker2(0, true, start_s, end_s, name, -1, 0)
      state.regions[#state.regions].lane = lane or 0
      return number
    end)
  end

  --- The arrangement as a plain table: tracks with items, for a renderer or a comparison.
  state.arrangement = function()
    local tracks = {}
    for index, track in ipairs(state.tracks) do
      local items = {}
      for item_index = 1, #track.items do
        local item = _G.reaper.GetTrackMediaItem(track, item_index - 1)
        local take = item.takes[item.active]
        items[item_index] = { guid = item.guid, values = copy(item.values),
          take = take and { name = take.name, path = take.source.path, values = copy(take.values) } or nil }
      end
      items.n = #items
      tracks[index] = { name = track.ext.P_NAME or "", values = copy(track.values), items = items }
    end
    tracks.n = #tracks
    return tracks
  end
  return state
end

return stub
