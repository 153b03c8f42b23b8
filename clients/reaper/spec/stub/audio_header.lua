--- What REAPER knows of a WAV or FLAC file: rate, channels and frames, from its header.

-- The 8 bytes of STREAMINFO that have the rate (20 bits), the channels less one (3), the width (5) and the frames (36).
local function flac(file, path)
  file:seek("set", 18)
  local bits = string.unpack(">i8", file:read(8))
  file:close()
  return { kind = "FLAC", path = path, rate = bits >> 44, channels = (bits >> 41 & 7) + 1, frames = bits & 0xFFFFFFFFF }
end

return function(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local riff = file:read(12)
  if riff and riff:sub(1, 4) == "fLaC" then return flac(file, path) end
  assert(riff and riff:match("^RIFF....WAVE"), path .. " is no WAV")
  local header = { kind = "WAVE", path = path }
  while true do
    local head = file:read(8)
    if not head or #head < 8 then break end
    local id, size = string.unpack("<c4I4", head)
    if id == "fmt " then
      local block = file:read(size)
      local _, channels, rate, _, block_align = string.unpack("<I2I2I4I4I2", block)
      header.channels, header.rate, header.frame_bytes = channels, rate, block_align
    elseif id == "data" then
      header.frames = size // header.frame_bytes
      break
    else
      file:seek("cur", size + size % 2)
    end
  end
  file:close()
  return header
end
