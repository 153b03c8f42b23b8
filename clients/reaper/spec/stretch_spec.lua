local support = require("spec.support")
local stretch = require("ugosa.stretch")

describe("the stretch of an item", function()
  local state, take
  before_each(function()
    state = support.session()
    take = state.item.takes[1]
  end)
  after_each(function() support.remove_folder(state.folder) end)

  local function only()
    local stretches = assert(stretch.selected())
    assert.equal(1, #stretches)
    return stretches[1]
  end

  it("is the whole file in source mode", function()
    local one = only()
    assert.equal("source", one.mode)
    assert.same({ state.song, 0, 88200 }, { one.song, one.start_frame, one.end_frame })
  end)

  it("is what a trimmed item plays, and half a second around it", function()
    state.item.values.D_LENGTH, take.values.D_STARTOFFS = 0.4, 0.6
    local one = only()
    assert.same({ 4410, 66150 }, { one.start_frame, one.end_frame })
  end)

  it("covers an item that begins between two frames", function()
    state.item.values.D_LENGTH, take.values.D_STARTOFFS = 100 / 44100, 1 + 10.25 / 44100
    local one = only()
    assert.same({ 22060, 66261 }, { one.start_frame, one.end_frame })
  end)

  local reasons = {
    ["its rate is 1.1"] = function() take.values.D_PLAYRATE = 1.1 end,
    ["its pitch is changed"] = function() take.values.D_PITCH = 2 end,
    ["its channel mode is not normal"] = function() take.values.I_CHANMODE = 2 end,
    ["it has stretch markers"] = function() take.n_stretch_markers = 3 end,
    ["it has take effects"] = function() take.n_effects = 1 end,
    ["it has take envelopes"] = function() take.n_envelopes = 1 end,
    ["it is reversed"] = function() take.source.reversed = true end,
    ["it plays a section of its source"] = function() take.source.section = 0.5 end,
    ["its source is MP3"] = function() take.source.type = "MP3" end,
    ["it has more than two channels"] = function() take.source.channels = 6 end,
    ["it loops its source"] = function() state.item.values.D_LENGTH = 5 end,
    ["it goes beyond its source"] = function()
      state.item.values.D_LENGTH, state.item.values.B_LOOPSRC = 5, 0
    end,
  }
  for reason, change in pairs(reasons) do
    it("needs render mode when " .. reason, function()
      change()
      local one = only()
      assert.equal("render", one.mode)
      assert.equal(reason, one.why)
      assert.truthy(stretch.describe(one):find("render mode, because " .. reason, 1, true))
    end)
  end

  it("is what the time selection covers when no item is selected", function()
    state.item.values.B_UISEL = 0
    state.time_selection = { 10.5, 11 }
    local one = only()
    assert.same({ 0, 66150 }, { one.start_frame, one.end_frame })
    assert.is_false(one.is_whole)
  end)

  it("is the whole of a selected item, whatever the time selection", function()
    state.time_selection = { 10.5, 11 }
    assert.is_true(only().is_whole)
  end)

  it("is of selected tracks only, if any are", function()
    local other = state.add_track("other mix", { I_SELECTED = 1 })
    state.add_item(other, state.song, { D_POSITION = 10 })
    state.item.values.B_UISEL = 0
    state.time_selection = { 10.5, 11 }
    assert.equal(other, only().item.track)
  end)

  it("says what to do when there is none", function()
    local function refused(why)
      local stretches, message = stretch.selected()
      assert.is_nil(stretches)
      assert.truthy(message:find(why, 1, true), message)
    end
    state.item.values.B_UISEL = 0
    refused("Select the item of the song")
    state.item.values.B_UISEL = 1
    take.source.path = state.folder .. "/gone.wav"
    refused("Bring it back")
    take.source.type = "MIDI"
    refused("Render it to audio first")
    take.source.type, take.values.D_PLAYRATE, state.item.values.B_MUTE = "WAVE", 2, 1
    refused("Unmute it")
  end)
end)
