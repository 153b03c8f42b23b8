local support = require("spec.support")
local item_marks = require("ugosa.item_marks")
local project_marks = require("ugosa.project_marks")
local SOURCES = support.SOURCES

describe("marks of a project", function()
  local state
  before_each(function() state = support.session() end)
  after_each(function() support.remove_folder(state.folder) end)

  local function check(start_s, end_s)
    local spans, problems = project_marks.read(SOURCES)
    local within, found = item_marks.check(spans, SOURCES, start_s or 10, end_s or 12)
    return within, found, problems
  end

  local function said(spans)
    local lines = {}
    for index, span in ipairs(spans) do
      lines[index] = ("%s %s %g-%g"):format(span.source, span.state, span.start_s, span.end_s)
    end
    table.sort(lines)
    return lines
  end

  it("come from named regions, cut to the item", function()
    state.add_region("no vocals", 9, 10.5)
    state.add_region("drums, -bass", 11, 11.5)
    state.add_region("no drums", 30, 40)
    local spans, found = check()
    assert.same({ "bass silent 11-11.5", "drums active 11-11.5", "vocals silent 10-10.5" }, said(spans))
    assert.same({}, found)
  end)

  it("come from ruler lanes where this REAPER has them: active in, silent between", function()
    state.lanes = { [0] = "Default", [1] = "Vox" }
    state.add_region("chorus", 10.5, 11, 1)
    state.add_region("again", 11.5, 11.75, 1)
    assert.same({}, said((check()))) -- before REAPER 7.62
    state.add_lane_functions()
    assert.same({ "vocals active 10.5-11", "vocals active 11.5-11.75", "vocals silent 10-10.5",
      "vocals silent 11-11.5", "vocals silent 11.75-12" }, said((check())))
  end)

  it("of a lane that says nothing about the item say nothing", function()
    state.lanes = { [1] = "vocals" }
    state.add_lane_functions()
    state.add_region("", 50, 60, 1)
    assert.same({}, said((check())))
  end)

  it("come from empty items on tracks that are named by an instrument", function()
    local track = state.add_track("Bass guitar")
    state.set_up(function()
      local item = reaper.AddMediaItemToTrack(track)
      item.values.D_POSITION, item.values.D_LENGTH = 11, 4
    end)
    state.add_item(track, state.song, { D_POSITION = 10 }) -- audio marks nothing
    assert.same({ "bass active 11-12", "bass silent 10-11" }, said((check())))
  end)

  it("that contradict each other are an error with the time and both regions", function()
    state.add_region("vocals", 10, 11)
    state.add_region("no vocals", 10.5, 12)
    local _, found = check()
    assert.equal("error", found[1].severity)
    assert.equal("10.5-11", ("%g-%g"):format(found[1].start_s, found[1].end_s))
    assert.truthy(found[1].message:find("region R1 'vocals' and region R2 'no vocals'", 1, true))
  end)

  it("that silence everything are pointed at", function()
    state.add_region("no drums, -bass", 10, 11)
    state.add_region("no vocals", 10.25, 11.5)
    state.add_region("-other", 10.5, 12)
    local _, found = check()
    assert.equal(1, #found)
    assert.equal("ALL_SILENT 10.5-11", ("%s %g-%g"):format(found[1].code, found[1].start_s, found[1].end_s))
  end)

  it("that are misspelt are warned of, names of song parts only mentioned", function()
    state.add_region("no vocls", 10, 11)
    state.add_region("Verse 1", 10, 11)
    local _, _, problems = check()
    assert.equal("warning UNKNOWN_NAME", problems[1].severity .. " " .. problems[1].code)
    assert.equal("info NOT_A_MARK", problems[2].severity .. " " .. problems[2].code)
  end)

  it("are not made of suggestions or findings", function()
    state.add_region("no vocals 87% ?", 10, 11)
    state.add_region("UGOSA: no vocals here", 10, 11)
    local spans, _, problems = check()
    assert.same({}, spans)
    assert.same({}, problems)
  end)

  it("become the nearest frames of what is sent", function()
    local stretch = { start_s = 10, end_s = 12, offset_s = 0.5, sample_rate_hz = 44100, start_frame = 22050,
      end_frame = 110250 }
    local function frames(start_s, end_s)
      local span = { source = "bass", state = "silent", start_s = start_s, end_s = end_s }
      local marks = item_marks.to_frames({ span }, stretch)
      return marks[1] and { marks[1].start_frame, marks[1].end_frame }
    end
    assert.same({ 0, 88200 }, frames(10, 12))
    assert.same({ 100, 200 }, frames(10 + 100.4 / 44100, 10 + 199.6 / 44100))
    assert.is_nil(frames(11, 11 + 0.3 / 44100)) -- less than half a frame marks nothing
  end)
end)
