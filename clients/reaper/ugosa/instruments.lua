--- How instruments look: one colour each, the same for regions and stem tracks.

local instruments = {}

local COLOURS = { -- red, green, blue; told apart by the colour-blind too (Okabe and Ito, 2008)
  drums = { 230, 159, 0 }, bass = { 86, 180, 233 }, vocals = { 204, 121, 167 }, other = { 0, 158, 115 },
  guitar = { 213, 94, 0 }, piano = { 0, 114, 178 },
}
local ANY_OTHER = { 150, 150, 150 }
local FINDING = { 240, 228, 66 }

local function native(colour)
  return reaper.ColorToNative(colour[1], colour[2], colour[3]) | 0x1000000
end

local function darker(colour)
  return { colour[1] // 2, colour[2] // 2, colour[3] // 2 }
end

--- Return REAPER's number of an instrument's colour; a darker one where it is silent.
function instruments.colour(source, state)
  local colour = COLOURS[source] or ANY_OTHER
  return native(state == "silent" and darker(colour) or colour)
end

--- Return the colour of regions that point at a problem.
function instruments.finding_colour() return native(FINDING) end

return instruments
