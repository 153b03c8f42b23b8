local support = require("spec.support")

describe("setup", function()
  local state
  before_each(function() state = support.session() end)
  after_each(function() support.remove_folder(state.folder) end)

  it("checks the connection, keeps what was found and adds the watcher once", function()
    support.fake_helper(state, {})
    reaper.RecursiveCreateDirectory(state.resource_folder .. "/Scripts", 0)
    for _ = 1, 2 do
      state.answers = { "localhost:50051", 6 }
      support.action("Setup")
      state.run(nil, function() return state.screen_text():find("Ready.", 1, true) end)
      state.quit()
    end
    assert.equal("localhost:50051", state.requests[1].server)
    assert.equal(state.helper, reaper.GetExtState("UGOSA", "helper"))
    local _, count = assert(io.open(state.resource_folder .. "/Scripts/__startup.lua")):read("a"):gsub("dofile", "")
    assert.equal(1, count)
  end)

  it("lets the user show a helper that is nowhere to be found", function()
    support.fake_helper(state, {})
    reaper.DeleteExtState("UGOSA", "helper", true)
    state.answers = { state.helper, "", 7 }
    support.action("Setup")
    state.run(nil, function() return state.screen_text():find("Ready.", 1, true) end)
    assert.truthy(state.messages[1].text:find("uv tool install PATH/TO/ugosa-server/clients/python", 1, true))
    assert.is_nil(state.requests[1].server)
  end)
end)
