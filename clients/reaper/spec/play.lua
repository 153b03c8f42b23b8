--- Plays a scene: a project is opened, an action runs, a user clicks, the real helper works. For the end-to-end tests.
-- Usage: lua spec/play.lua SCENE.json RESULT.json, from the folder of the scripts.

package.path = "./?.lua;" .. package.path

local json = require("ugosa.json")
local stub = require("spec.stub.init")

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local scene = json.decode(read(arg[1]))
local state = stub.install(scene.folder)
state.is_real_time = true
if scene.has_imgui then state.add_imgui() end
state.answers = scene.answers

for _, track in ipairs(scene.tracks) do
  local handle = state.add_track(track.name, track.values)
  for _, item in ipairs(track.items) do state.add_item(handle, item.path, item.values, item.take_values) end
end
for _, region in ipairs(scene.regions) do state.add_region(region.name, region.start_s, region.end_s) end
state.time_selection = scene.time_selection
state.set_up(function()
  reaper.SetExtState("UGOSA", "helper", scene.helper, true)
  if scene.server then reaper.SetExtState("UGOSA", "server", scene.server, true) end
  if scene.pending ~= "" then reaper.SetProjExtState(0, "UGOSA", "pending_jobs", scene.pending) end
end)

-- REAPER's renderer: what an item sounds like before its track.
state.on_render = function()
  local path = ("%s/%s.wav"):format(state.setting_strings.RENDER_FILE, state.setting_strings.RENDER_PATTERN)
  local guid = reaper.GetSelectedMediaItem(0, 0).guid
  local request = { tracks = state.arrangement(), guid = guid, sample_rate_hz = scene.sample_rate_hz, path = path }
  write(scene.folder .. "/render.json", json.encode(request))
  assert(os.execute(("%s '%s/render.json'"):format(scene.renderer, scene.folder)))
end

local before = state.arrangement()
local clicks = 1
dofile(("./UGOSA_%s.lua"):format(scene.action))

local function pending() return select(2, reaper.GetProjExtState(0, "UGOSA", "pending_jobs")) end

state.run(function()
  local click = scene.clicks[clicks]
  if click and state.screen_text():find(click.when, 1, true) and state.click(click.label) then clicks = clicks + 1 end
end, function()
  if scene.until_pending and not pending():find('"job_id"', 1, true) then return false end
  return state.screen_text():gsub("%s+", " "):find(scene.until_shown, 1, true)
end, 100)

write(arg[2], json.encode({
  before = before, after = state.arrangement(), screen = state.screen_text(), pending = pending(),
  messages = json.array(state.messages), undo_steps = json.array(state.undo_steps),
  changes_without_undo = json.array(state.changes_without_undo), regions = json.array(state.regions),
}))
