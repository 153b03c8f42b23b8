--- What REAPER knows of a WAV file: rate, channels and frames, from its header.

return function(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local riff = file:read(12)
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
