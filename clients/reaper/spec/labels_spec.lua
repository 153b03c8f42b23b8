local labels = require("ugosa.labels")
local SOURCES = require("spec.support").SOURCES

local function parse(label) return labels.parse(label, SOURCES) end

describe("a region's name", function()
  it("says that an instrument plays, or is silent", function()
    assert.same({ vocals = "active" }, parse("vocals"))
    for _, name in ipairs({ "no vocals", "-vocals", "without vocals", "NOT  Vocals", "! vocals", "no_vocals" }) do
      assert.same({ vocals = "silent" }, parse(name), name)
    end
  end)

  it("is forgiven case, plural and everyday names", function()
    for _, name in ipairs({ "Vox", "voice", "SINGER", "lead vocal", "Lead-Vocals" }) do
      assert.same({ vocals = "active" }, parse(name), name)
    end
    assert.same({ drums = "silent" }, parse("no drum"))
    assert.same({ bass = "active" }, parse("bass"))
  end)

  it("can speak of all instruments by 'only'", function()
    local only = { drums = "active", bass = "active", other = "silent", vocals = "silent" }
    assert.same(only, parse("only drums, bass"))
    assert.same(only, parse("Only drums & bass"))
  end)

  it("can say so in other words, before or after the names", function()
    local without = { "VOX out", "vocals off", "w/o vocals", "Mute vocals", "vocals muted", "Instrumental" }
    for _, name in ipairs({ "\u{2013} vocals", "Vocals tacet", "all but vocals", table.unpack(without) }) do
      assert.same({ vocals = "silent" }, parse(name), name)
    end
    local only_vocals = parse("only vocals")
    for _, name in ipairs({ "solo vocals", "just vox", "vocals only", "acapella", "A Cappella" }) do
      assert.same(only_vocals, parse(name), name)
    end
  end)

  it("that speaks of an instrument inside of other is told of the model that has it", function()
    local states, message = parse("no guitar")
    assert.is_nil(states)
    assert.equal(
      "this model has guitar inside 'other'; htdemucs_6s has its own: ugosa-server models pull htdemucs_6s", message)
    assert.same({ guitar = "silent" }, labels.parse("gtr off", { "drums", "other", "guitar" }))
  end)

  it("can be a list", function()
    assert.same({ drums = "active", bass = "silent" }, parse("drums, -bass"))
    assert.same({ drums = "silent", bass = "silent" }, parse("no bass and drums"))
  end)

  it("is refused when it can be read in two ways, contradicts itself, or is unknown", function()
    local function refused(name, why)
      local states, message = parse(name)
      assert.is_nil(states)
      assert.truthy(message:find(why, 1, true), message)
    end
    refused("no vocals, drums", "write 'no drums'")
    refused("drums, vocals off", "write 'drums off', or put 'vocals off' first")
    refused("drums, -drums", "both active and silent")
    refused("no vocls", "did you mean 'vocals'?")
    refused("Verse 1", "the model has drums, bass, other, vocals")
    refused(" , ", "has no name")
  end)

  it("that is misspelt is told from one that names a part of the song", function()
    for _, name in ipairs({ "no vocls", "durms", "without harp", "only kazoo", "bss" }) do
      assert.is_true(labels.is_meant_as_mark(name, SOURCES), name)
    end
    for _, name in ipairs({ "Verse 1", "Chorus", "Intro", "A", "Bridge (loud)", "Solo 2", "Just a fill" }) do
      assert.is_false(labels.is_meant_as_mark(name, SOURCES), name)
    end
  end)
end)
