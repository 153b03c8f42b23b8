local support = require("spec.support")
local ProgressFile = require("ugosa.progress_file")

describe("a progress file", function()
  local folder, path
  before_each(function()
    folder = support.make_folder()
    path = folder .. "/progress.jsonl"
  end)
  after_each(function() support.remove_folder(folder) end)

  local function append(bytes)
    local file = assert(io.open(path, "ab"))
    file:write(bytes)
    file:close()
  end

  it("is read the same however its lines are torn", function()
    local text = '{"event":"a","text":"Käse 音"}\n{"event":"b"}\n\n{"event":"c"}\n'
    for size = 1, #text do
      os.remove(path)
      local progress, events = ProgressFile.open(path), {}
      for start = 1, #text, size do
        append(text:sub(start, start + size - 1))
        for _, object in ipairs((progress:poll())) do events[#events + 1] = object.event .. (object.text or "") end
      end
      assert.same({ "aKäse 音", "b", "c" }, events)
      assert.equal(0, progress.damaged)
    end
  end)

  it("waits for the end of a line", function()
    local progress = ProgressFile.open(path)
    append('{"event":"result"}')
    assert.same({}, (progress:poll()))
    append("\n")
    assert.equal("result", progress:poll()[1].event)
  end)

  it("goes on after a line that is no JSON", function()
    local progress = ProgressFile.open(path)
    append('{"event":"a"}\nTraceback\n{"event":"b"}\n')
    local objects = progress:poll()
    assert.equal(2, #objects)
    assert.equal(1, progress.damaged)
  end)

  it("need not be there yet", function()
    local objects, heard = ProgressFile.open(path):poll()
    assert.same({}, objects)
    assert.is_false(heard)
  end)
end)
