--- Render mode: REAPER writes what an item sounds like, before its track, to a float WAV.

local files = require("ugosa.files")
local stretch = require("ugosa.stretch")

local render = {}

local RENDER_WITH_LAST_SETTINGS = 42230 -- "Render project, using the most recent render settings, auto-close"
local FLOAT_WAV = "ZXZhdyAAAQ==" -- "evaw", 32 bits, float
local FILE_NAME = "mix"

local NUMBERS = {
  RENDER_SETTINGS = 32, -- selected media items
  RENDER_BOUNDSFLAG = 4, -- selected media items
  RENDER_CHANNELS = 2, RENDER_SRATE = 0, -- the project's rate
  RENDER_TAILFLAG = 0, RENDER_ADDTOPROJ = 0, RENDER_DITHER = 0, RENDER_NORMALIZE = 0,
}

local function swap_numbers(values)
  local before = {}
  for name, value in pairs(values) do
    before[name] = reaper.GetSetProjectInfo(0, name, 0, false)
    reaper.GetSetProjectInfo(0, name, value, true)
  end
  return before
end

local function swap_strings(values)
  local before = {}
  for name, value in pairs(values) do
    local _, old = reaper.GetSetProjectInfo_String(0, name, "", false)
    before[name] = old
    reaper.GetSetProjectInfo_String(0, name, value, true)
  end
  return before
end

local function select_only(items)
  reaper.SelectAllMediaItems(0, false)
  for _, item in ipairs(items) do reaper.SetMediaItemSelected(item, true) end
end

local NEUTRAL_LOOK = {
  item = { D_VOL = 1, D_FADEINLEN = 0, D_FADEOUTLEN = 0, D_FADEINLEN_AUTO = 0, D_FADEOUTLEN_AUTO = 0 },
  take = { D_VOL = 1, D_PAN = 0 },
}

--- Render the item of a stretch into `folder` and make the stretch one of the rendered file. The item's gain, pan
-- and fades are in the file, so its stems copy none. Selection and render settings are left as they were.
-- Returns true, or nil and what to do.
function render.item(self, folder)
  local path = files.join(folder, FILE_NAME .. ".wav")
  os.remove(path) -- REAPER would ask whether to replace it
  local selected = {}
  for index = 0, reaper.CountSelectedMediaItems(0) - 1 do
    selected[#selected + 1] = reaper.GetSelectedMediaItem(0, index)
  end
  reaper.PreventUIRefresh(1)
  select_only({ self.item })
  local numbers = swap_numbers(NUMBERS)
  local strings = swap_strings({ RENDER_FILE = folder, RENDER_PATTERN = FILE_NAME, RENDER_FORMAT = FLOAT_WAV,
    RENDER_FORMAT2 = "" })
  reaper.Main_OnCommand(RENDER_WITH_LAST_SETTINGS, 0)
  swap_numbers(numbers)
  swap_strings(strings)
  select_only(selected)
  reaper.PreventUIRefresh(-1)
  if not reaper.file_exists(path) then
    return nil, ("REAPER did not render '%s' to %s. Was the rendering cancelled? Is there room on the disk?"):format(
      self.name, path)
  end
  local source = reaper.PCM_Source_CreateFromFile(path)
  stretch.set_frames(self, path, self.start_s - self.item_start_s, reaper.GetMediaSourceSampleRate(source),
    stretch.source_frames(source))
  reaper.PCM_Source_Destroy(source)
  self.look = NEUTRAL_LOOK
  return true
end

return render
