--- A stretch: the part of an item that is separated, and which frames of which file that is.
--
-- In source mode the file behind the item is sent as it is, and stems copy the item's gain, pan and fades. It is
-- possible when the item plays its file unchanged, sample by sample. Otherwise the item is rendered to a file
-- first (render mode), with all that changes it; its stems need nothing copied.
--
-- Fields: item, guid, name, mode, why (not source mode), start_s and end_s (project time), song, offset_s (where
-- in the file start_s lies), sample_rate_hz, start_frame, end_frame (frames sent; the file's own), look (what
-- stems copy), is_whole (the whole item, not a part of it).

local files = require("ugosa.files")

local stretch = {}

-- Decoders agree on every frame of these; on MP3 and its kin they differ in the padding at the start.
local EXACT_TYPES = { WAVE = true, FLAC = true, AIFF = true }

local COPIED_ITEM_VALUES = {
  "D_VOL", "D_FADEINLEN", "D_FADEOUTLEN", "D_FADEINDIR", "D_FADEOUTDIR", "C_FADEINSHAPE", "C_FADEOUTSHAPE",
  "D_FADEINLEN_AUTO", "D_FADEOUTLEN_AUTO", "C_BEATATTACHMODE",
}
local COPIED_TAKE_VALUES = { "D_VOL", "D_PAN", "D_PANLAW" }

local function item_value(item, name) return reaper.GetMediaItemInfo_Value(item, name) end
local function take_value(take, name) return reaper.GetMediaItemTakeInfo_Value(take, name) end

--- Return why the take cannot be sent as its file, or nil when it can.
function stretch.why_render(item, take)
  local source = reaper.GetMediaItemTake_Source(take)
  -- A section or a reversed source is a source of its own, of type SECTION, with the file's as its parent.
  local is_section, _, _, is_reversed = reaper.PCM_Source_GetSectionInfo(source)
  if is_reversed then return "it is reversed" end
  if is_section or reaper.GetMediaSourceParent(source) then return "it plays a section of its source" end
  local kind = reaper.GetMediaSourceType(source, "")
  if not EXACT_TYPES[kind] then return ("its source is %s"):format(kind) end
  if take_value(take, "D_PLAYRATE") ~= 1 then return ("its rate is %g"):format(take_value(take, "D_PLAYRATE")) end
  if take_value(take, "D_PITCH") ~= 0 then return "its pitch is changed" end
  if take_value(take, "I_CHANMODE") ~= 0 then return "its channel mode is not normal" end
  if reaper.GetMediaSourceNumChannels(source) > 2 then return "it has more than two channels" end
  if reaper.GetTakeNumStretchMarkers(take) > 0 then return "it has stretch markers" end
  if reaper.TakeFX_GetCount(take) > 0 then return "it has take effects" end
  if reaper.CountTakeEnvelopes(take) > 0 then return "it has take envelopes" end
  if reaper.CountTakes(item) > 1 and item_value(item, "B_ALLTAKESPLAY") ~= 0 then return "all its takes play" end
  local offset_s = take_value(take, "D_STARTOFFS")
  local rate_hz = reaper.GetMediaSourceSampleRate(source)
  local beyond_s = offset_s + item_value(item, "D_LENGTH") - reaper.GetMediaSourceLength(source)
  if offset_s < 0 or beyond_s * rate_hz > 0.5 then
    return item_value(item, "B_LOOPSRC") ~= 0 and "it loops its source" or "it goes beyond its source"
  end
  return nil
end

-- What is sent before and after the part that plays, where the file has it. The network hears what surrounds the
-- edges, REAPER's resampler reads across them as it does in the original, and the edges of stems can be dragged.
local HANDLE_S = 0.5

--- Fill in the frames of the file to send for a stretch that starts at `offset_s` of it. They begin on a frame, and
-- stems get the rest as their offset, so that they begin at the very same point as an item between two frames.
function stretch.set_frames(self, song, offset_s, sample_rate_hz, file_frames)
  local nearly = 1e-6 -- frames; what is left of a product of two doubles
  local handle = math.floor(HANDLE_S * sample_rate_hz)
  self.song, self.offset_s, self.sample_rate_hz = song, offset_s, sample_rate_hz
  local start_frame = math.floor(offset_s * sample_rate_hz + nearly)
  local end_frame = math.ceil((offset_s + self.end_s - self.start_s) * sample_rate_hz - nearly)
  self.start_frame = math.max(0, start_frame - handle)
  self.end_frame = math.min(end_frame + handle, file_frames)
end

