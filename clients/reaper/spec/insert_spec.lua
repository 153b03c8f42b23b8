local support = require("spec.support")
local insert = require("ugosa.insert")
local stretch = require("ugosa.stretch")

describe("inserting stems", function()
  local state, stems
  before_each(function()
    state = support.session()
    stems = {}
    for index, source in ipairs(support.SOURCES) do
      stems[index] = { source = source, path = support.write_wav(("%s/%s.wav"):format(state.folder, source), 88200) }
    end
  end)
  after_each(function() support.remove_folder(state.folder) end)

  local function insert_selected()
    local places = {}
    for index, one in ipairs(assert(stretch.selected())) do
      places[index] = { place = insert.place_of(one), stems = stems }
    end
    return insert.stems(places)
  end

  local function names_and_depths()
    local lines = {}
    for index, track in ipairs(state.tracks) do
      lines[index] = ("%s %d"):format(track.ext.P_NAME, track.values.I_FOLDERDEPTH)
    end
    return lines
  end

  it("makes the track of the song a folder of them, in one undo step", function()
    state.add_track("click")
    assert.same({}, insert_selected())
    assert.same({ "mix 1", "drums 0", "bass 0", "other 0", "vocals -1", "click 0" }, names_and_depths())
    assert.same({ "UGOSA: insert stems" }, state.undo_steps)
    assert.same({}, state.changes_without_undo)
    assert.equal(1, state.item.values.B_MUTE)
    assert.is_false(state.refresh_is_prevented)
  end)

  it("keeps the folders around as they were", function()
    state.track.values.I_FOLDERDEPTH = 0
    local band = state.add_track("band", { I_FOLDERDEPTH = 1 })
    local last = state.add_track("live", { I_FOLDERDEPTH = -1 })
    state.add_track("click")
    reaper.SelectAllMediaItems(0, false)
    state.add_item(last, state.song, { B_UISEL = 1 })
    insert_selected()
    assert.same({ "mix 0", "band 1", "live 1", "drums 0", "bass 0", "other 0", "vocals -2", "click 0" },
      names_and_depths())
    assert.equal(band, reaper.GetParentTrack(last))
    assert.is_nil(reaper.GetParentTrack(state.tracks[8]))
  end)

  it("puts stems first into a track that is a folder already", function()
    state.track.values.I_FOLDERDEPTH = 1
    state.add_track("guitar overdub", { I_FOLDERDEPTH = -1 })
    insert_selected()
    assert.same({ "mix 1", "drums 0", "bass 0", "other 0", "vocals 0", "guitar overdub -1" }, names_and_depths())
  end)

  it("copies place, gain, pan and fades, and nothing of REAPER's defaults", function()
    local values = { D_VOL = 0.5, D_FADEINLEN = 0.25, D_FADEOUTLEN = 0.5, C_FADEINSHAPE = 2, D_FADEOUTDIR = -0.5,
      D_POSITION = 3.25, D_LENGTH = 1.25 }
    for name, value in pairs(values) do state.item.values[name] = value end
    local take = state.item.takes[1]
    take.values.D_STARTOFFS, take.values.D_VOL, take.values.D_PAN = 0.6 + 0.5 / 44100, -0.7, 0.3
    insert_selected()
    local stem = state.tracks[2].items[1]
    for name, value in pairs(values) do assert.equal(value, stem.values[name], name) end
    assert.equal(0, stem.values.B_LOOPSRC)
    assert.equal(-0.7, stem.takes[1].values.D_VOL)
    assert.equal(0.3, stem.takes[1].values.D_PAN)
    assert.near(0.5 + 0.5 / 44100, stem.takes[1].values.D_STARTOFFS, 1e-12) -- half a second was sent before it
    assert.equal(1, state.tracks[2].values.D_PANLAW)
    assert.is_false(state.tracks[2].has_defaults)
  end)

  it("copies gain and fades as they are when the stems come, but for what was rendered", function()
    local place = insert.place_of(stretch.selected()[1])
    state.item.values.D_VOL, state.item.values.D_FADEINLEN = 0.5, 0.25
    insert.stems({ { place = place, stems = stems } })
    local stem = state.tracks[2].items[1].values
    assert.same({ 0.5, 0.25 }, { stem.D_VOL, stem.D_FADEINLEN })
    place.mode, place.look.item.D_VOL, state.item.values.B_MUTE = "render", 1, 0
    insert.stems({ { place = place, stems = stems } })
    assert.equal(1, state.tracks[2].items[1].values.D_VOL)
  end)

  it("lets items of one track share stem tracks, unless they overlap", function()
    local later = state.add_item(state.track, state.song, { D_POSITION = 20, B_UISEL = 1 })
    insert_selected()
    assert.equal(5, #state.tracks)
    assert.equal(2, #state.tracks[2].items)
    assert.equal(1, later.values.B_MUTE)
    insert_selected() -- the same again
    assert.equal(9, #state.tracks)
    assert.same({ "UGOSA: insert stems", "UGOSA: insert stems" }, state.undo_steps)
  end)

  it("cuts the separated part out of the item, without fades at the cuts", function()
    state.item.values.B_UISEL, state.item.values.D_FADEINLEN, state.item.values.D_FADEOUTLEN = 0, 0.25, 0.5
    state.time_selection = { 10.5, 11 }
    insert_selected()
    local lines = {}
    for index, item in ipairs(state.track.items) do
      local v = item.values
      lines[index] = ("%g+%g mute %d fades %g %g from %g"):format(v.D_POSITION, v.D_LENGTH, v.B_MUTE, v.D_FADEINLEN,
        v.D_FADEOUTLEN, item.takes[1].values.D_STARTOFFS)
    end
    assert.same({ "10+0.5 mute 0 fades 0.25 0 from 0", "10.5+0.5 mute 1 fades 0 0 from 0.5",
      "11+1 mute 0 fades 0 0.5 from 1" }, lines)
    local stem = state.tracks[2].items[1].values
    assert.same({ 10.5, 0.5, 0, 0 }, { stem.D_POSITION, stem.D_LENGTH, stem.D_FADEINLEN, stem.D_FADEOUTLEN })
  end)

  it("says so when the item is gone or was changed, and mutes nothing then", function()
    local places = { { place = insert.place_of(stretch.selected()[1]), stems = stems } }
    state.item.values.D_POSITION = 11
    assert.truthy(insert.stems(places)[1]:find("was moved", 1, true))
    assert.equal(0, state.item.values.B_MUTE)
    state.track.items = {}
    assert.truthy(insert.stems(places)[1]:find("no longer in the project", 1, true))
    assert.equal("my song ü.wav (stems)", state.tracks[6].ext.P_NAME)
  end)
end)
