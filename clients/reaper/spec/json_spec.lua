local json = require("ugosa.json")

describe("json", function()
  it("gives back what it wrote", function()
    local value = { text = 'a "quote", a \\, ü, 音, 𝄞\n', list = json.array({ 1, 2.5, true }), none = json.array() }
    assert.same(value, json.decode(json.encode(value)))
  end)

  it("keeps frame counts whole and seconds exact", function()
    assert.equal("9007199254740993", json.encode(json.decode("9007199254740993")))
    assert.equal(0.1 + 0.2, json.decode(json.encode(0.1 + 0.2)))
  end)

  it("reads escapes, pairs of surrogates and halves of them", function()
    assert.equal("𝄞 ü / \u{FFFD}", json.decode('"\\ud834\\udd1e \\u00fc \\/ \\ud834"'))
  end)

  it("reads the bytes of a path that is no text as Python writes them", function()
    assert.equal("s\xF6ng", json.decode('"s\\udcf6ng"'))
  end)

  it("writes the keys of objects in order", function()
    assert.equal('{"a":[],"b":{},"c":null}', json.encode({ c = json.null, b = {}, a = json.array() }))
  end)

  for _, text in ipairs({ "", "{", '{"a" 1}', "[1,]", "[1 2]", '"a', '"\n"', "01", "1.", "nul", "{} {}", '"\\x"' }) do
    it("refuses " .. text, function()
      assert.has_error(function() json.decode(text) end)
    end)
  end

  it("refuses what JSON cannot say", function()
    for _, value in ipairs({ 0 / 0, 1 / 0, print }) do
      assert.has_error(function() json.encode(value) end)
    end
  end)
end)