--- Return the frames of a source.
function stretch.source_frames(source)
  local length, is_beats = reaper.GetMediaSourceLength(source)
  assert(not is_beats, "the length of audio is in seconds")
  return math.floor(length * reaper.GetMediaSourceSampleRate(source) + 0.5)
end

--- Return what stems copy of an item in source mode: gain, pan and fades; no fade where they begin or end within it.
function stretch.look_of(item, take, starts_here, ends_here)
  local look = { item = {}, take = {} }
  for _, name in ipairs(COPIED_ITEM_VALUES) do look.item[name] = item_value(item, name) end
  for _, name in ipairs(COPIED_TAKE_VALUES) do look.take[name] = take_value(take, name) end
  if not starts_here then look.item.D_FADEINLEN, look.item.D_FADEINLEN_AUTO = 0, 0 end
  if not ends_here then look.item.D_FADEOUTLEN, look.item.D_FADEOUTLEN_AUTO = 0, 0 end
  return look
end

--- Return the stretch of an item, cut to [from_s, to_s] if these are given; nil and what to do when it cannot be
-- separated.
function stretch.of_item(item, from_s, to_s)
  local take = reaper.GetActiveTake(item)
  if not take then return nil, "The item is empty: it marks, but has no audio. Select the item of the song." end
  local name = reaper.GetTakeName(take)
  if reaper.TakeIsMIDI(take) then
    return nil, ("'%s' is MIDI. Render it to audio first (Item > Apply track FX as new take)."):format(name)
  end
  local position = item_value(item, "D_POSITION")
  local item_end = position + item_value(item, "D_LENGTH")
  local start_s, end_s = math.max(position, from_s or position), math.min(item_end, to_s or item_end)
  local source = reaper.GetMediaItemTake_Source(take)
  local song = reaper.GetMediaSourceFileName(source, "")
  local why = stretch.why_render(item, take)
  if not why and not reaper.file_exists(song) then
    return nil, ("The file of '%s' is missing: %s. Bring it back (Project bay > Replace), then try again."):format(
      name, song)
  end
  if why and item_value(item, "B_MUTE") ~= 0 then
    return nil, ("'%s' is muted, and it has to be rendered because %s. Unmute it, then try again."):format(name, why)
  end
  local _, guid = reaper.GetSetMediaItemInfo_String(item, "GUID", "", false)
  local self = {
    item = item, guid = guid, name = name, why = why, mode = why and "render" or "source", start_s = start_s,
    end_s = end_s, item_start_s = position, take_offset_s = take_value(take, "D_STARTOFFS"),
    is_whole = start_s == position and end_s == item_end,
    look = stretch.look_of(item, take, start_s == position, end_s == item_end),
  }
  if not why then
    local offset_s = take_value(take, "D_STARTOFFS") + start_s - position
    stretch.set_frames(self, song, offset_s, reaper.GetMediaSourceSampleRate(source), stretch.source_frames(source))
  end
  return self
end

--- Say in one line what is sent and how.
function stretch.describe(self)
  local name = files.safe_name(self.name)
  if self.mode == "source" then return ("%s: source mode, the file is sent as it is"):format(name) end
  return ("%s: render mode, because %s"):format(name, self.why)
end

--- Return the stretches to separate: the selected items; or with none selected, what the time selection covers of
-- items on selected tracks, or on all tracks when none is selected. Returns nil and what to do when there is none.
function stretch.selected()
  local from_s, to_s = reaper.GetSet_LoopTimeRange2(0, false, false, 0, 0, false)
  local items = {}
  for index = 0, reaper.CountSelectedMediaItems(0) - 1 do items[#items + 1] = reaper.GetSelectedMediaItem(0, index) end
  if #items > 0 then
    from_s, to_s = nil, nil
  elseif to_s > from_s then
    local any_track = reaper.CountSelectedTracks(0) == 0
    for index = 0, reaper.CountMediaItems(0) - 1 do
      local item = reaper.GetMediaItem(0, index)
      local start_s = item_value(item, "D_POSITION")
      local track = reaper.GetMediaItem_Track(item)
      if start_s < to_s and start_s + item_value(item, "D_LENGTH") > from_s and reaper.GetActiveTake(item)
          and item_value(item, "B_MUTE") == 0
          and (any_track or reaper.GetMediaTrackInfo_Value(track, "I_SELECTED") ~= 0) then
        items[#items + 1] = item
      end
    end
  end
  if #items == 0 then
    return nil, "Select the item of the song, or make a time selection over a part of it, then run this again."
  end
  local stretches = {}
  for _, item in ipairs(items) do
    local one, message = stretch.of_item(item, from_s, to_s)
    if not one then return nil, message end
    stretches[#stretches + 1] = one
  end
  return stretches
end

return stretch
