local support = require("spec.support")

describe("the actions", function()
  local state
  before_each(function() state = support.session() end)
  after_each(function() support.remove_folder(state.folder) end)

  local function regions()
    local lines, index = {}, 0
    while true do
      local more, _, start_s, end_s, name = reaper.EnumProjectMarkers3(0, index)
      if more == 0 then return lines end
      index = index + 1
      lines[index] = ("%s %g-%g"):format(name, start_s, end_s)
    end
  end

  it("mark the time selection as a coloured region, in one undo step", function()
    state.time_selection = { 10, 11 }
    support.action("Mark selection silent - vocals")
    state.time_selection = { 11, 12 }
    support.action("Mark selection active - drums")
    assert.same({ "no vocals 10-11", "drums 11-12" }, regions())
    assert.same({ "UGOSA: mark no vocals", "UGOSA: mark drums" }, state.undo_steps)
    assert.same({}, state.changes_without_undo)
    assert.not_equal(state.regions[1].colour, state.regions[2].colour)
    assert.equal(0x1000000, state.regions[1].colour & 0x1000000)
  end)

  it("let the newer mark of an instrument win", function()
    state.add_region("vocals", 10, 20)
    state.add_region("drums", 10, 20)
    state.time_selection = { 12, 15 }
    support.action("Mark selection silent - vocals")
    assert.same({ "drums 10-20", "vocals 10-12", "no vocals 12-15", "vocals 15-20" }, regions())
  end)

  it("need a time selection to mark", function()
    support.action("Mark selection active - bass")
    assert.truthy(state.messages[1].text:find("Select the time", 1, true))
    assert.same({}, regions())
  end)

  it("accept suggestions within the time selection, or all", function()
    state.add_region("no vocals 87% ?", 10, 11)
    state.add_region("drums ?", 12, 13)
    state.add_region("Who?", 12, 13)
    state.add_region("Bridge 2 ?", 14, 15)
    state.time_selection = { 9, 11 }
    support.action("Accept suggestions")
    assert.same({ "no vocals 10-11", "drums ? 12-13", "Who? 12-13", "Bridge 2 ? 14-15" }, regions())
    state.time_selection = { 0, 0 }
    support.action("Accept suggestions")
    assert.same({ "no vocals 10-11", "drums 12-13", "Who? 12-13", "Bridge 2 14-15" }, regions())
    support.action("Accept suggestions")
    assert.truthy(state.messages[1].text:find("no suggestions here", 1, true))
  end)
end)
