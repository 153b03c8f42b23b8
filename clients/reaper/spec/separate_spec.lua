local json = require("ugosa.json")
local support = require("spec.support")

describe("separating", function()
  local state
  before_each(function()
    state = support.session()
    state.add_region("no vocals", 10, 10.5)
  end)
  after_each(function() support.remove_folder(state.folder) end)

  local function separate(...)
    support.action("Separate with marks")
    state.run(support.user(state, { ... }), function() return state.ready and state.ready() end, 300)
  end

  local function shows(text)
    local screen = state.screen_text():gsub("%s+", " ")
    assert.truthy(screen:find(text, 1, true), "not on screen: " .. text .. "\n" .. screen)
  end

  -- Stop when this is on screen.
  local function until_shown(text)
    state.ready = function() return state.screen_text():gsub("%s+", " "):find(text, 1, true) end
  end

  for _, kind in ipairs({ "gfx", "ReaImGui" }) do
    it("goes from the item to stems in its place, in a window of " .. kind, function()
      if kind == "ReaImGui" then state.add_imgui() end
      support.fake_helper(state, { run = support.say_success })
      until_shown("stems are in the project")
      separate("Separate")
      shows("the original is muted")
      shows("Adapted: helped, 3.1 dB less")
      assert.equal(5, #state.tracks)
      assert.equal(1, state.item.values.B_MUTE)
      assert.same({ "UGOSA: insert stems" }, state.undo_steps)
      assert.same({}, state.changes_without_undo)
      local request = state.requests[2]
      assert.equal(state.song, request.song)
      assert.same({ { source = "vocals", state = "silent", start_frame = 0, end_frame = 22050 }, n = 1 }, request.marks)
      assert.equal("tiny", request.options.model)
      assert.equal("", reaper.GetProjExtState(0, "UGOSA", "pending_jobs") == 0 and "" or "still pending")
      assert.truthy(state.is_dirty)
    end)
  end

  it("tells mode, marks and problems before anything is sent", function()
    state.add_region("no vocls", 11, 11.5)
    support.fake_helper(state, {})
    until_shown("Settings")
    separate()
    shows("my song ü.wav: source mode")
    shows("Marks: vocals 1 silent, 0 active")
    shows("0:11.000 to 0:11.500: region R2 'no vocls'")
    shows("did you mean 'vocals'?")
  end)

  it("can be clicked on however much there is to say", function()
    for number = 1, 40 do state.add_region("no vocls " .. number, 10.5, 11) end
    support.fake_helper(state, { run = support.say_success })
    until_shown("enlarge the window")
    separate()
    until_shown("stems are in the project")
    state.run(support.user(state, { "Separate" }), state.ready)
    assert.equal(5, #state.tracks)
  end)

  it("does not offer to send marks that contradict each other", function()
    state.add_region("vocals", 10, 11)
    support.fake_helper(state, {})
    until_shown("both active and silent")
    separate()
    assert.is_nil(state.screen_text():find("Separate\n", 1, true))
  end)

  it("remembers the strategy that was chosen", function()
    support.fake_helper(state, { run = support.say_success })
    state.picks = "B0"
    until_shown("stems are in the project")
    separate("What learns", "Separate")
    assert.equal("B0", state.requests[2].options.strategy)
    assert.equal("B0", reaper.GetExtState("UGOSA", "strategy"))
  end)

  it("shows phase, share and time that is left", function()
    support.fake_helper(state, { run = function(_, say)
      say({ event = "job", job = { job_id = "j1" } })
      say({ event = "progress", phase = "adaptation", fraction = 0.25, eta_s = 61.4, epoch = 1, epochs = 3 })
    end })
    until_shown("Learning your song, pass 1 of 3 - 1:01 left")
    separate("Separate")
    assert.same({ "mix" }, { state.tracks[1].ext.P_NAME, state.tracks[2] })
  end)

  it("warns of a doubtful mark while the job runs, and at its end", function()
    local finish
    support.fake_helper(state, { run = function(request, say)
      say({ event = "job", job = { job_id = "j1" } })
      say({ event = "notice", reason = "SILENT_BUT_HEARD", message = "the model hears vocals", warning = true })
      finish = function() support.say_success(request, say) end
    end })
    until_shown("my song ü.wav: the model hears vocals")
    separate("Separate")
    finish()
    until_shown("stems are in the project")
    state.run(support.user(state, {}), function() return state.ready() end, 300)
    shows("the model hears vocals")
  end)

  it("sends nothing of an item that was changed or removed while the window was open", function()
    support.fake_helper(state, { run = support.say_success })
    for _, change in ipairs({
      function() state.item.values.D_POSITION = 20 end,
      function() state.track.items = {} end,
    }) do
      until_shown("Settings")
      separate()
      state.set_up(change)
      until_shown("'my song ü.wav' was changed or removed")
      state.run(support.user(state, { "Separate" }), state.ready)
      state.quit()
    end
    assert.equal("models", state.requests[#state.requests].command[1])
  end)

  it("says how to install the helper when there is none", function()
    os.remove(state.helper)
    separate()
    assert.truthy(state.messages[1].text:find("pipx install PATH/TO/ugosa-server/clients/python", 1, true))
    assert.equal(0, #state.started)
  end)

  it("says how to see why a helper does not start", function()
    state.on_exec = function() return "0\n" end -- started, and died without a word
    until_shown("run this in a terminal")
    separate()
    shows("daw call")
  end)

  it("says so when no server answers, and has sent nothing", function()
    support.fake_helper(state, { call = function(_, say)
      say({ event = "result", ok = false, exit_code = 3, error = { reason = "",
        message = "no UGOSA server answers at unix:/x; start one with `ugosa-server serve`" } })
    end })
    until_shown("start one with `ugosa-server serve`")
    separate()
    assert.equal(1, #state.started)
  end)

  it("leaves the project as it was when the job fails, and says why", function()
    support.fake_helper(state, { run = function(_, say)
      say({ event = "job", job = { job_id = "j1" } })
      say({ event = "result", ok = false, exit_code = 1, error = { message = "out of memory" } })
    end })
    until_shown("out of memory")
    separate("Separate")
    assert.equal(1, #state.tracks)
    assert.equal(0, state.item.values.B_MUTE)
    assert.equal(0, #state.undo_steps)
    assert.is_nil(state.screen_text():find("Resume\n", 1, true))
  end)

  it("goes on with the job at the server when the helper dies", function()
    support.fake_helper(state, {
      run = function(_, say) say({ event = "job", job = { job_id = "j7" } }) end,
      resume = support.say_success,
    })
    until_shown("stems are in the project")
    separate("Separate", "Resume")
    assert.same({ "resume", "j7" }, { state.started[3][3], state.started[3][4] })
    assert.equal(5, #state.tracks)
  end)

  it("reads progress lines that are torn, and ones that are damaged", function()
    local append_later
    support.fake_helper(state, { run = function(request, say, append)
      append('{"event":"job","job":{"job_')
      append_later = function()
        append('id":"j1"}}\nnot JSON\n')
        support.say_success(request, say)
      end
    end })
    until_shown("stems are in the project")
    support.action("Separate with marks")
    local user, cycles = support.user(state, { "Separate" }), 0
    state.run(function()
      user()
      if append_later then cycles = cycles + 1 end
      if cycles == 60 then append_later() end
    end, state.ready, 300)
    assert.equal(5, #state.tracks)
  end)

  it("cancels, and leaves the project as it was", function()
    support.fake_helper(state, { run = function(_, say) say({ event = "job", job = { job_id = "j1" } }) end })
    support.action("Separate with marks")
    local user = support.user(state, { "Separate", "Cancel" })
    until_shown("cancelled; the project is as it was")
    state.run(function()
      user()
      local request = state.requests[2]
      local cancelled = request and io.open(request.cancel_file, "rb")
      if cancelled then
        cancelled:close()
        local progress = assert(io.open(request.progress_file, "ab"))
        progress:write('{"event":"result","ok":false,"exit_code":4}\n')
        progress:close()
      end
    end, state.ready)
    assert.equal(1, #state.tracks)
  end)

  it("takes what is learned so far", function()
    support.fake_helper(state, { run = function(_, say)
      say({ event = "job", job = { job_id = "j1" } })
      say({ event = "progress", phase = "adaptation", fraction = 0.25, epoch = 1, epochs = 3, step = 2 })
    end })
    support.action("Separate with marks")
    local user = support.user(state, { "Separate", "Take it now" })
    until_shown("stems are in the project")
    state.run(function()
      user()
      local request = state.requests[2]
      local accepted = request and io.open(request.accept_file, "rb")
      if accepted then
        accepted:close()
        os.remove(request.accept_file)
        support.say_success(request, function(object)
          local progress = assert(io.open(request.progress_file, "ab"))
          progress:write(json.encode(object), "\n")
          progress:close()
        end)
      end
    end, state.ready)
    assert.equal(5, #state.tracks)
  end)

  it("lets the time selection be heard while it learns, and leaves no track behind", function()
    state.time_selection = { 11, 30 }
    local finish
    support.fake_helper(state, { run = function(request, say)
      local files = {}
      for _, source in ipairs(support.SOURCES) do
        files[source] = support.write_wav(request.out_dir .. "/preview " .. source .. ".wav", 44100)
      end
      say({ event = "job", job = { job_id = "j1", options = { start_from = "job-0123456789abcdef" } } })
      say({ event = "progress", phase = "adaptation", fraction = 0.25, epoch = 1, epochs = 3, step = 2 })
      say({ event = "preview", sources = support.SOURCES, step = 2, files = files })
      finish = function() support.say_success(request, say) end
    end })
    until_shown("listen to 0:11.000 to 0:12.000")
    separate()
    until_shown("goes on from what your last run has learned")
    state.run(support.user(state, { "Separate" }), state.ready)
    local asked = state.requests[2].options
    assert.same({ 44100, 88200, "auto" }, { asked.preview_start_frame, asked.preview_end_frame, asked.start_from })
    for _ = 1, 2 do -- the second one takes the place of the first
      state.ready = function() return #state.undo_steps > 0 end
      state.undo_steps = {}
      state.run(support.user(state, { "Listen" }), state.ready)
      assert.same({ "mix", "UGOSA preview" }, { state.tracks[1].ext.P_NAME, state.tracks[2].ext.P_NAME })
    end
    local item = state.tracks[2].items[1]
    assert.same({ 11, 1, 4, 1 }, { item.values.D_POSITION, item.values.D_LENGTH, #item.takes,
      state.tracks[2].values.I_SOLO })
    assert.truthy(reaper.GetActiveTake(item).name:find("vocals", 1, true))
    assert.equal(11, state.plays_from_s)
    finish()
    until_shown("stems are in the project")
    state.run(support.user(state, {}), state.ready)
    assert.equal(5, #state.tracks)
    assert.same({ "UGOSA: end of the preview", "UGOSA: insert stems" }, { table.unpack(state.undo_steps, 2) })
    assert.same({}, state.changes_without_undo)
  end)

  it("takes the preview away when its window is closed", function()
    state.time_selection = { 11, 12 }
    support.fake_helper(state, { run = function(request, say)
      local path = support.write_wav(request.out_dir .. "/preview.wav", 44100)
      say({ event = "job", job = { job_id = "j1" } })
      say({ event = "progress", phase = "adaptation", fraction = 0.25, epoch = 1, epochs = 3, step = 2 })
      say({ event = "preview", sources = { "vocals" }, step = 2, files = { vocals = path } })
    end })
    state.ready = function() return #state.tracks == 2 end
    separate("Separate", "Listen")
    state.user_closes = true
    state.run(nil, nil)
    assert.equal(1, #state.tracks)
  end)

  for _, kind in ipairs({ "gfx", "ReaImGui" }) do
    it("starts fresh when that is checked, in a window of " .. kind, function()
      if kind == "ReaImGui" then state.add_imgui() end
      support.fake_helper(state, { run = support.say_success })
      until_shown("stems are in the project")
      separate("Start fresh", "Separate")
      assert.equal("none", state.requests[2].options.start_from)
    end)
  end

  it("puts the stems of the model as it is in their place, and back", function()
    support.fake_helper(state, { run = support.say_success })
    until_shown("Insert base instead")
    separate("Separate")
    assert.equal("early", state.requests[2].options.base_stems)
    local take = state.tracks[2].items[1].takes[1]
    local learned = take.source.path
    until_shown("Insert the learned ones again")
    state.run(support.user(state, { "Insert base instead" }), state.ready)
    assert.truthy(take.source.path:find("base drums.wav", 1, true))
    assert.same({ "UGOSA: insert stems", "UGOSA: other stems" }, state.undo_steps)
    assert.same({}, state.changes_without_undo)
    table.remove(state.tracks[3].items) -- by the user
    until_shown("Insert base instead")
    state.run(support.user(state, { "Insert the learned ones again" }), state.ready)
    assert.equal(learned, take.source.path)
  end)

  it("brings two items back in one undo step", function()
    state.add_item(state.track, state.song, { D_POSITION = 20, B_UISEL = 1 })
    support.fake_helper(state, { run = support.say_success })
    until_shown("stems are in the project")
    separate("Separate")
    assert.equal(5, #state.tracks)
    assert.equal(2, #state.tracks[2].items)
    assert.same({ "UGOSA: insert stems" }, state.undo_steps)
    assert.not_equal(state.requests[2].out_dir, state.requests[3].out_dir)
    assert.not_equal(state.requests[2].request_id, state.requests[3].request_id)
  end)

  it("brings the item that succeeded when the other one fails", function()
    state.add_item(state.track, state.song, { D_POSITION = 20, B_UISEL = 1 })
    local count = 0
    support.fake_helper(state, { run = function(request, say)
      count = count + 1
      if count == 1 then return support.say_success(request, say) end
      say({ event = "result", ok = false, exit_code = 2, error = { message = "the queue is full" } })
    end })
    until_shown("the queue is full")
    separate("Separate")
    assert.equal(1, #state.tracks[2].items)
  end)

  describe("a job that outlives its window", function()
    local function begin_and_quit()
      support.fake_helper(state, {
        run = function(_, say) say({ event = "job", job = { job_id = "j9" } }) end,
        resume = support.say_success,
      })
      state.ready = function() return select(2, reaper.GetProjExtState(0, "UGOSA", "pending_jobs")):find("j9") end
      separate("Separate")
      state.quit()
      state.now_s = state.now_s + 3600
      assert.equal(1, #state.tracks)
    end

    it("is taken up by its id when the project is opened again", function()
      begin_and_quit()
      until_shown("stems are in the project")
      support.action("Resume jobs of this project")
      state.run(nil, state.ready)
      assert.same({ "resume", "j9" }, { state.started[3][3], state.started[3][4] })
      assert.equal(5, #state.tracks)
      assert.equal(1, state.item.values.B_MUTE)
    end)

    it("is found by the watcher that starts with REAPER", function()
      begin_and_quit()
      until_shown("stems are in the project")
      support.action("Resume jobs of opened projects")
      state.run(nil, state.ready)
      assert.equal(5, #state.tracks)
    end)

    it("is only read when its helper ended in the meantime", function()
      begin_and_quit()
      local request = state.requests[2]
      support.say_success(request, function(object)
        local progress = assert(io.open(request.progress_file, "ab"))
        progress:write(require("ugosa.json").encode(object), "\n")
        progress:close()
      end)
      until_shown("stems are in the project")
      support.action("Resume jobs of this project")
      state.run(nil, state.ready)
      assert.equal(2, #state.started)
      assert.equal(5, #state.tracks)
    end)

    it("is taken up where its folder is now when the project was moved", function()
      begin_and_quit()
      local moved = state.folder .. "/moved"
      assert(os.execute(("mkdir '%s' && mv '%s/UGOSA stems' '%s'"):format(moved, state.folder, moved)))
      state.media_folder = moved
      until_shown("stems are in the project")
      support.action("Resume jobs of this project")
      state.run(nil, state.ready)
      assert.equal(5, #state.tracks)
      assert.equal(moved .. "/UGOSA stems", state.requests[3].out_dir:sub(1, #moved + #"/UGOSA stems"))
    end)

    it("is not forgotten while its folder is not there, which is said", function()
      begin_and_quit()
      assert(os.execute(("mv '%s/UGOSA stems' '%s/away'"):format(state.folder, state.folder)))
      support.action("Resume jobs of this project")
      assert.truthy(state.messages[1].text:find("my song ü.wav", 1, true))
      assert.truthy(state.messages[1].text:find("UGOSA stems", 1, true))
      assert(os.execute(("mv '%s/away' '%s/UGOSA stems'"):format(state.folder, state.folder)))
      until_shown("stems are in the project")
      support.action("Resume jobs of this project")
      state.run(nil, state.ready)
      assert.equal(5, #state.tracks)
    end)

    it("is not taken up twice", function()
      begin_and_quit()
      support.action("Resume jobs of this project")
      support.action("Resume jobs of this project")
      assert.truthy(state.messages[1].text:find("Another window follows", 1, true))
    end)
  end)

  it("waits for its project when another tab is in front", function()
    local own = state.project
    support.fake_helper(state, { run = support.say_success })
    support.action("Separate with marks")
    local user = support.user(state, { "Separate" })
    local other = { kind = "ReaProject" }
    until_shown("of another project tab")
    reaper.ValidatePtr2 = function() return true end
    state.run(function()
      user()
      if #state.started == 2 then state.project = other end
    end, state.ready)
    assert.equal(1, #state.tracks)
    state.project = own
    until_shown("stems are in the project")
    state.run(nil, state.ready)
    assert.equal(5, #state.tracks)
  end)

  it("renders an item that does not play its file as it is, and restores every setting", function()
    state.item.takes[1].values.D_PLAYRATE = 1.25
    state.item.values.D_VOL, state.item.values.D_LENGTH = 0.5, 1
    local function copy(values)
      local result = {}
      for key, value in pairs(values) do result[key] = value end
      return result
    end
    local settings, strings = copy(state.settings), copy(state.setting_strings)
    state.on_render = function()
      assert.same({ 32, 4, 0, 0 }, { state.settings.RENDER_SETTINGS, state.settings.RENDER_BOUNDSFLAG,
        state.settings.RENDER_TAILFLAG, state.settings.RENDER_NORMALIZE })
      assert.equal("ZXZhdyAAAQ==", state.setting_strings.RENDER_FORMAT)
      assert.equal(1, reaper.CountSelectedMediaItems(0))
      support.write_wav(("%s/%s.wav"):format(state.setting_strings.RENDER_FILE, state.setting_strings.RENDER_PATTERN),
        48000, 48000)
    end
    support.fake_helper(state, { run = support.say_success })
    until_shown("stems are in the project")
    separate("Separate")
    assert.same(settings, state.settings)
    assert.same(strings, state.setting_strings)
    local request = state.requests[2]
    assert.truthy(request.song:match("mix%.wav$"))
    assert.equal(24000, request.marks[1].end_frame)
    local stem = state.tracks[2].items[1]
    assert.same({ 1, 1, 0 }, { stem.values.D_LENGTH, stem.values.D_VOL, stem.takes[1].values.D_STARTOFFS })
  end)

  it("says so when the rendering was cancelled", function()
    state.item.takes[1].values.D_PLAYRATE = 1.25
    state.on_render = function() end
    support.fake_helper(state, {})
    until_shown("Was the rendering cancelled?")
    separate("Separate")
    assert.equal(1, #state.started)
  end)

  it("brings findings and suggestions as regions at their place", function()
    state.item.takes[1].values.D_STARTOFFS, state.item.values.D_LENGTH = 0.5, 1
    support.fake_helper(state, { call = function(request, say)
      if request.command[1] == "models" then return say(support.MODELS) end
      assert.same({ "marks", state.song, "tiny" }, { request.command[1], request.command[3], request.command[5] })
      say({ event = "progress", phase = "base_separation", fraction = 0.5 })
      if request.command[2] == "suggest" then
        say({ event = "result", ok = true, exit_code = 0, suggestions = {
          { confidence = 0.874, mark = { source = "drums", state = "silent", start_frame = 0, end_frame = 44100 } },
          { confidence = 1, mark = { source = "bass", state = "active", start_frame = 80000, end_frame = 88200 } },
        } })
      else -- findings that are errors come with a result that is not ok
        local marks = assert(io.open(request.command[7])):read("a")
        assert.equal("0.500000000\t1.000000000\tno vocals\n", marks)
        say({ event = "result", ok = false, exit_code = 2, findings = { { severity = "error", code = "LOUD",
          message = "vocals sound here", source = "vocals", start_frame = 22050, end_frame = 44100,
          fix = "make it active" }, { severity = "info", code = "THIN", message = "few marks", fix = "",
          start_frame = json.null, end_frame = json.null } } })
      end
    end })
    until_shown("Findings: 0, suggestions: 1")
    separate("Suggest marks")
    local is_shown = state.ready
    state.ready = function() return #state.requests == 3 and is_shown() end
    state.run(support.user(state, { "Suggest marks" }), state.ready) -- again: the same is not proposed twice
    until_shown("Findings: 2, suggestions: 0")
    state.run(support.user(state, { "Check marks" }), state.ready)
    shows("few marks")
    local lines = {}
    for index, region in ipairs(state.regions) do
      lines[index] = ("%s %g-%g"):format(region.name, region.start_s, region.end_s)
    end
    table.sort(lines)
    assert.same({ "UGOSA: vocals sound here - make it active 10-10.5", "no drums 87% ? 10-10.5", "no vocals 10-10.5" },
      lines)
    assert.equal(3, #state.undo_steps)
  end)

  it("says that of several items the first is checked", function()
    state.add_item(state.track, state.song, { D_POSITION = 20, B_UISEL = 1 })
    support.fake_helper(state, { call = function(request, say)
      local no_findings = { event = "result", ok = true, exit_code = 0, findings = {} }
      say(request.command[1] == "models" and support.MODELS or no_findings)
    end })
    until_shown("Of 'my song ü.wav' alone. Findings: 0, suggestions: 0.")
    separate("Check marks")
  end)

  it("ends when its window is closed", function()
    support.fake_helper(state, {})
    state.user_closes = true
    separate()
    assert.is_false(state.window_is_open)
  end)
end)
