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

  it("installs the helper from a copy of the project and goes on with it", function()
    support.fake_helper(state, {})
    reaper.DeleteExtState("UGOSA", "helper", true)
    local source = state.folder .. "/copy's/pyproject.toml"
    assert(os.execute('mkdir -p "' .. state.folder .. "/copy's" .. '"'))
    local file = assert(io.open(source, "w"))
    file:write('[project]\nname = "ugosa-client"\n')
    file:close()
    local answer_as_helper = state.on_exec
    state.helper = state.resource_folder .. "/UGOSA/helper/bin/ugosa"
    state.on_exec = function(words)
      if words[1] ~= "/bin/sh" then return answer_as_helper(words) end
      -- What pip would make; tests/daw/reaper/test_setup.py has the real one do it.
      assert(os.execute('sh -n "' .. words[2] .. '"'))
      assert(os.execute('mkdir -p "' .. state.resource_folder .. '/UGOSA/helper/bin"'))
      assert(io.open(state.helper, "w")):close()
      local log = assert(io.open(state.resource_folder .. "/UGOSA/install.log", "w"))
      log:write("Successfully installed\nUGOSA: installed\n")
      log:close()
      return "0\n"
    end
    state.answers = { source, "", 7 }
    support.action("Setup")
    state.run(nil, function() return state.screen_text():find("Ready.", 1, true) end)
    assert.equal(state.helper, reaper.GetExtState("UGOSA", "helper"))
  end)

  it("says why the helper could not be installed, and takes no other project for it", function()
    support.fake_helper(state, {})
    reaper.DeleteExtState("UGOSA", "helper", true)
    local source = state.folder .. "/pyproject.toml"
    local function write_source(text)
      local file = assert(io.open(source, "w"))
      file:write(text)
      file:close()
    end
    write_source('[project]\nname = "something-else"\n')
    state.answers = { source, "" }
    support.action("Setup")
    state.run(nil, function() return state.screen_text():find("is not the", 1, true) end)
    state.quit()
    write_source('[project]\nname = "ugosa-client"\n')
    state.on_exec = function()
      local log = assert(io.open(state.resource_folder .. "/UGOSA/install.log", "w"))
      log:write("no Python 3.11 or newer with venv is installed\nUGOSA: not installed\n")
      log:close()
      return "0\n"
    end
    state.answers = { source, "" }
    support.action("Setup")
    state.run(nil, function() return state.screen_text():find("no Python 3.11", 1, true) end)
    assert.equal("", reaper.GetExtState("UGOSA", "helper"))
  end)
end)
