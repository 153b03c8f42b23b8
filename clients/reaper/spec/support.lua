--- What specs share: a folder, WAV files, a REAPER, running an action, and a helper that says what a spec wants.

local assert = require("luassert")
local stub = require("spec.stub.init")

local support = {}

support.SOURCES = { "drums", "bass", "other", "vocals" }

--- Make a folder with blanks and letters of several scripts in its name.
function support.make_folder()
  local path = os.tmpname()
  os.remove(path)
  path = path .. " Käse и 音"
  assert(os.execute("mkdir '" .. path .. "'"))
  return path
end

function support.remove_folder(path) os.execute("rm -rf '" .. path .. "'") end

--- Write a 16-bit WAV of silence.
function support.write_wav(path, frames, rate, channels)
  rate, channels = rate or 44100, channels or 2
  local data = ("\0"):rep(frames * channels * 2)
  local file = assert(io.open(path, "wb"))
  file:write(string.pack("<c4I4c4c4I4I2I2I4I4I2I2c4I4", "RIFF", 36 + #data, "WAVE", "fmt ", 16, 1, channels, rate,
    rate * channels * 2, channels * 2, 16, "data", #data), data)
  file:close()
  return path
end

--- A REAPER with a song of two seconds on one track; its state, with `song`, `track` and `item`.
function support.session()
  local folder = support.make_folder()
  local state = stub.install(folder)
  state.folder = folder
  state.song = support.write_wav(folder .. "/my song ü.wav", 88200)
  state.track = state.add_track("mix")
  state.item = state.add_item(state.track, state.song, { B_UISEL = 1, D_POSITION = 10 })
  state.helper = folder .. "/bin dir/ugosa"
  assert(os.execute("mkdir -p '" .. folder .. "/bin dir'"))
  assert(io.open(state.helper, "w")):close()
  state.set_up(function() reaper.SetExtState("UGOSA", "helper", state.helper, true) end)
  local file_exists = reaper.file_exists -- a helper that this machine has is none of the session's
  reaper.file_exists = function(path) return path:sub(1, #folder) == folder and file_exists(path) end
  return state
end

--- Run an action as REAPER does: in a fresh Lua.
function support.action(name)
  for module in pairs(package.loaded) do
    if module:match("^ugosa%.") then package.loaded[module] = nil end
  end
  local path = package.path
  dofile("./UGOSA_" .. name .. ".lua")
  package.path = path
end

support.MODELS = { event = "result", ok = true, exit_code = 0, models = { {
  name = "tiny", is_default = true, sources = support.SOURCES, strategies = { { name = "P-L3:D" }, { name = "B0" } },
} } }

--- Take the place of the helper: `answers[action]` is called with the request, the words and `say`, which appends a
-- line to the progress file. "call" lists a model unless answered.
function support.fake_helper(state, answers)
  local json = require("ugosa.json")
  state.requests = {}
  state.on_exec = function(words)
    assert.equal(state.helper, words[1])
    assert.equal("daw", words[2])
    local file = assert(io.open(words[#words], "rb"))
    local request = json.decode(file:read("a"))
    file:close()
    request.words = words
    table.insert(state.requests, request)
    local function append(text)
      local progress = assert(io.open(request.progress_file, "ab"))
      progress:write(text)
      progress:close()
    end
    local function say(object) append(json.encode(object) .. "\n") end
    if answers[words[3]] then
      answers[words[3]](request, say, append)
    elseif words[3] == "call" then
      say(support.MODELS)
    end
    return "0\n"
  end
end

--- What the helper says of a job that goes well, with stems of silence beside the request.
function support.say_success(request, say)
  local stems, base_stems = {}, {}
  for index, source in ipairs(support.SOURCES) do
    for prefix, list in pairs({ [""] = stems, ["base "] = base_stems }) do
      local path = request.out_dir .. "/" .. prefix .. source .. ".wav"
      support.write_wav(path, request.end_frame - request.start_frame)
      list[index] = { source = source, path = path }
    end
  end
  say({ event = "job", job = { job_id = "j1" } })
  say({ event = "progress", phase = "adaptation", fraction = 0.25, eta_s = 61.4, epoch = 1, epochs = 3 })
  local job = { job_id = "j1", verdict = { outcome = "helped", message = "Adapted: helped, 3.1 dB less" } }
  say({ event = "result", ok = true, exit_code = 0, job = job, stems = stems, base_stems = base_stems })
end

--- Click on labels one after the other, each as soon as it is on screen.
function support.user(state, labels)
  local position = 1
  return function()
    if labels[position] and state.click(labels[position]) then position = position + 1 end
  end
end

return support
